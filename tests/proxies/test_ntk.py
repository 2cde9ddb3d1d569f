"""The two proxies of the neural tangent kernel against values by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from naswot_ext.errors import NaswotError
from naswot_ext.proxies import PROXIES, Images
from naswot_ext.proxies.ntk_condition import IMAGES
from tests.proxies.tiny import S1, batch, linear, score


def test_nasis_trace_norm_is_the_squared_gradient_of_all_parameters() -> None:
    # Both images' logits have the gradient (-1/2, 1/2): the weights' is that times the mean image (1/2, 1), the
    # bias's is that.
    network = linear([3, -1], [3, -1], bias=True)
    expected = 0.5 * (0.25 + 1) + 0.5
    assert score("ntk_trace", network, batch([1, 0], [0, 2])) == pytest.approx(expected, rel=1e-6)


def test_nasis_trace_norm_counts_batchnorm() -> None:
    # Normalised images 1 and -1: logits (1, 0) and (-1, 0), whose gradients are (-s, s) and (s - 1, 1 - s).
    norm = nn.BatchNorm1d(1, eps=1e-12)
    network = nn.Sequential(norm, linear([1], [0]))
    s = S1
    linears = 2 * ((-s + (1 - s)) / 2) ** 2
    scale, shift = (-s + (1 - s)) / 2, -1 / 2
    assert score("ntk_trace", network, batch([3], [1])) == pytest.approx(linears + scale**2 + shift**2, rel=1e-6)


def test_te_nas_condition_number_is_of_the_gradients_of_summed_logits() -> None:
    # The gradient of both rows is the image: K = 2 [[1, 1], [1, 2]], whose eigenvalues are 3 +- sqrt(5).
    expected = (3 + math.sqrt(5)) / (3 - math.sqrt(5))
    network = linear([1, -4], [2, 7], bias=True)
    assert score("ntk_condition", network, batch([1, 0], [1, 1])) == pytest.approx(expected, rel=1e-6)


def test_te_nas_counts_the_weights_of_batchnorm_but_no_bias() -> None:
    # Normalised images 1 and -1, shifted to 2 and 0; logits 2 and 3 times that. Gradients of their sum: (2, 2) and
    # (0, 0) for the linear weights, 5 and -5 for the scale: K = [[33, -25], [-25, 25]], of trace 58, determinant 200.
    norm = nn.BatchNorm1d(1, eps=1e-12)
    nn.init.ones_(norm.bias)
    network = nn.Sequential(norm, linear([2], [3], bias=True))
    root = math.sqrt(58**2 - 4 * 200)
    assert score("ntk_condition", network, batch([3], [1])) == pytest.approx((58 + root) / (58 - root), rel=1e-6)


def test_a_singular_kernel_is_the_worst_score() -> None:
    same = batch([1, 2], [1, 2])
    assert PROXIES.get("ntk_condition").score(linear([1, 0], [0, 1]), same).score == -math.inf
    assert PROXIES.get("ntk_condition").score(linear([1, 0], [0, 1]), batch([0, 0], [0, 0])).score == -math.inf


def test_lower_condition_numbers_stand_higher() -> None:
    network = linear([1, 0], [0, 1])
    proxy = PROXIES.get("ntk_condition")
    assert proxy.score(network, batch([1, 0], [0, 1])).score == pytest.approx(-1, rel=1e-6)
    assert proxy.score(network, batch([1, 0], [1, 1])).score < -1


def test_only_the_first_images_count() -> None:
    torch.manual_seed(0)
    images = Images(torch.randn(IMAGES + 3, 64), None, 2)
    few = images._replace(images=images.images[:IMAGES])
    network = nn.Linear(64, 2)
    assert score("ntk_condition", network, images) == score("ntk_condition", network, few)
    assert score("ntk_condition", network, images._replace(images=images.images[3:])) != score(
        "ntk_condition", network, few
    )


def test_one_image_is_an_error() -> None:
    with pytest.raises(NaswotError, match="2 or more"):
        score("ntk_condition", linear([1, 0], [0, 1]), batch([1, 0]))
