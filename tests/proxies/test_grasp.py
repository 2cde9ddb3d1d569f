"""GraSP against values by hand and against the Hessian written out."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from naswot_ext.proxies import Images
from tests.proxies.tiny import S1, batch, linear, score


def test_weights_are_multiplied_by_the_hessian_times_the_gradient() -> None:
    # Image (1, 2), logits (1, 0), so g = (-s, s) x and H = s (1 - s) [[1, -1], [-1, 1]] x x', where |x|^2 = 5:
    # Hg = 10 s^2 (1 - s) (-1, 1) x, and only the weight 1 of the first row counts, times -1.
    network = linear([1, 0], [0, 0])
    assert score("grasp", network, batch([1, 2])) == pytest.approx(10 * S1**2 * (1 - S1), rel=1e-5)


def test_the_hessian_is_that_of_all_layers_together() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 2, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(2, 2, bias=False))
    images = Images(torch.randn(3, 1, 2, 2, dtype=torch.float64), torch.tensor([0, 1, 1]), 2)
    network = network.double()
    names = [name for name, _ in network.named_parameters()]
    shapes = [p.shape for p in network.parameters()]
    flat = torch.cat([p.detach().flatten() for p in network.parameters()])

    def loss(theta: Tensor) -> Tensor:
        parts = theta.split([shape.numel() for shape in shapes])
        tensors = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return functional.cross_entropy(functional_call(network, tensors, images.images), images.labels)

    hessian = torch.autograd.functional.hessian(loss, flat)
    gradient = torch.autograd.functional.jacobian(loss, flat)
    expected = -(flat @ (hessian @ gradient)).item()
    assert score("grasp", copy.deepcopy(network), images) == pytest.approx(expected, rel=1e-9)


def test_a_network_without_any_gradient_is_the_worst() -> None:
    assert score("grasp", linear([1, 2], [3, 4]), batch([0, 0])) == -math.inf
