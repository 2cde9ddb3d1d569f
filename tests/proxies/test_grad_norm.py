"""grad_norm against values by hand and against torch's own backward pass."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from naswot_ext.proxies import Images
from tests.proxies.tiny import S2, batch, convolution, linear, score


def test_the_norms_of_the_layers_are_added() -> None:
    # The pixel 1 gives the activation 2 and the logits (2, 0), whose gradient is (-s, s): the linear layer's is
    # 2 (-s, s), and the convolution's that of its activation, -s, times the pixel.
    network = nn.Sequential(convolution(2), nn.Flatten(), linear([1], [0]))
    assert score("grad_norm", network, batch([[[1]]])) == pytest.approx(2 * math.sqrt(2) * S2 + S2, rel=1e-6)


def test_the_gradient_is_that_of_the_mean_loss() -> None:
    # Equal logits: the gradient of both images' logits is (-1/2, 1/2), times the mean image (1/2, 1).
    expected = math.sqrt(2 * (0.25**2 + 0.5**2))
    assert score("grad_norm", linear([3, -1], [3, -1]), batch([1, 0], [0, 2])) == pytest.approx(expected, rel=1e-6)


def test_batchnorm_normalises_with_the_batch_and_only_layers_weights_count() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 1), nn.Flatten(), nn.Linear(20, 3)
    )
    images = Images(torch.randn(6, 3, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2]), 3)
    other = copy.deepcopy(network).train()
    functional.cross_entropy(other(images.images), images.labels).backward()
    expected = sum(other[i].weight.grad.norm().item() for i in (0, 3, 5))
    assert score("grad_norm", network, images) == pytest.approx(expected, rel=1e-6)


def test_a_weight_that_two_layers_share_counts_once() -> None:
    shared = linear([1, 2], [3, 5])
    twice = nn.Sequential(shared, linear([0, 0], [0, 0]))
    twice[1].weight = shared.weight
    other = copy.deepcopy(twice)
    images = batch([1, 0], [0, 2])
    functional.cross_entropy(other(images.images), images.labels).backward()
    assert score("grad_norm", twice, images) == pytest.approx(other[0].weight.grad.norm().item(), rel=1e-6)
