"""ZiCo against values by hand."""

from __future__ import annotations

import math

import pytest
import torch

from naswot_ext.errors import NaswotError
from naswot_ext.proxies import Images
from tests.proxies.tiny import batch, linear, score


def test_means_are_divided_by_deviations_weight_by_weight() -> None:
    # Equal logits: gradients -x/2 and x/2 in the two rows, so (1 + 3) / |1 - 3| and (0 + 2) / |0 - 2| in each.
    assert score("zico", linear([1, 1], [1, 1]), batch([1, 0], [3, 2])) == pytest.approx(math.log(6), rel=1e-6)


def test_each_half_gives_the_gradient_of_its_mean_loss() -> None:
    # The halves' mean images are those of the test above. The fifth image is left out.
    images = batch([1, 1], [1, -1], [2, 2], [4, 2], [9, 9])
    assert score("zico", linear([1, 1], [1, 1]), images) == pytest.approx(math.log(6), rel=1e-6)


def test_the_logarithms_of_layers_are_added() -> None:
    # The first layer gives (1, 0) and (3, 2) again; behind equal rows it gets no gradient and is left out.
    chain = torch.nn.Sequential(linear([1, 0], [0, 1]), linear([1, 1], [1, 1]))
    assert score("zico", chain, batch([1, 0], [3, 2])) == pytest.approx(math.log(6), rel=1e-6)
    # Behind rows w_0 and w_1 its gradient is s (w_1 - w_0) x', where w_1 - w_0 = (0, 2) and s, the probability of the
    # wrong class, is 1/2 for the first image.
    chain = torch.nn.Sequential(linear([1, 0], [0, 1]), linear([0, 0], [0, 2]))
    s, t = 1 / 2, 1 / (1 + math.exp(-4))
    first = (s + 3 * t) / abs(s - 3 * t) + (0 + 2 * t) / (2 * t)
    assert score("zico", chain, batch([1, 0], [3, 2])) == pytest.approx(math.log(first) + math.log(2 * first), rel=1e-5)


def test_weights_whose_gradient_does_not_vary_are_left_out() -> None:
    assert score("zico", linear([0, 0], [0, 0]), batch([1, 2], [3, 2])) == pytest.approx(math.log(4), rel=1e-6)


def test_a_network_whose_gradients_do_not_vary_is_the_worst() -> None:
    assert score("zico", linear([0, 0], [0, 0]), batch([1, 2], [1, 2])) == -math.inf


def test_one_image_has_no_halves() -> None:
    with pytest.raises(NaswotError, match="fewer than 2 images"):
        score("zico", linear([1, 0], [0, 0]), Images(torch.ones(1, 2), torch.zeros(1, dtype=torch.int64), 2))
