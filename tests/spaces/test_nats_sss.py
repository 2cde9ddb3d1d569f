"""NATS-Bench's size space against the reference code's own networks, the official order, and its definition."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from naswot_ext import activation, capture, forward, fused, rectifiers
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES

SPACE = SPACES.get("nats-sss")


def test_the_order_is_that_of_the_tuples_and_holds_each_once() -> None:
    architectures = [SPACE.architecture(i) for i in range(len(SPACE))]
    assert len(set(architectures)) == len(SPACE) == 32_768
    tuples = [tuple(map(int, arch.split(":"))) for arch in architectures]
    assert tuples == sorted(tuples)
    assert architectures[:2] == ["8:8:8:8:8", "8:8:8:8:16"]
    assert [SPACE.index(arch) for arch in architectures] == list(range(len(SPACE)))


def test_the_real_table_holds_these_architectures(real_data) -> None:
    table = pd.read_csv(real_data("nats_sss_cifar10.csv.gz"))
    assert sorted(map(SPACE.index, table["arch"])) == list(range(len(SPACE)))


# Where every layer widens, narrows or keeps its width.
SHAPES = ["8:16:32:48:64", "64:48:32:16:8", "24:24:24:24:24", "64:8:64:8:64"]


@pytest.mark.parametrize("architecture", SHAPES)
def test_the_fused_pass_runs_it_with_the_codes_of_the_plain_modules(architecture: str) -> None:
    torch.manual_seed(0)
    network, images = SPACE.build(architecture), torch.randn(16, 3, 16, 16)
    plan = fused.trace(network, images)
    assert plan is not None
    kept: list[torch.Tensor] = []

    class Kept(capture.LayerKernels):
        def add(self, activations: torch.Tensor) -> None:
            kept.append(activations.permute(0, 2, 3, 1).clone())

    with forward.undisturbed(network), capture.Capture(network, 16, rectifiers.NAMES, (), Kept(16)):
        network(images)
    codes = plan.codes(images)
    assert len(codes) == len(kept) == plan.applications
    for code, x in zip(codes, kept, strict=True):
        differs = code != (x > 0)
        # Float rounding of sums of hundreds of products of size one.
        assert not differs.any() or x[differs].abs().max() < 1e-4
        assert differs.float().mean() < 1e-4
    assert math.isfinite(activation.finish([activation.launch(network, images)])[0])


def test_every_single_edit_is_a_neighbour_and_mutations_are_uniform_among_them() -> None:
    architecture = "8:16:24:32:64"
    neighbours = SPACE.neighbours(architecture)
    assert len(set(neighbours)) == 5 * 7
    for other in neighbours:
        assert sum(a != b for a, b in zip(architecture.split(":"), other.split(":"), strict=True)) == 1
        assert SPACE.architecture(SPACE.index(other)) == other
    rng = np.random.default_rng(0)
    drawn = pd.Series([SPACE.mutate(architecture, rng) for _ in range(7_000)]).value_counts()
    # 200 expected each; 5 standard deviations of a binomial are 70.
    assert set(drawn.index) == set(neighbours)
    assert drawn.between(130, 270).all()


def test_the_classifier_has_the_classes_asked_for_and_a_string_form_is_made_canonical() -> None:
    assert SPACE.build("8:16:24:32:40", num_classes=7)(torch.randn(2, 3, 8, 8)).shape == (2, 7)
    assert SPACE.canonical(" 8:08:16:8:64 ") == "8:8:16:8:64"


@pytest.mark.parametrize(
    "architecture", ["8:8:8:8", "8:8:8:8:12", "8:8:8:8:72", "8:8:8:8:0", "8:8:8:8:-8", "", "a", "8:\n" * 10**6]
)
def test_an_architecture_outside_the_space_is_refused(architecture: str) -> None:
    for ask in (SPACE.index, SPACE.canonical, SPACE.build, SPACE.neighbours):
        with pytest.raises(NaswotError, match="is not an architecture of nats-sss") as error:
            ask(architecture)
        assert len(str(error.value)) < 400
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("index", [-1, 32_768])
def test_an_index_outside_the_space_is_refused(index: int) -> None:
    with pytest.raises(NaswotError, match="run from 0 to 32767"):
        SPACE.architecture(index)


def test_it_has_no_network_options() -> None:
    with pytest.raises(NaswotError, match="network option of nats-sss 'channels'"):
        SPACE.with_network(channels=16)


def test_an_architecture_is_five_decisions_of_eight_options() -> None:
    assert SPACE.decisions == (8, 8, 8, 8, 8)
    assert SPACE.encode("8:16:64:8:24") == (0, 1, 7, 0, 2)
    assert SPACE.decode((0, 1, 7, 0, 2)) == "8:16:64:8:24"
    with pytest.raises(NaswotError, match="encodes no architecture of nats-sss"):
        SPACE.decode((0, 1, 8, 0, 2))
