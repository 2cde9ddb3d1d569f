"""SNIP against a value by hand."""

from __future__ import annotations

import pytest
from torch import nn

from tests.proxies.tiny import S2, batch, convolution, linear, score


def test_each_weight_counts_by_its_size_times_its_gradients() -> None:
    # Gradients: -1/2 and 1/2 times the mean image (1/2, 1) in the two rows; weights 3 and -1.
    network = linear([3, -1], [3, -1])
    assert score("snip", network, batch([1, 0], [0, 2])) == pytest.approx(2 * (3 * 0.25 + 1 * 0.5), rel=1e-6)


def test_convolutions_count_and_biases_do_not() -> None:
    # As for grad_norm: gradients -s of the convolution's weight 2, -2s and 2s of the linear weights 1 and 0.
    network = nn.Sequential(convolution(2), nn.Flatten(), linear([1], [0], bias=True))
    assert score("snip", network, batch([[[1]]])) == pytest.approx(2 * S2 + 2 * S2, rel=1e-6)
