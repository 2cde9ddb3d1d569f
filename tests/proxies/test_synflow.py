"""SynFlow against values by hand, and on networks whose outputs leave the range of numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from naswot_ext.errors import NaswotError
from tests.proxies.tiny import batch, convolution, linear, score


def test_each_layer_of_a_chain_holds_the_whole_flow() -> None:
    # |-2| (|3| + |-1|) = 8 for one image of ones, in each of the two layers.
    network = nn.Sequential(convolution(-2), nn.Flatten(), linear([3], [-1]))
    assert score("synflow", network, batch([[[-5]]])) == 16


def test_biases_add_to_the_flow_but_do_not_count() -> None:
    # 2 + |-1| goes into the linear layer of 3 and 1: 12 there, and 2 x 4 in the convolution.
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), linear([3], [-1]))
    with torch.no_grad():
        network[0].weight.fill_(-2)
        network[0].bias.fill_(-1)
    assert score("synflow", network, batch([[[7]]])) == 12 + 8


def test_batchnorm_is_left_out() -> None:
    norm = nn.BatchNorm2d(1)
    nn.init.constant_(norm.weight, 5)
    with_norm = nn.Sequential(convolution(-2), norm, nn.Flatten(), linear([3], [-1]))
    assert score("synflow", with_norm, batch([[[1]]])) == 16
    assert "forward" not in norm.__dict__


def test_the_range_of_float32_is_no_limit() -> None:
    network = nn.Sequential(*(linear([-1e30]) for _ in range(5)))
    assert score("synflow", network, batch([1], classes=1)) == pytest.approx(5e150, rel=1e-6)


def test_the_range_of_float64_is_an_error() -> None:
    network = nn.Sequential(*(linear([1e30]) for _ in range(11)))
    with pytest.raises(NaswotError, match="inf: the network's outputs overflow float64"):
        score("synflow", network, batch([1], classes=1))


def test_a_shared_weight_counts_once_with_both_its_uses() -> None:
    # R = w^2: |w dR/dw| = 2 w^2.
    shared = linear([-3])
    other = linear([1])
    other.weight = shared.weight
    network = nn.Sequential(shared, other)
    assert score("synflow", network, batch([1], classes=1)) == 18
    assert shared.weight is other.weight


class PreActivation(nn.Module):
    """A block whose ReLU works in place on what BatchNorm gives, while a shortcut uses what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.shortcut, self.branch = convolution(-2), convolution(5), convolution(3)
        self.activate = nn.Sequential(nn.BatchNorm2d(1), nn.ReLU(inplace=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        shortcut = self.shortcut(x)
        return (self.branch(self.activate(x)) + shortcut).flatten(1)


def test_a_relu_in_place_behind_batchnorm_leaves_its_input_to_a_shortcut() -> None:
    # 2 (3 + 5) in the stem, 2 x 5 in the shortcut, 2 x 3 in the branch.
    assert score("synflow", PreActivation(), batch([[[1]]], classes=1)) == 16 + 10 + 6
