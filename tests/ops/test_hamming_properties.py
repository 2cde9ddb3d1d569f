"""What holds for every Hamming kernel of sign codes."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from naswot_ext import ops

# The same examples each time, however slowly a busy machine makes them.
STEADY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def activations(draw: st.DrawFn) -> Tensor:
    images = draw(st.integers(1, 40))
    units = draw(st.integers(0, 700))
    dtype = draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    # The shift makes codes that are mostly inactive, mostly active, or balanced.
    return (torch.randn(images, units, generator=generator) + draw(st.floats(-3, 3))).to(dtype)


def kernel_of(x: Tensor) -> Tensor:
    kernel = torch.zeros(len(x), len(x), dtype=torch.int64)
    ops.hamming_accumulate_(kernel, x)
    return kernel


@settings(STEADY, max_examples=60)
@given(activations())
def test_the_kernel_is_the_definition(x: Tensor) -> None:
    assert torch.equal(kernel_of(x), ops.reference_hamming(x))


@settings(STEADY, max_examples=30)
@given(activations())
def test_the_kernel_is_symmetric_with_the_number_of_units_on_its_diagonal(x: Tensor) -> None:
    kernel = kernel_of(x)
    assert torch.equal(kernel, kernel.T)
    assert (kernel.diagonal() == x.shape[1]).all()


@settings(STEADY, max_examples=30)
@given(activations())
def test_the_kernel_is_a_sum_of_two_gram_matrices_and_so_positive_semi_definite(x: Tensor) -> None:
    codes = (x > 0).long()
    assert torch.equal(kernel_of(x), codes @ codes.T + (1 - codes) @ (1 - codes).T)


@settings(STEADY, max_examples=30)
@given(activations(), st.randoms(use_true_random=False))
def test_the_order_of_units_changes_nothing_and_the_order_of_images_permutes(x: Tensor, random) -> None:  # type: ignore[no-untyped-def]
    units = random.sample(range(x.shape[1]), x.shape[1])
    images = random.sample(range(len(x)), len(x))
    assert torch.equal(kernel_of(x[:, units]), kernel_of(x))
    assert torch.equal(kernel_of(x[images]), kernel_of(x)[images][:, images])


@settings(STEADY, max_examples=30)
@given(activations(), st.integers(0, 700))
def test_a_layer_is_the_sum_of_its_parts(x: Tensor, cut: int) -> None:
    kernel = kernel_of(x[:, :cut])
    ops.hamming_accumulate_(kernel, x[:, cut:])
    assert torch.equal(kernel, kernel_of(x))
