"""The plain definition of K, to hold the capture to: pre-activations collected by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn

from naswot_ext import ops


def kernel_of(pre_activations: Iterable[Tensor]) -> Tensor:
    """K, int64 [B, B], as the sum over pre-activations [B, ...] of N - Hamming distance."""
    return sum(ops.reference_hamming(x) for x in pre_activations)


def hooked(model: nn.Module, batch: Tensor, kinds: tuple[type[nn.Module], ...]) -> list[Tensor]:
    """What reaches the modules of these kinds in one forward pass in the model's present mode."""
    seen: list[Tensor] = []
    hooks = [
        m.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
        for m in model.modules()
        if isinstance(m, kinds)
    ]
    with torch.no_grad():
        model(batch)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.fixture
def definition() -> Callable[[Iterable[Tensor]], Tensor]:
    """`kernel_of`."""
    return kernel_of


@pytest.fixture
def collect() -> Callable[..., list[Tensor]]:
    """`hooked`."""
    return hooked


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
