"""The forward pass, watched: every rectifier's codes are added to K at the moment it runs.

PyTorch tells a `TorchDispatchMode` about each operation just before it executes, whoever called it: a
module, a function, a TorchScript graph; in place or not. So each application is seen once, and the
pre-activation is read before an in-place operation overwrites it. What a model starts in another thread
is not seen.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from naswot_ext import ops, rectifiers
from naswot_ext.errors import NaswotError


class Collector(Protocol):
    """What a `Capture` gives the activations to."""

    def add(self, activations: Tensor) -> None:
        """Take the pre-activations [B, ...] of one application, before they may be overwritten."""

    def written(self, tensor: Tensor) -> None:
        """Hear that `tensor` is about to be changed in place."""


class LayerKernels:
    """K as a sum of layer kernels, with one that is at hand used again instead of packed again.

    NAS-Bench-201 cells rectify one tensor several times. Its layer kernel is kept for as long as the memory
    of the tensor lives (a weak reference: nothing is kept alive here) and nobody has written to it by an
    operation of torch.
    """

    def __init__(self, images: int) -> None:
        self._images = images
        self._totals: dict[torch.device, tuple[Tensor, Tensor]] = {}  # K and the non-finite count, a device
        self._kept: dict[int, tuple[StorageWeakRef, dict[Any, Tensor]]] = {}

    def add(self, activations: Tensor) -> None:
        """Add the layer kernel of `activations` [B, ...]."""
        device = activations.device
        if device not in self._totals:
            self._totals[device] = (self._zeros(device), torch.zeros(1, dtype=torch.int64, device=device))
        total, nonfinite = self._totals[device]

        storage = activations.untyped_storage()
        if storage._cdata not in self._kept:
            self._kept = {key: kept for key, kept in self._kept.items() if not kept[0].expired()}
            # The weak reference also keeps the storage's identity from being given to another one.
            self._kept[storage._cdata] = (StorageWeakRef(storage), {})
        layers = self._kept[storage._cdata][1]
        # The version counts writes through this tensor that no dispatched operation declares.
        version = None if activations.is_inference() else activations._version
        place = (
            activations.dtype,
            activations.storage_offset(),
            activations.size(),
            activations.stride(),
            version,
        )
        if place not in layers:
            layers[place] = self._zeros(device)
            ops.hamming_accumulate_(layers[place], activations, nonfinite)
        total += layers[place]

    def written(self, tensor: Tensor) -> None:
        """Forget what shares memory with `tensor`, which is about to be changed in place."""
        if self._kept and tensor.layout == torch.strided:
            self._kept.pop(tensor.untyped_storage()._cdata, None)

    def total(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """K, int64 [B, B] on `device`, and how many non-finite activations went into it, int64 [1]."""
        kernel, nonfinite = self._zeros(device), torch.zeros(1, dtype=torch.int64, device=device)
        for part, count in self._totals.values():
            kernel += part.to(device)
            nonfinite += count.to(device)
        return kernel, nonfinite

    def _zeros(self, device: torch.device) -> Tensor:
        return torch.zeros(self._images, self._images, dtype=torch.int64, device=device)


class Capture(TorchDispatchMode):
    """Count every rectifier application of `model` while active, and give its pre-activations to `kernels`, if given.

    `images` is B; `wanted` the names of `rectifiers.NAMES` that count; `ignore` globs of module paths whose
    activations are left out. A mistake raises NaswotError in the middle of the model's forward pass and is
    also left in `error`, because the model or TorchScript may wrap or catch it.
    """

    def __init__(
        self,
        model: nn.Module,
        images: int,
        wanted: Collection[str],
        ignore: Sequence[str],
        kernels: Collector | None,
    ) -> None:
        super().__init__()
        self.units = 0
        self.activations: Counter[str] = Counter()
        self.not_counted: Counter[str] = Counter()
        self.error: NaswotError | None = None
        self._images = images
        self._wanted = wanted
        self._kernels = kernels
        self._model = model
        self._ignored = _matching(self._paths, ignore) if ignore else set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        role = rectifiers.role(func)
        if role is not None:
            self._see(func, role, args, kwargs)
        return func(*args, **kwargs)

    def _see(self, func: Any, role: rectifiers.Role, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if role.rectifier is not None:
            name = role.rectifier(args)
            # Integers are bounded (clamped indices), not rectified.
            if name is not None and args[0].is_floating_point() and not self._in_ignored():
                self._rectified(name, func, args[0])
        elif role.gate is not None:
            self.not_counted[role.gate] += 1
        elif role.fused and not self._in_ignored():
            self._fail(
                f"{func} at {self._where()} runs an activation inside a larger operation, where it cannot be "
                "seen. Score the model before it is fused, frozen or quantized."
            )
        if self._kernels is not None and (role.writes or role.writes_named):
            written = [args[i] for i in role.writes if i < len(args)]
            written += [kwargs[name] for name in role.writes_named if name in kwargs]
            for tensor in _tensors(written):
                self._kernels.written(tensor)

    def _rectified(self, name: str, func: Any, activations: Tensor) -> None:
        if name not in self._wanted:
            self.not_counted[name] += 1
            return
        if activations.layout != torch.strided or activations.is_nested or activations.is_quantized:
            self._fail(f"{func} at {self._where()} runs on a {_kind(activations)} tensor: only dense ones count.")
        if activations.dim() == 0 or activations.shape[0] != self._images:
            path = self._paths.get(id(next(self._stack(), None)))
            self._fail(
                f"{func} at {self._where()} runs on a tensor of shape {tuple(activations.shape)}, but the batch holds "
                f"{self._images} images and an activation's first dimension must be the image. "
                + (f"Leave this part out with ignore=[{path!r}], or score" if path else "Score")
                + " a model that keeps images apart."
            )
        self.activations[name] += 1
        self.units += activations.numel() // self._images
        if self._kernels is not None:
            self._kernels.add(activations)

    @cached_property
    def _paths(self) -> dict[int, str]:
        return {id(module): path for path, module in self._model.named_modules()}

    def _in_ignored(self) -> bool:
        return bool(self._ignored) and any(id(module) in self._ignored for module in self._stack())

    def _fail(self, message: str) -> None:
        self.error = NaswotError(message)
        raise self.error

    def _where(self) -> str:
        module = next(self._stack(), None)
        path = self._paths.get(id(module))
        return f"{path!r} ({type(module).__name__})" if path else "the model's top level"

    def _stack(self) -> Iterator[nn.Module]:
        """The model's modules that are running now, innermost first: the `self` of Python's frames."""
        frame = sys._getframe()
        while frame.f_back is not None:
            frame = frame.f_back
            if frame.f_code.co_argcount:
                first = frame.f_locals.get(frame.f_code.co_varnames[0])
                if isinstance(first, nn.Module) and id(first) in self._paths:
                    yield first


def _matching(paths: Mapping[int, str], ignore: Sequence[str]) -> set[int]:
    ignored: set[int] = set()
    for pattern in ignore:
        found = {module for module, path in paths.items() if fnmatchcase(path, pattern)}
        if not found:
            raise NaswotError(
                f"ignore={pattern!r} matches no module. Module paths are those of model.named_modules(), such as "
                f"{', '.join(repr(path) for path in list(paths.values())[1:4]) or 'none here'}."
            )
        ignored |= found
    return ignored


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _kind(tensor: Tensor) -> str:
    if tensor.is_quantized:
        return "quantized"
    return "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
