"""The number of activation patterns, by hand and by sets of texts."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import nn

from naswot_ext.errors import NaswotError
from naswot_ext.proxies import PROXIES, Images, Scored
from naswot_ext.spaces import SPACES
from tests.activation.conftest import hooked
from tests.proxies.tiny import linear

SWAP = PROXIES.get("swap")
module = sys.modules[SWAP.compute.__module__]


def scored(network: nn.Module, x: torch.Tensor) -> Scored:
    value = SWAP.compute(network, Images(x, None, 1))
    assert isinstance(value, Scored)
    return value


def by_sets(network: nn.Module, x: torch.Tensor) -> int:
    """The definition: one text a unit, in a set."""
    network.train()
    patterns: set[str] = set()
    for layer in hooked(network, x, (nn.ReLU,)):
        patterns |= {"".join(map(str, unit)) for unit in (layer > 0).int().flatten(1).T.tolist()}
    return len(patterns)


def test_two_units_have_two_patterns_where_any_image_tells_them_apart() -> None:
    network = nn.Sequential(linear((1.0, 0.0), (0.0, 1.0)), nn.ReLU())
    # Patterns 110 and 101; 110 and 110.
    assert scored(network, torch.tensor([[1.0, 2.0], [3.0, -1.0], [-1.0, 4.0]])) == (2, 2)
    assert scored(network, torch.tensor([[1.0, 2.0], [3.0, 1.0], [-1.0, -4.0]])) == (1, 2)


def test_a_pattern_counts_once_however_many_layers_show_it() -> None:
    # Rectified twice, and once more by its positive part, which is active where it is.
    network = nn.Sequential(linear((1.0,)), nn.ReLU(), nn.ReLU(), nn.Softplus(), nn.GELU())
    # Patterns 10, 10, 10 (a zero is not active) and, softplus being positive, 11.
    assert scored(network, torch.tensor([[1.0], [-1.0]])) == (2, 4)


@pytest.mark.parametrize("images", [2, 7, 8, 9, 63, 64, 65, 130])
def test_it_is_the_size_of_the_set_of_patterns_for_any_number_of_images(images: int) -> None:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU())
    network, x = nn.Sequential(*layers), torch.randn(images, 3, 6, 6)
    # Some images again, so that patterns repeat.
    x[images // 2 :] = x[: images - images // 2].clone()
    value = scored(network, x)
    assert value.units == 8 * 36 + 4 * 16
    assert value.score == by_sets(network, x)


def test_sixteen_images_are_the_first_of_the_batch_or_all_of_them() -> None:
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(4, 400), nn.BatchNorm1d(400), nn.ReLU()), torch.randn(40, 4)
    few = PROXIES.get("swap_16")
    assert few.compute(network, Images(x, None, 1)) == scored(network, x[:16]) != scored(network, x)
    assert few.compute(network, Images(x[:5], None, 1)) == scored(network, x[:5])


def test_networks_of_a_search_space_are_counted_in_any_layout_of_the_images() -> None:
    space = SPACES.get("nasbench201").with_network(channels=4, cells=1)
    for index in (11920, 1462):
        torch.manual_seed(index)
        network, x = space.build(space.architecture(index), 10), torch.randn(20, 3, 8, 8)
        expected = by_sets(network, x)
        assert scored(network, x).score == expected
        # In float64, where the other layout's rounding decides no code.
        network, x = network.double(), x.double()
        assert scored(network, x).score == scored(network, x.contiguous(memory_format=torch.channels_last)).score


def test_patterns_whose_sort_numbers_are_equal_are_told_apart_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    rows = torch.randint(0, 3, (200, 3)) - 1
    expected = sorted(set(map(tuple, rows.tolist())))
    assert sorted(map(tuple, module.distinct(rows).tolist())) == expected
    # Each row's number is now its last word.
    monkeypatch.setattr(module, "_MIXER", 0)
    assert sorted(map(tuple, module.distinct(rows).tolist())) == expected


def test_patterns_merge_as_they_come_without_changing_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(16, 16), nn.ReLU())))
    x = torch.randn(70, 16)
    expected = scored(network, x)
    merges = []
    monkeypatch.setattr(module, "_WAITING", 300)
    distinct = module.distinct
    monkeypatch.setattr(module, "distinct", lambda rows: merges.append(len(rows)) or distinct(rows))
    assert scored(network, x) == expected
    assert len(merges) > 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_pre_activations_that_are_no_numbers_are_an_error(bad: float) -> None:
    network = nn.Sequential(linear((1.0, 0.0), (0.0, 1.0)), nn.ReLU())
    with torch.no_grad():
        network[0].weight[0, 0] = bad
    with pytest.raises(NaswotError, match="NaN or infinite"):
        scored(network, torch.ones(3, 2))


def test_a_network_without_a_rectifier_and_a_batch_of_one_are_refused() -> None:
    with pytest.raises(NaswotError, match="no activation that counts"):
        scored(nn.Linear(2, 2), torch.ones(3, 2))
    with pytest.raises(NaswotError, match="holds 1 image"):
        scored(nn.ReLU(), torch.ones(1, 2))
