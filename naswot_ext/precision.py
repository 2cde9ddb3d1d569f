"""How exactly networks are computed: float32 as IEEE 754 has it, or faster and rounded more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from naswot_ext.errors import NaswotError, unknown

# The type that networks and images are cast to; None: they stay float32.
PRECISIONS: dict[str, torch.dtype | None] = {"float32": None, "tf32": None, "bfloat16": torch.bfloat16}


def cast(precision: str, device: str) -> torch.dtype | None:
    """The type to cast networks and images to; raises NaswotError where `device` does not know the precision."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision == "tf32" and torch.device(device).type != "cuda":
        raise NaswotError(f"Precision tf32 is a mode of NVIDIA's GPUs, but the device is {device}. Take float32 there.")
    return PRECISIONS[precision]


@contextmanager
def numerics(precision: str) -> Iterator[None]:
    """Inside, torch computes float32 exactly, but for "tf32", where convolutions and products round their inputs.

    Whatever the process had set is set again after. Convolutions are not timed against each other either, because
    the fastest may be another one, with other last digits, in each run.
    """
    with ExitStack() as stack:

        def put(module: Any, name: str, value: object) -> None:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, value)

        put(torch.backends.cudnn, "benchmark", False)
        tf32 = precision == "tf32"
        mkldnn: Any = torch.backends.mkldnn  # whose attributes mypy does not know
        if hasattr(torch.backends.cudnn, "conv"):
            for on_gpu in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn):
                put(on_gpu, "fp32_precision", "tf32" if tf32 else "ieee")
            for on_cpu in (mkldnn.matmul, mkldnn.conv, mkldnn.rnn):
                put(on_cpu, "fp32_precision", "ieee")
        else:  # before torch 2.9; the two ways must not be mixed
            put(torch.backends.cuda.matmul, "allow_tf32", tf32)
            put(torch.backends.cudnn, "allow_tf32", tf32)
        yield
