"""The compiled operators: pairwise Hamming kernels of sign codes, log-determinants of integer kernels, fused passes.

Importing this module loads the library and registers ``torch.ops.naswot``. The wrappers here turn bad input into
`NaswotError`; the operators themselves raise ValueError.
"""

from __future__ import annotations

import importlib
import platform
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from naswot_ext import __version__
from naswot_ext.errors import NaswotError

_REBUILD = "Run `make install` (or `pip install --no-build-isolation --no-deps -e .`) in naswot's folder."

try:
    _C: Any = importlib.import_module("naswot_ext._C")
except ImportError as error:
    raise NaswotError(f"naswot's compiled library cannot be loaded: {error}. {_REBUILD}") from error

if _C.torch_version != torch.__version__:
    raise NaswotError(
        f"naswot's library was compiled for torch {_C.torch_version}, but this is torch {torch.__version__}. {_REBUILD}"
    )

try:
    _C.level()
except ValueError as error:
    raise NaswotError(str(error)) from error


def hamming_accumulate_(kernel: Tensor, activations: Tensor, nonfinite: Tensor | None = None) -> None:
    """Add one layer to the kernel of Mellor et al. (ICML 2021), K_ij = N_A - d_H(c_i, c_j).

    ``kernel[i, j] += D - d_H(c_i, c_j)``, where c_i is the 0/1 code ``activations[i] > 0`` of image i over its D units.
    The sum over layers is the network's kernel: it is exact in int64, whatever the device, instruction level, number of
    threads or order of layers. No gradient is recorded. NaN counts as inactive; denormals are positive.

    Args:
        kernel: int64 [B, B], any strides, changed in place.
        activations: pre-activations, [B, ...] with D numbers an image (D may be 0), float32, float64, bfloat16 or
            float16, on the kernel's device. Rows that are dense memory in any order of dimensions (contiguous,
            channels_last, ...) are read in place; other strides cost a copy.
        nonfinite: one int64 element, to which the number of NaN and infinite activations is added in the same pass.

    Raises:
        NaswotError: a wrong shape, dtype, layout or device.
    """
    if kernel.is_inference() and not torch.is_inference_mode_enabled():
        raise NaswotError("kernel was made in inference mode and cannot be changed outside it. Pass kernel.clone().")
    try:
        torch.ops.naswot.hamming_accumulate_(kernel, activations, nonfinite)
    except (ValueError, NotImplementedError) as error:
        raise _explained(error, kernel=kernel, activations=activations, nonfinite=nonfinite) from None


def slogdet(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Sign and log|det| of integer matrices, in float64; log|det K_H| is the score of Mellor et al. (ICML 2021).

    A matrix is singular by numerical rank: complete pivoting leaves nothing above B * eps * (largest diagonal entry),
    eps = 2**-52. The elimination runs in double-double arithmetic, so that rounding does not decide and every device
    agrees; regular matrices get log|det| to about 1e-15 of its value.

    Args:
        kernel: int64 [B, B] or [n, B, B], any values.

    Returns:
        (sign, logabsdet), float64 [] or [n]: sign is 1, -1 or, where singular, 0 beside -inf. Never NaN.

    Raises:
        NaswotError: a wrong shape, dtype or layout.
    """
    try:
        return torch.ops.naswot.slogdet(kernel)
    except (ValueError, NotImplementedError) as error:
        raise _explained(error, kernel=kernel) from None


def batch_norm_affine(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """BatchNorm's batch statistics as two numbers a channel: in training mode it is ``x * scale + shift``.

    ``scale = weight / sqrt(variance + eps)`` and ``shift = bias - mean * scale``, the mean and the biased variance over
    images and pixels. The order of the sums depends on the shape alone.

    Args:
        x: float32 [B, C, H, W], channels_last on the CPU; on CUDA also contiguous, or bfloat16.
        weight: [C], 1 if None.
        bias: [C], 0 if None.
        eps: BatchNorm's own.

    Returns:
        float32 [2, C]: scale, shift.

    Raises:
        NaswotError: a wrong shape, dtype, layout or device.
    """
    try:
        return torch.ops.naswot.batch_norm_affine(x, weight, bias, eps)
    except (ValueError, NotImplementedError) as error:
        raise _explained(error, x=x, weight=weight, bias=bias) from None


def combine(
    terms: Sequence[Tensor],
    affines: Sequence[Tensor | None],
    pools: Sequence[Sequence[int]],
    total: Tensor | None,
    rectified: Tensor | None,
    words: Tensor | None,
    nonfinite: Tensor | None,
) -> None:
    """Add up the terms of a node and write what is read of the sum: s = sum_t pool_t(terms_t) * scale_t + shift_t.

    Args:
        terms: float32 [B, C, H_t, W_t], channels_last on the CPU; on CUDA also contiguous, or bfloat16.
        affines: a term's scale and shift, float32 [2, C], or None.
        pools: a term's average pooling before that: kernel (0: none), stride, padding, count_include_pad (0 or 1).
        total: [B, C, H, W], receives s. It may be one of the terms that are not pooled.
        rectified: likewise, receives max(s, 0).
        words: int64 [B, W], receives the code s > 0 of each image, one bit a unit in an order that is the same for all
            images; W is a multiple of 8, rows a multiple of 8 apart. Bits and words that are not used become 0.
        nonfinite: one int64 element, to which the number of NaN and infinite s is added, where `words` is given.

    Raises:
        NaswotError: a wrong shape, dtype, layout or device.
    """
    try:
        torch.ops.naswot.combine(
            terms, affines, [x for pool in pools for x in pool], total, rectified, words, nonfinite
        )
    except (ValueError, NotImplementedError) as error:
        raise _explained(error, **{f"terms[{i}]": x for i, x in enumerate(terms)}, words=words) from None


def hamming_words_(kernel: Tensor, words: Tensor, units: int, weight: int = 1) -> None:
    """`hamming_accumulate_` on the code words of `combine`: ``kernel[i, j] += weight * (units - d_H(c_i, c_j))``.

    Args:
        kernel: int64 [B, B], any strides, changed in place.
        words: int64 [B, W], as `combine` writes them.
        units: how many units they are the codes of; with fewer bits, all images agree in the other units.
        weight: how often the network rectifies them.

    Raises:
        NaswotError: a wrong shape, dtype, layout or device.
    """
    try:
        torch.ops.naswot.hamming_words_(kernel, words, units, weight)
    except (ValueError, NotImplementedError) as error:
        raise _explained(error, kernel=kernel, words=words) from None


def reference_hamming(activations: Tensor) -> Tensor:
    """The definition in plain torch, which every compiled version equals: the number of units where two codes agree.

    Args:
        activations: [B, ...], any dtype with an order.

    Returns:
        int64 [B, B].
    """
    codes = (activations > 0).reshape(len(activations), -1)
    return torch.stack([(codes == code).sum(dim=1) for code in codes])


def keep_freed_memory() -> None:
    """Let this process keep the memory of freed tensors for its next ones. For processes of our own, such as jobs.

    The C library gives large blocks back to the system at once, which hands each new feature map out as thousands of
    small pages that have to be cleared first. Keeping them, in large pages where the system has some, saves a fifth of
    the time of scoring a small network. Does nothing but with glibc.
    """
    _C.keep_freed_memory()


def build_info() -> dict[str, Any]:
    """How the library was built and how it runs here, as JSON values.

    ``cpu_levels`` are compiled in, ``cpu_levels_supported`` run on this processor, ``cpu_level`` is used (the
    highest, unless the environment variable NASWOT_CPU_LEVEL names a lower one).
    """
    return {
        "naswot": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "compiler": _C.compiler,
        "source_fingerprint": _C.source_fingerprint,
        "cpu_levels": _C.levels(),
        "cpu_levels_supported": _C.supported_levels(),
        "cpu_level": _C.level(),
        "threads": torch.get_num_threads(),
        "cuda": _C.cuda_version is not None,
        "cuda_version": _C.cuda_version,
        "cuda_architectures": _C.cuda_architectures.replace(" ", ";").split(";") if _C.cuda_version else [],
        "cuda_available": torch.cuda.is_available(),
    }


def _explained(error: Exception, **tensors: Tensor | None) -> NaswotError:
    if isinstance(error, ValueError):
        return NaswotError(str(error))
    for name, tensor in tensors.items():
        if tensor is not None and (tensor.layout is not torch.strided or tensor.is_quantized):
            return NaswotError(f"{name} is {tensor.layout}, {tensor.dtype}: only dense tensors are supported.")
    devices = sorted({str(tensor.device) for tensor in tensors.values() if tensor is not None})
    if _C.cuda_version is None and any(device.startswith("cuda") for device in devices):
        return NaswotError(f"naswot's library was built without CUDA. {_REBUILD}")
    return NaswotError(f"naswot's operators run on CPU and CUDA, not on {', '.join(devices)}.")


# Shapes without values, for torch.compile and the meta device.
@torch.library.register_fake("naswot::hamming_accumulate_")
def _(kernel: Tensor, activations: Tensor, nonfinite: Tensor | None = None) -> None:
    _require(kernel.dtype == torch.int64, f"kernel must be int64, got {kernel.dtype}.")
    _require(kernel.dim() == 2 and kernel.shape[0] == kernel.shape[1], "kernel must be square [B, B].")
    _require(activations.dim() >= 1, "activations must be [B, ...], got a scalar.")
    _require(activations.shape[0] == kernel.shape[0], "kernel and activations differ in the batch size.")
    _require(activations.is_floating_point(), f"activations must be floating-point, got {activations.dtype}.")
    _require(nonfinite is None or nonfinite.dtype == torch.int64, "nonfinite must be one int64 element.")
    _require(
        activations.device == kernel.device,
        f"kernel is on {kernel.device} but activations are on {activations.device}.",
    )


@torch.library.register_fake("naswot::slogdet")
def _(kernel: Tensor) -> tuple[Tensor, Tensor]:
    _require(kernel.dtype == torch.int64, f"kernel must be int64, got {kernel.dtype}.")
    _require(kernel.dim() in (2, 3) and kernel.shape[-1] == kernel.shape[-2], "kernel must be square.")
    shape = kernel.shape[:-2]
    return kernel.new_empty(shape, dtype=torch.float64), kernel.new_empty(shape, dtype=torch.float64)


@torch.library.register_fake("naswot::batch_norm_affine")
def _(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    return x.new_empty((2, x.shape[1]), dtype=torch.float32)


@torch.library.register_fake("naswot::combine")
def _(*args: Any) -> None:
    return None


@torch.library.register_fake("naswot::hamming_words_")
def _(kernel: Tensor, words: Tensor, units: int, weight: int) -> None:
    return None


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
