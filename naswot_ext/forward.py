"""One forward pass through somebody else's model that leaves the model, and torch, as they were."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

from naswot_ext.errors import NaswotError, unknown

Batch = Tensor | np.ndarray | tuple[Any, ...] | list[Any] | Mapping[str, Any]


class Inputs(NamedTuple):
    """What to call the model with: `model(*args, **kwargs)`, B images."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    images: int

    @property
    def tensors(self) -> list[Tensor]:
        """The arguments that are tensors, in order."""
        return [x for x in (*self.args, *self.kwargs.values()) if isinstance(x, Tensor)]

    def to(self, device: torch.device | None, dtype: torch.dtype | None) -> Inputs:
        """A copy with its tensors on `device` and its floating-point ones in `dtype` (None: as they are)."""

        def moved(x: Any) -> Any:
            if not isinstance(x, Tensor):
                return x
            # Always a copy: the model may rectify its input in place.
            return x.to(device=device, dtype=dtype if x.is_floating_point() else None, copy=True)

        return Inputs(tuple(map(moved, self.args)), {k: moved(v) for k, v in self.kwargs.items()}, self.images)


def read_batch(batch: Batch) -> Inputs:
    """A batch as a model's arguments: a tensor or array, a tuple or list (`model(*batch)`), a dict (`model(**batch)`).

    B is the first dimension of the first tensor. Raises NaswotError for anything else, an empty batch and
    images with NaN or infinity.
    """
    args, kwargs = (), {}
    if isinstance(batch, Mapping):
        kwargs = {name: _tensor(value) for name, value in batch.items()}
    else:
        args = tuple(_tensor(x) for x in (batch if isinstance(batch, (tuple, list)) else (batch,)))
    inputs = Inputs(args, kwargs, 0)
    if not inputs.tensors or inputs.tensors[0].dim() == 0:
        raise NaswotError(
            f"The batch is {_described(batch)}: expected a tensor or array whose first dimension is the image, or a "
            "tuple, list or dict of a model's arguments with one in it."
        )
    if inputs.tensors[0].shape[0] == 0:
        raise NaswotError(f"The batch of shape {tuple(inputs.tensors[0].shape)} holds 0 images.")
    for x in inputs.tensors:
        if x.is_floating_point() and not x.is_meta and not torch.isfinite(x).all():
            bad = int((~torch.isfinite(x)).sum())
            raise NaswotError(
                f"The batch of shape {tuple(x.shape)} holds {bad} values that are NaN or infinite. Check how the "
                "images were read and normalised."
            )
    return inputs._replace(images=inputs.tensors[0].shape[0])


def _tensor(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    try:
        # torch warns of read-only memory, such as a memory-mapped file's.
        return torch.from_numpy(value if value.flags.writeable else value.copy())
    except TypeError as error:
        raise NaswotError(f"The batch is an array of {value.dtype}, which torch cannot hold: {error}") from error


def _described(batch: object) -> str:
    kind = type(batch).__name__
    if isinstance(batch, Tensor):
        return f"a {kind} of shape {tuple(batch.shape)}"
    return f"a {kind} of {len(batch)} items" if isinstance(batch, (tuple, list, Mapping)) else f"a {kind}"


def read_model(model: nn.Module, device: str | torch.device | None = None) -> nn.Module:
    """The network itself, out of torch.compile, DataParallel and DistributedDataParallel, on `device`.

    A model that lives on another device is copied there; the one given stays where it is. Raises
    NaswotError for what is not a module, for lazy modules that have no parameters yet and for a device that
    is not there.
    """
    if not isinstance(model, nn.Module):
        raise NaswotError(
            f"The model is a {type(model).__name__}: expected a torch.nn.Module. Call it first if it builds one."
        )
    while (wrapped := _wrapped(model)) is not None:
        model = wrapped
    lazy = [name for name, tensor in _state(model) if is_lazy(tensor)]
    if lazy:
        raise NaswotError(
            f"{type(model).__name__} has lazy parameters without a value ({lazy[0]}): run it once on a batch first."
        )
    target = read_device(device)
    elsewhere = target is not None and any(tensor.device != target for _, tensor in _state(model))
    if not elsewhere:
        return model
    try:
        return copy.deepcopy(model).to(target)
    # A user's module may refuse to be copied with any error; moving it themselves is what they can do.
    except Exception as error:
        raise NaswotError(
            f"{type(model).__name__} cannot be copied to {target} ({type(error).__name__}: {error}). Move it there "
            "with .to(device), and leave device= out."
        ) from error


def read_device(device: str | torch.device | None) -> torch.device | None:
    """The device of that name, with its index; raises NaswotError if it is not there."""
    try:
        return None if device is None else torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # torch without CUDA answers with an AssertionError
        raise NaswotError(f"There is no device {str(device)!r} here: {error}") from error


def _wrapped(model: nn.Module) -> nn.Module | None:
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return model.module
    dynamo = sys.modules.get("torch._dynamo")
    return model._orig_mod if dynamo is not None and isinstance(model, dynamo.OptimizedModule) else None


def _state(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def place(inputs: Inputs, model: nn.Module, device: str | torch.device | None = None) -> Inputs:
    """`inputs` where the model is and in its precision; on `device` or as they are if it has no parameters."""
    home = next((tensor.device for _, tensor in _state(model)), None)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    home = home or read_device(device)
    if home is not None and home.type != "meta" and any(x.is_meta for x in inputs.tensors):
        raise NaswotError(f"The batch is on the meta device, without values, and the model on {home}.")
    return inputs.to(home, dtype)


def run(model: nn.Module, inputs: Inputs) -> Any:
    """`model(*args, **kwargs)`; whatever it raises is wrapped in a NaswotError that says on what it failed."""
    try:
        return model(*inputs.args, **inputs.kwargs)
    except NaswotError:
        raise
    except Exception as error:
        raise failure(model, inputs, error) from error


def failure(model: nn.Module, inputs: Inputs, error: Exception) -> NaswotError:
    """What to say of a forward pass that raised `error`."""
    x = inputs.tensors[0]
    reason = next(iter(str(error).strip().splitlines()), "no message")
    hint = " A tuple or list is passed as model(*batch): leave the labels out." if len(inputs.args) > 1 else ""
    return NaswotError(
        f"{type(model).__name__} failed in its forward pass on an input of shape {tuple(x.shape)}, "
        f"{str(x.dtype).removeprefix('torch.')}, on {x.device}: {type(error).__name__}: {reason}.{hint}"
    )


@contextlib.contextmanager
def undisturbed(model: nn.Module, batchnorm: str = "train") -> Iterator[None]:
    """Inside: no gradient, a defined train/eval mode, nothing fused or compiled. After: all as it was before.

    With `batchnorm="train"` the layers of the BatchNorm and InstanceNorm families normalise with the
    statistics of the batch, as the paper scores networks; with "eval" by their running ones. In both,
    everything else is in eval mode: a dropout mask or a skipped block would be noise in the codes, and
    auxiliary heads are for training only. Flags are set directly, since a model's own `train()` may do more.

    Restored, also after an exception: every module's flags and buffers (the model sees copies, so running
    statistics keep their exact bits), the random states of the CPU and of the model's device, grad mode.
    """
    if batchnorm not in ("train", "eval"):
        raise unknown("batchnorm mode", batchnorm, ("train", "eval"))
    cuda = {t.device.index for _, t in _state(model) if t.is_cuda}
    with contextlib.ExitStack() as stack:
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        stack.enter_context(torch.jit.optimized_execution(False))
        if "torch._dynamo" in sys.modules:  # recent versions run eagerly under a dispatch mode anyway
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.random.fork_rng(devices=cuda))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_flags(model, batchnorm == "train"))
        stack.enter_context(_copied_buffers(model))
        yield


@contextlib.contextmanager
def _flags(model: nn.Module, batch_statistics: bool) -> Iterator[None]:
    # A frozen TorchScript module has no flag any more.
    before = [(module, module.training) for module in model.modules() if hasattr(module, "training")]
    try:
        for module, _ in before:
            module.training = batch_statistics and _normalises(module)
        yield
    finally:
        for module, training in before:
            module.training = training


def _normalises(module: nn.Module) -> bool:
    # A scripted layer is no instance of its class any more, but remembers its name.
    name = getattr(module, "original_name", "")
    return isinstance(module, _NormBase) or name.startswith(("BatchNorm", "InstanceNorm", "SyncBatchNorm"))


@contextlib.contextmanager
def _copied_buffers(model: nn.Module) -> Iterator[None]:
    before = [(module, name, buffer) for module in model.modules() for name, buffer in module._buffers.items()]
    # One copy a buffer, so that a shared one stays shared.
    copies = {id(buffer): None if buffer is None else buffer.clone() for _, _, buffer in before}
    try:
        for module, name, buffer in before:
            module._buffers[name] = copies[id(buffer)]
        yield
    finally:
        for module, name, buffer in before:
            module._buffers[name] = buffer
