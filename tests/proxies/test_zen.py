"""Zen-Score against its formula, on networks whose weights and images the test draws again."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from naswot_ext.errors import NaswotError
from naswot_ext.proxies import PROXIES, Images
from naswot_ext.proxies.zen import _measuring
from naswot_ext.seeds import derive
from naswot_ext.spaces import SPACES
from tests.proxies.tiny import score
from tests.spaces.test_nds import GENOTYPE

BATCH = Images(torch.zeros(6, 2, 4, 4), None, 3)


class Draws:
    """What the proxy draws, in its order, after ``torch.manual_seed(seed)``."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(derive(seed, "zen"))

    def normal(self, *shape: int) -> Tensor:
        return torch.empty(shape).normal_(generator=self._generator)


def test_one_convolution_moves_by_its_weights() -> None:
    torch.manual_seed(5)
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    draws = Draws(5)
    weight = draws.normal(3, 2, 1, 1)
    draws.normal(3, 3)  # the classifier's, which decide nothing
    draws.normal(*BATCH.images.shape)  # nor do the images: the network is linear, and its bias 0
    moves = torch.einsum("oc,bchw->bohw", weight[:, :, 0, 0], 0.01 * draws.normal(*BATCH.images.shape))
    expected = math.log(moves.abs().sum(dim=(1, 2, 3)).mean())
    assert score("zen", network, BATCH) == pytest.approx(expected, rel=1e-5)


def test_batchnorm_adds_the_logarithm_of_what_it_divides_by() -> None:
    torch.manual_seed(5)
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, eps=0.5), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    with torch.no_grad():  # none of which count
        network[1].weight.fill_(7)
        network[1].bias.fill_(7)
        network[1].running_var.fill_(7)
    draws = Draws(5)
    weight = draws.normal(3, 2, 1, 1)
    x, shift = draws.normal(*BATCH.images.shape), draws.normal(*BATCH.images.shape)

    def maps(images: Tensor) -> tuple[Tensor, Tensor]:
        convolved = torch.einsum("oc,bchw->obhw", weight[:, :, 0, 0], images).flatten(1)
        centred = convolved - convolved.mean(1, keepdim=True)
        normalised = centred / (convolved.var(1, unbiased=False, keepdim=True) + 0.5).sqrt()
        return normalised.clamp(min=0), convolved.var(1)

    (at, variance), (near, _) = maps(x), maps(x + 0.01 * shift)
    expected = math.log((at - near).abs().sum() / 6) + math.log(math.sqrt(variance.mean()))
    assert score("zen", network, BATCH) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("tracked", [True, False])
def test_the_scaling_of_batchnorm_is_undone_whether_it_keeps_running_statistics_or_not(tracked: bool) -> None:
    of = Images(torch.zeros(64, 3, 8, 8), None, 1)
    scores = []
    for norm in (nn.Identity(), nn.BatchNorm2d(64, track_running_stats=tracked, affine=tracked)):
        torch.manual_seed(0)
        scores.append(score("zen", nn.Sequential(nn.Conv2d(3, 64, 3), norm, nn.AdaptiveAvgPool2d(1)), of))
    # Both are log of the same distance; the channels' deviations differ among themselves, and their mean is one number.
    assert scores[1] == pytest.approx(scores[0], abs=0.05)


def test_all_ways_to_pool_globally_are_the_same() -> None:
    class Pooled(nn.Module):
        def __init__(self, how: int) -> None:
            super().__init__()
            self.how, self.layer = how, nn.Conv2d(2, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.layer(x)
            squeezed = functional.adaptive_avg_pool2d(x, 1).sigmoid()  # a gate on channels, not the last pooling
            x = x * squeezed
            return (
                (
                    functional.adaptive_avg_pool2d(x, 1),
                    functional.adaptive_avg_pool2d(x, (1, 1)),
                    x.mean((2, 3)),
                    x.mean((-1, -2), keepdim=True),
                    functional.avg_pool2d(x, 4),
                    functional.avg_pool2d(x, (4, 4)),
                    # Without any pooling, the output itself.
                    x,
                )[self.how].clone()
                if self.how < 6
                else x
            )

    scores = []
    for how in (0, 1, 2, 3, 4, 5):
        torch.manual_seed(0)
        scores.append(score("zen", Pooled(how), BATCH))
    assert scores == [scores[0]] * 6


def test_a_network_without_pooling_is_scored_by_its_output() -> None:
    torch.manual_seed(3)
    pooled = score("zen", nn.Sequential(nn.Conv2d(2, 3, 1), nn.AvgPool2d(4)), BATCH)
    torch.manual_seed(3)
    bare = score("zen", nn.Sequential(nn.Conv2d(2, 3, 1)), BATCH)
    # A window over half of the map is no global pooling: its output is the network's.
    torch.manual_seed(3)
    half = score("zen", nn.Sequential(nn.Conv2d(2, 3, 1), nn.AvgPool2d(2)), BATCH)
    assert bare == pooled
    assert half < bare - 0.5


SMALL = {"channels": 4, "cells": 1}


@pytest.mark.parametrize(
    ("space", "network", "architecture"),
    [
        ("nasbench201", SMALL, "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"),
        # The second convolution sees zeros only.
        ("nasbench201", SMALL, "|none~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"),
        ("nasbench101", {"stem_channels": 16, "modules": 1}, "011001000 input,conv3x3-bn-relu,output"),
        ("nats-sss", {}, "8:16:24:32:40"),
        ("nds-darts", {"width": 4, "depth": 3}, GENOTYPE),
        ("nds-resnet", {}, '{"block_type":"res_basic_block","ds":[1,1,1],"ws":[16,24,32],"ss":[1,2,2]}'),
    ],
)
def test_every_space_has_finite_scores_that_a_seed_decides(space: str, network: dict, architecture: str) -> None:
    values = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found = SPACES.get(space).with_network(**network)
        built = found.build(found.canonical(architecture), 10)
        values.append(score("zen", built, Images(torch.zeros(4, 3, 16, 16), None, 10)))
        torch.rand(3)  # what others draw meanwhile does not matter
    assert all(map(math.isfinite, values))
    assert values[0] == values[1] != values[2]


def test_a_network_that_nothing_goes_through_is_singular() -> None:
    space = SPACES.get("nasbench201").with_network(**SMALL)
    network = space.build("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 10)
    assert score("zen", network, Images(torch.zeros(4, 3, 8, 8), None, 10)) == -math.inf


def test_feature_maps_that_overflow_and_outputs_that_are_no_tensor_are_errors() -> None:
    zen = PROXIES.get("zen")
    wide = nn.Sequential(nn.Flatten(), *(nn.Linear(32, 32) for _ in range(60)))
    with pytest.raises(NaswotError, match="overflow float32"):
        zen.compute(wide, BATCH)

    class Tuple(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    with pytest.raises(NaswotError, match="no global average pooling and returned a tuple"):
        zen.compute(Tuple(), BATCH)


def test_statistics_that_a_layer_does_not_keep_are_measured_where_the_images_are() -> None:
    layer = nn.BatchNorm2d(3, affine=False, track_running_stats=False)
    with _measuring([layer], torch.empty(1, 3, 4, 4, device="meta")):
        assert layer.running_mean is not None
        assert layer.running_mean.is_meta
        assert layer.running_var is not None
        assert layer.running_var.is_meta
    assert layer.running_var is None
