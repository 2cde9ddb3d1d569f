"""Fresh modules in a fraction of the time that their constructors take.

A search builds thousands of networks out of a handful of layers. The constructors of `torch.nn` spend most of a
layer's time on checks and book-keeping that come out the same each time; a fresh copy of a layer that was constructed
once needs only new parameters and their initialisation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn


class Prototype:
    """A module from which fresh ones are made.

    For modules made of torch's own, whose random numbers are all drawn by `reset_parameters`, in the order of
    `modules()`: they are drawn from the device's default generator as by the constructors. A layer that is there twice
    would be made twice.
    """

    def __init__(self, module: nn.Module) -> None:
        self._class = type(module)
        attributes = vars(module)
        own = ("_parameters", "_buffers", "_modules")
        dicts = {key: value for key, value in attributes.items() if isinstance(value, dict) and key not in own}
        self._plain = {key: value for key, value in attributes.items() if not isinstance(value, (dict, set, list))}
        # Nearly all are empty dicts of hooks, and making one is many times faster than copying one.
        self._empty = [(key, type(value)) for key, value in dicts.items() if not value]
        self._full: list[tuple[str, Any]] = [(key, value) for key, value in dicts.items() if value]
        # Such as the names of buffers that are not saved.
        self._full += [(key, value) for key, value in attributes.items() if isinstance(value, (set, list))]
        self._parameters, self._buffers = module._parameters, module._buffers
        self._children = {name: None if child is None else Prototype(child) for name, child in module._modules.items()}
        self._reset: Callable[[nn.Module], None] | None = getattr(self._class, "reset_parameters", None)

    def fresh(self) -> nn.Module:
        """A module as its constructor would make it, on the default device; it shares nothing with others."""
        device = torch.empty(0).device
        # `with torch.device(...)` asks at each operation; here it has been asked.
        with torch._C.DisableTorchFunction():
            return self._fresh(device)

    def _fresh(self, device: torch.device) -> nn.Module:
        new = object.__new__(self._class)
        state: dict[str, Any] = self._plain.copy()
        for key, kind in self._empty:
            state[key] = kind()
        for key, value in self._full:
            state[key] = value.copy()
        state["_parameters"] = {
            name: old if old is None else nn.Parameter(_like(old, device), old.requires_grad)
            for name, old in self._parameters.items()
        }
        state["_buffers"] = {name: old if old is None else _like(old, device) for name, old in self._buffers.items()}
        state["_modules"] = {
            name: None if child is None else child._fresh(device) for name, child in self._children.items()
        }
        new.__dict__ = state
        if self._reset is not None:
            self._reset(new)
        return new


def _like(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=device)


def prototyped(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Decorator: call `build` once for each list of arguments, and give a fresh copy of its module each time."""

    @cache
    def prototype(dtype: torch.dtype, *args: Any) -> Prototype:
        # No numbers: what is drawn here must not depend on which networks were built before.
        with torch.device("meta"):
            return Prototype(build(*args))

    def copied(*args: Any) -> nn.Module:
        return prototype(torch.get_default_dtype(), *args).fresh()

    return copied
