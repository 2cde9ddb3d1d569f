"""Fresh modules in a fraction of the time that their constructors take.

A search builds thousands of networks out of a handful of layers. The constructors of `torch.nn` spend most of a
layer's time on checks and book-keeping that come out the same each time; a fresh copy of a layer that was constructed
once needs only new parameters and its initialisation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn


def fresh(module: nn.Module) -> nn.Module:
    """A module like `module`, on the default device, as its constructor would make it: nothing is shared.

    For modules made of torch's own, whose random numbers are all drawn by `reset_parameters`, in the order of
    `modules()`: they are drawn from the device's default generator as by the constructors. A layer that is there twice
    would be made twice.
    """
    device = torch.empty(0).device
    # `with torch.device(...)` asks at each operation; here it has been asked.
    with torch._C.DisableTorchFunction():
        return _fresh(module, device)


def _fresh(module: nn.Module, device: torch.device) -> nn.Module:
    new = object.__new__(type(module))
    state: dict[str, Any] = module.__dict__.copy()
    for key, value in state.items():
        if isinstance(value, dict):
            # Nearly all are empty dicts of hooks, and making one is many times faster than copying one.
            state[key] = value.copy() if value else type(value)()
    for name, parameter in module._parameters.items():
        if parameter is not None:
            empty = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
            state["_parameters"][name] = nn.Parameter(empty, parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            state["_buffers"][name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=device)
    for name, child in module._modules.items():
        if child is not None:
            state["_modules"][name] = _fresh(child, device)
    new.__dict__ = state
    reset = getattr(new, "reset_parameters", None)
    if reset is not None:
        reset()
    return new


def prototyped(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Decorator: call `build` once for each list of arguments, and give a `fresh` copy of its module each time."""

    @cache
    def prototype(*args: Any) -> nn.Module:
        # No numbers: what is drawn here must not depend on which networks were built before.
        with torch.device("meta"):
            return build(*args)

    def copied(*args: Any) -> nn.Module:
        return fresh(prototype(*args))

    return copied
