"""A tensor rectified several times is packed once, and K is what packing it every time would give."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from naswot_ext import capture, ops
from naswot_ext.activation import ActivationKernel


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes that were really packed."""
    shapes: list[tuple[int, ...]] = []
    original = ops.hamming_accumulate_

    def counting(kernel: Tensor, activations: Tensor, nonfinite: Tensor | None = None) -> None:
        shapes.append(tuple(activations.shape))
        original(kernel, activations, nonfinite)

    monkeypatch.setattr(capture.ops, "hamming_accumulate_", counting)
    return shapes


class Program(nn.Module):
    """Runs a function of the input."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


def test_a_cell_that_rectifies_one_node_on_three_edges_packs_it_once(packed) -> None:
    cell = Program(lambda x: (F.relu(x), F.relu(x.view_as(x)), nn.ReLU()(x)))
    kernel = ActivationKernel(cell)
    kernel(torch.randn(4, 9))
    assert packed == [(4, 9)]
    assert (kernel.units, kernel.activations) == (27, {"relu": 3})
    assert kernel.matrix.diagonal().tolist() == [27] * 4


def announced(x: Tensor) -> None:
    """A write that no operation declares, as an extension makes it and tells autograd of it."""
    x.numpy()[:] *= -1
    torch.autograd.graph.increment_version(x)


WRITES: dict[str, Callable[[Tensor], object]] = {
    "method": lambda x: x.neg_(),
    "data": lambda x: x.data.neg_(),
    "detached": lambda x: x.detach().neg_(),
    "view": lambda x: x[1:].neg_(),
    "item": lambda x: x.__setitem__((slice(None), 0), 3.0),
    "out": lambda x: torch.neg(x, out=x),
    "foreach": lambda x: torch._foreach_neg_([x]),
    "rectified in place": lambda x: F.leaky_relu_(x, -1.0),
    "new data": lambda x: setattr(x, "data", -x.data),
    "announced": announced,
    "inference": lambda x: torch.inference_mode()(x.neg_)(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_tensor_that_changed_is_packed_again(write, packed, definition) -> None:
    seen = []

    def function(x: Tensor) -> None:
        x = x + 0.0
        for _ in range(2):
            seen.append(x.clone())
            F.relu(x)
            write(x)

    kernel = ActivationKernel(Program(function), activations={"relu"})
    kernel(torch.randn(4, 9))
    assert len(packed) == 2
    assert torch.equal(kernel.matrix, definition(seen))


def test_the_same_memory_read_as_another_tensor_is_packed_again(packed, definition) -> None:
    seen = []

    def function(x: Tensor) -> None:
        for y in (x, x.view(8, 4).t(), x[:, 1:], x[:, :7], x.view(torch.int32).view(torch.float32) + 0.0):
            y = y if y.shape[0] == 4 else y.reshape(4, -1)
            seen.append(y.clone())
            F.relu(y)

    kernel = ActivationKernel(Program(function))
    kernel(torch.randn(4, 8))
    assert torch.equal(kernel.matrix, definition(seen))
    assert len(packed) == 5


def test_memory_given_to_another_tensor_is_packed_again(definition) -> None:
    offsets = [(-1) ** i * i / 10 for i in range(20)]

    def function(x: Tensor) -> None:
        for offset in offsets:
            F.relu(x + offset)  # the allocator hands out the block that the last one left

    batch = torch.randn(4, 300)
    kernel = ActivationKernel(Program(function))(batch)
    assert torch.equal(kernel, definition([batch + offset for offset in offsets]))


def test_neither_activations_nor_layer_kernels_outlive_what_the_model_holds(monkeypatch) -> None:
    tensors: list[weakref.ref[Tensor]] = []
    layers: list[weakref.ref[Tensor]] = []
    alive: list[tuple[int, int]] = []
    original = ops.hamming_accumulate_

    def watched(kernel: Tensor, activations: Tensor, nonfinite: Tensor | None = None) -> None:
        layers.append(weakref.ref(kernel))
        original(kernel, activations, nonfinite)

    def function(x: Tensor) -> None:
        for _ in range(5):
            y = x + 1
            tensors.append(weakref.ref(y))
            F.relu(y)
            del y
            alive.append(tuple(sum(r() is not None for r in refs) for refs in (tensors, layers)))

    monkeypatch.setattr(ops, "hamming_accumulate_", watched)
    ActivationKernel(Program(function))(torch.randn(4, 9))
    # The last layer kernel goes when the next one comes.
    assert alive == [(0, 1)] * 5


STEPS: list[Callable[[Tensor], object]] = [
    F.relu,
    F.relu_,
    F.gelu,
    lambda x: F.relu(x[:, 2:]),
    lambda x: F.relu(x.view(x.shape[0], 2, -1)),
    lambda x: x.sub_(0.4),
    lambda x: x.data.neg_(),
    lambda x: x[0].mul_(-2),
    lambda x: F.leaky_relu_(x[:, ::2], -0.5),
]


# The same programs each time, however slowly a busy machine makes them.
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(range(len(STEPS)))), max_size=25))
def test_any_program_of_rectifications_and_writes_counts_as_if_all_were_packed(steps) -> None:
    seen: list[Tensor] = []

    class Naive(capture.LayerKernels):
        def add(self, activations: Tensor) -> None:
            seen.append(activations.clone())
            super().add(activations)

    def function(x: Tensor) -> None:
        tensors = [x + 0.0, x * -1.0, x[:, :6] + 0.0]
        for which, step in steps:
            STEPS[step](tensors[which])
        F.relu(x)

    batch = torch.randn(3, 8, generator=torch.Generator().manual_seed(len(steps)))
    kernels = Naive(3)
    model = Program(function)
    with capture.Capture(model, 3, {"relu", "gelu", "leaky_relu"}, (), kernels):
        model(batch)
    total, nonfinite = kernels.total(torch.device("cpu"))
    assert nonfinite == 0
    assert torch.equal(total, sum(ops.reference_hamming(x) for x in seen))
