"""The score of 2020 against its definition, worked out by hand and by numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from naswot_ext.errors import NaswotError
from naswot_ext.proxies import PROXIES, Images
from tests.proxies.tiny import linear, score

K = 1e-5
MODES = ("jacobian", "jacobian_train")


def images(*rows: tuple[float, ...]) -> Images:
    return Images(torch.tensor(rows), None, 1)


def network() -> nn.Module:
    torch.manual_seed(0)
    first = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
    return nn.Sequential(*first, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10))


def batch(count: int = 12) -> Images:
    return Images(torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1)), None, 10)


def by_numpy(model: nn.Module, x: torch.Tensor) -> float:
    """The authors' way: numpy's correlations and its eigenvalues of any matrix."""
    x = x.clone().requires_grad_()
    model(x).sum().backward()
    assert x.grad is not None
    eigenvalues = np.linalg.eigvals(np.corrcoef(x.grad.flatten(1).numpy())).real
    return -float(np.sum(np.log(eigenvalues + K) + 1 / (eigenvalues + K)))


@pytest.mark.parametrize("mode", MODES)
def test_a_linear_network_has_one_map_for_all_images(mode: str) -> None:
    # All correlations are 1, so the eigenvalues are B once, and 0.
    expected = -(math.log(3 + K) + 1 / (3 + K) + 2 * (math.log(K) + 1 / K))
    model = nn.Sequential(linear((1.0, -2.0), (0.5, 3.0)))
    assert score(mode, model, images((1.0, 2.0), (3.0, 4.0), (-1.0, 5.0))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_images_that_switch_other_units_on_have_other_maps(mode: str) -> None:
    # Units (1, -1, 0) and (1, 1, -2) of one input each; each image switches one on, and its row is that unit's weights,
    # which do not correlate. Both eigenvalues are 1.
    model = nn.Sequential(linear((1.0, -1.0, 0.0), (1.0, 1.0, -2.0)), nn.ReLU(), linear((1.0, 1.0)))
    expected = -2 * (math.log(1 + K) + 1 / (1 + K))
    assert score(mode, model, images((2.0, -2.0, 5.0), (0.0, 1.0, -1.0))) == pytest.approx(expected, rel=1e-12)


def test_batchnorm_is_in_eval_mode_in_one_and_in_training_mode_in_the_other() -> None:
    model, of = network(), batch()
    with torch.no_grad():
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.5, 2)
    measured = {mode: score(mode, model, of) for mode in MODES}
    model.eval()
    assert measured["jacobian"] == pytest.approx(by_numpy(model, of.images), rel=1e-5)
    model[1].train()
    assert measured["jacobian_train"] == pytest.approx(by_numpy(model, of.images), rel=1e-5)
    assert abs(measured["jacobian"] - measured["jacobian_train"]) > 0.1


def test_the_layout_changes_nothing_and_float64_only_the_rounding() -> None:
    model, of = network(), batch()
    expected = score("jacobian_train", model, of)
    laid_out = of._replace(images=of.images.contiguous(memory_format=torch.channels_last))
    assert score("jacobian_train", model, laid_out) == pytest.approx(expected, rel=1e-5)
    exact = of._replace(images=of.images.double())
    assert score("jacobian_train", model.double(), exact) == pytest.approx(expected, rel=1e-5)


def test_no_eigenvalue_is_taken_below_zero() -> None:
    # Three numbers less their mean have two dimensions, so that 62 eigenvalues of 64 are zero, give or take a rounding.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(), nn.Linear(4, 1))
    value = score("jacobian", model, Images(torch.randn(64, 3), None, 1))
    # The other two sum to 64.
    of_zeros = -62 * (math.log(K) + 1 / K)
    assert -2 * math.log(64) < value - of_zeros < -math.log(32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scale", [0.0, math.inf, math.nan])
def test_an_image_without_a_gradient_or_with_an_infinite_one_makes_the_score_singular(mode: str, scale: float) -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x * torch.tensor([[1.0], [scale], [1.0]]) * torch.tensor([1.0, 2.0])).sum(1)

    assert score(mode, Scaled(), images((1.0, 2.0), (3.0, 4.0), (5.0, 6.0))) == -math.inf


def test_a_constant_row_has_no_correlation_and_the_score_is_singular() -> None:
    # 0.1 is no float, so that the mean of many is another number.
    model = nn.Sequential(linear((0.1,) * 7))
    assert score("jacobian", model, Images(torch.randn(4, 7), None, 1)) == -math.inf


def test_a_network_that_does_not_look_at_its_images_is_singular() -> None:
    class Blind(nn.Module):
        def __init__(self, weight: nn.Parameter | torch.Tensor) -> None:
            super().__init__()
            self.weight = weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.weight.expand(len(x), 1)

    for weight in (torch.ones(1), nn.Parameter(torch.ones(1))):
        assert score("jacobian", Blind(weight), images((1.0, 2.0), (3.0, 4.0))) == -math.inf


def test_gradients_too_small_to_square_still_correlate() -> None:
    model, of = network().double(), batch()
    of = of._replace(images=of.images.double())
    expected = score("jacobian", model, of)
    with torch.no_grad():
        model[-1].weight.mul_(1e-250)
    assert score("jacobian", model, of) == pytest.approx(expected, rel=1e-9)


def test_a_network_that_changes_its_images_in_place_is_scored_and_the_images_stay() -> None:
    of = batch()
    before = of.images.clone()
    torch.manual_seed(0)
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(192, 4))
    assert math.isfinite(score("jacobian", model, of))
    assert torch.equal(of.images, before)
    assert not of.images.requires_grad


def test_what_has_no_jacobian_is_refused() -> None:
    with pytest.raises(NaswotError, match="holds 1 image"):
        PROXIES.get("jacobian").compute(network(), batch(1))

    class Tuple(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, x

    with pytest.raises(NaswotError, match="returned a tuple: its Jacobian needs one tensor"):
        PROXIES.get("jacobian").compute(Tuple(), batch())
