"""NAS-Bench-201 against the reference code's own networks, the official order, and its definition."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

import naswot_ext
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES
from naswot_ext.spaces.nasbench201 import OPERATIONS
from tests.conftest import REPOSITORY

SPACE = SPACES.get("nasbench201")
ALL_NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def test_the_networks_of_the_papers_code_have_their_official_indices() -> None:
    table = pd.read_csv(REPOSITORY / "tests/golden/nasbench201.csv")
    assert [SPACE.index(arch) for arch in table["arch"]] == table["index"].tolist()


def test_the_order_is_that_of_the_official_files(real_data) -> None:
    table = pd.read_csv(real_data("nasbench201.csv.gz"))
    assert [SPACE.architecture(i) for i in range(len(SPACE))] == table["arch"].tolist()
    assert [SPACE.index(arch) for arch in table["arch"]] == table["index"].tolist()


def test_it_holds_every_combination_of_operations_once() -> None:
    architectures = {SPACE.architecture(i) for i in range(len(SPACE))}
    assert len(architectures) == len(SPACE) == 15_625


def test_the_all_none_cell_is_singular() -> None:
    score = naswot_ext.score(SPACE.build(ALL_NONE), torch.randn(8, 3, 32, 32))
    assert score == -math.inf
    assert score.singular


def test_a_disconnected_cell_that_still_rectifies_is_scored() -> None:
    # Node 1 is computed and rectified, but nothing that leaves it reaches the output.
    dead_branch = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"
    assert math.isfinite(naswot_ext.score(SPACE.build(dead_branch), torch.randn(8, 3, 32, 32)))


def test_every_single_edit_is_a_neighbour_and_mutations_are_uniform_among_them() -> None:
    architecture = SPACE.architecture(5)
    neighbours = SPACE.neighbours(architecture)
    assert len(set(neighbours)) == 6 * (len(OPERATIONS) - 1)
    assert architecture not in neighbours
    rng = np.random.default_rng(0)
    drawn = pd.Series([SPACE.mutate(architecture, rng) for _ in range(4_800)]).value_counts()
    # 200 expected each; 5 standard deviations of a binomial are 70.
    assert set(drawn.index) == set(neighbours)
    assert drawn.between(130, 270).all()


def test_the_classifier_has_the_classes_asked_for_and_sizes_follow_the_skeleton() -> None:
    small = SPACE.with_network(channels=4, cells=1).build(SPACE.architecture(1), num_classes=7)
    assert small(torch.randn(2, 3, 8, 8)).shape == (2, 7)


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ("nonsense", "is not a NAS-Bench-201 architecture"),
        (ALL_NONE.replace("none~0|+|none~0", "nor_conv_5x5~0|+|none~0", 1), "Did you mean 'nor_conv_"),
        (ALL_NONE + "+|none~0|", "is not a NAS-Bench-201 architecture"),
        ("x\n" * 10**6, "is not a NAS-Bench-201 architecture"),
        (ALL_NONE.replace("none", "none" * 10**5, 1), "Unknown NAS-Bench-201 operation"),
    ],
)
def test_an_architecture_outside_the_space_is_refused(architecture: str, reason: str) -> None:
    with pytest.raises(NaswotError, match=reason) as error:
        SPACE.index(architecture)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("index", [-1, 15_625])
def test_an_index_outside_the_space_is_refused(index: int) -> None:
    with pytest.raises(NaswotError, match="run from 0 to 15624"):
        SPACE.architecture(index)


def test_an_architecture_is_six_decisions_of_five_options() -> None:
    assert SPACE.decisions == (5, 5, 5, 5, 5, 5)
    assert SPACE.encode(ALL_NONE) == (0, 0, 0, 0, 0, 0)
    assert SPACE.decode([3, 0, 0, 0, 0, 4]) == "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|avg_pool_3x3~2|"
    for index in range(0, len(SPACE), 500):
        assert SPACE.decode(SPACE.encode(SPACE.architecture(index))) == SPACE.architecture(index)


@pytest.mark.parametrize("codes", [(0,) * 5, (0,) * 7, (5, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, -1)])
def test_codes_of_no_architecture_are_refused(codes: tuple[int, ...]) -> None:
    with pytest.raises(NaswotError, match="encodes no architecture of nasbench201"):
        SPACE.decode(codes)


def test_a_space_that_is_no_list_of_decisions_has_no_codes() -> None:
    other = SPACES.get("nasbench101")
    assert other.decisions == ()
    for ask in (lambda: other.encode(""), lambda: other.decode(())):
        with pytest.raises(NaswotError, match="nasbench101 is no list of independent decisions"):
            ask()
