"""Cells of the panels of score against accuracy."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from naswot_ext.papers.tau_cells import tau_cells
from naswot_ext.tables import CORRELATION_COLUMNS, correlation_rows
from tests.papers.tables import one
from tests.results.conftest import score_table, truth_table


def row(space="nasbench201", dataset="cifar10", split="test", tau=0.6, half=0.0196, n=250, **facts):
    return {
        "space": space,
        "scored_on": dataset,
        "proxy": "naswot",
        "dataset": dataset,
        "split": split,
        "kendall": 0.1,
        "kendall_filtered": tau,
        "kendall_filtered_low": tau - half,
        "kendall_filtered_high": tau + half,
        "filtered_architectures": n,
        **facts,
    }


def table(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=CORRELATION_COLUMNS)


def test_there_is_a_cell_for_each_of_the_ten_panels(published) -> None:
    cells = tau_cells(table(), published)
    assert len(cells) == 10
    assert set(cells["reason"]) == {"this panel was not scored"}
    assert list(cells["published"][:3]) == [0.574, 0.611, 0.549]


def test_the_filtered_tau_is_compared_with_errors_of_both_samples(published) -> None:
    cell = one(tau_cells(table(row()), published), "NASWOT", "cifar10")
    # Half of a 95 % interval is 1.96 errors; 1,000 networks have a quarter of the variance of 250.
    own = 0.0196 / stats.norm.ppf(0.975)
    assert own == pytest.approx(0.01, rel=1e-4)
    assert cell.standard_error == pytest.approx(math.sqrt(own**2 * 1.25 + 0.001**2 / 12))
    assert cell.in_standard_errors == pytest.approx((0.6 - 0.574) / cell.standard_error)
    assert (cell.verdict, cell.reason, cell.measured) == ("reproduced", "250 networks", 0.6)


def test_a_wider_confidence_says_that_the_same_interval_has_a_smaller_error(published) -> None:
    cells = [tau_cells(table(row()), published, confidence=c) for c in (0.9, 0.99)]
    wide, narrow = (one(of, "NASWOT", "cifar10").standard_error for of in cells)
    assert wide / narrow == pytest.approx(2.576 / 1.645, rel=1e-2)


def test_a_tau_that_is_far_off_differs(published) -> None:
    assert one(tau_cells(table(row(tau=0.45)), published), "NASWOT", "cifar10").verdict == "differs"


@pytest.mark.parametrize(("tau", "verdict"), [(0.5, "not measured"), (0.0, "differs")])
def test_a_wide_interval_reproduces_nothing_but_may_differ(published, tau, verdict) -> None:
    cell = one(tau_cells(table(row(tau=tau, half=0.12, n=30)), published), "NASWOT", "cifar10")
    assert cell.verdict == verdict
    assert cell.measured == tau
    assert cell.reason == ("too few to tell; 30 networks" if verdict == "not measured" else "30 networks")


def test_validation_accuracy_stands_in_where_there_is_no_test_accuracy_and_is_named(published) -> None:
    cells = tau_cells(table(row("nds-darts", split="valid")), published, notes={"nds-darts": "short trainings"})
    cell = next(cell for cell in cells.itertuples() if cell.space == "nds-darts" and cell.dataset == "cifar10")
    assert cell.split == "valid"
    assert cell.reason == (
        "not comparable: short trainings; 250 networks; with validation accuracy, "
        "as the ground truth has no test accuracy"
    )
    assert (cell.verdict, cell.measured) == ("not measured", 0.6)
    both = table(row(tau=0.1, split="valid"), row(tau=0.6))
    assert one(tau_cells(both, published), "NASWOT", "cifar10").measured == 0.6


def test_imagenet_networks_are_scored_on_imagenette2(published) -> None:
    rows = table(row("nds-darts-in", "imagenet", scored_on="imagenette2", tau=0.5))
    cell = next(cell for cell in tau_cells(rows, published).itertuples() if cell.space == "nds-darts-in")
    assert (cell.scored_on, cell.measured, cell.published) == ("imagenette2", 0.5, 0.535)


def test_scores_of_other_images_or_of_another_proxy_are_not_the_papers(published) -> None:
    rows = table(row(scored_on="cifar100"), row(proxy="params"), row(space="nats-sss"))
    assert set(tau_cells(rows, published)["verdict"]) == {"not measured"}


def test_reasons_are_those_given_the_most_specific_first(published) -> None:
    missing = {("nds-enas", None): "no NDS data.zip", (None, "cifar10"): "no images", (None, None): "nothing"}
    cells = tau_cells(table(), published, missing)
    by_space = dict(zip(zip(cells["space"], cells["dataset"], strict=True), cells["reason"], strict=True))
    assert by_space["nds-enas", "cifar10"] == "no NDS data.zip"
    assert by_space["nds-pnas", "cifar10"] == "no images"
    assert by_space["nasbench201", "cifar100"] == "nothing"


def test_two_networks_give_no_tau_and_no_crash(published) -> None:
    scores, truth = score_table([1.0, 2.0]), truth_table([90.0, 91.0])
    rows = correlation_rows([scores], truth, published, space="nasbench201", scored_on="cifar10", proxy="naswot")
    cell = one(tau_cells(rows, published), "NASWOT", "cifar10")
    assert (cell.verdict, cell.reason) == ("not measured", "tau is undefined for the 0 networks that were scored")


def test_a_tau_without_interval_must_equal_the_published_one_as_printed(published) -> None:
    for tau, verdict in [(0.5744, "reproduced"), (0.6, "differs")]:
        cell = one(tau_cells(table(row(tau=tau, half=math.nan)), published), "NASWOT", "cifar10")
        assert cell.verdict == verdict
        assert "no interval" in cell.reason


def test_the_error_of_independent_scores_is_that_of_the_formula(published) -> None:
    rng = np.random.default_rng(0)
    n = 400
    scores, truth = score_table(list(rng.normal(size=n))), truth_table(list(80 + rng.normal(size=n)))
    where = {"space": "nasbench201", "scored_on": "cifar10", "proxy": "naswot"}
    rows = correlation_rows([scores], truth, published, bootstrap=400, **where)
    cell = one(tau_cells(rows, published), "NASWOT", "cifar10")
    assert cell.measured == rows["kendall_filtered"].iloc[0]
    # Kendall (1938): the variance of tau of n independent pairs.
    variance = 2 * (2 * n + 5) / (9 * n * (n - 1))
    assert cell.standard_error == pytest.approx(math.sqrt(variance * (1 + n / 1000)), rel=0.15)
