"""Fisher against values by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.proxies.tiny import S2, batch, convolution, linear, score

# Two channels of two pixels.
MAPS = [[[1, 2]], [[0, 1]]]


def small(*between: nn.Module) -> nn.Sequential:
    return nn.Sequential(convolution(1, 1), *between, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear([1], [0]))


def test_a_channels_square_is_taken_after_its_positions_are_added() -> None:
    # Activations 1 and 3, whose mean 2 gives the logits (2, 0) and has the gradient -s, half at each pixel:
    # 1/2 (-s/2 - 3s/2)^2, times 2 weights. The linear layer: 1/2 (-2s)^2 and 0, times 1 weight.
    assert score("fisher", small(), batch(MAPS)) == pytest.approx(2 * 2 * S2**2 + 2 * S2**2, rel=1e-6)


def test_squares_are_averaged_over_images_whose_gradients_are_of_the_mean_loss() -> None:
    # Two equal images have half the gradient each, a quarter of the square.
    assert score("fisher", small(), batch(MAPS, MAPS)) == pytest.approx(6 * S2**2 / 4, rel=1e-6)


class AddedInPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.add_(torch.ones_like(x))


class Added(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.ones_like(x)


def test_what_follows_may_overwrite_a_layers_output() -> None:
    expected = score("fisher", small(Added(), nn.ReLU()), batch(MAPS))
    assert score("fisher", small(AddedInPlace(), nn.ReLU(inplace=True)), batch(MAPS)) == expected


def test_a_layer_that_runs_twice_counts_twice() -> None:
    # Weight 1: the second run changes nothing, and its activation and gradient are those of the first.
    first, identity = convolution(1, 1), convolution(1)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear([1], [0]))
    once = score("fisher", nn.Sequential(first, identity, *head), batch(MAPS))
    twice = score("fisher", nn.Sequential(first, identity, identity, *head), batch(MAPS))
    assert once == pytest.approx(6 * S2**2 + 2 * S2**2, rel=1e-6)
    assert twice == pytest.approx(once + 2 * S2**2, rel=1e-6)


def test_linear_layers_on_sequences_have_their_channels_last() -> None:
    # Positions (1, 3) with one channel, as a linear layer's and as a convolution's.
    sequence = nn.Sequential(linear([1]), nn.Flatten(), linear([0.5, 0.5], [0, 0]))
    mapped = nn.Sequential(convolution(1), nn.Flatten(), linear([0.5, 0.5], [0, 0]))
    assert score("fisher", sequence, batch([[1], [3]])) == pytest.approx(
        score("fisher", mapped, batch([[[1, 3]]])), rel=1e-6
    )
