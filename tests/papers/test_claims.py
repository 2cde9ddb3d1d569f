"""The claims of the 2020 paper's text, on small tables whose ranks can be counted and on the real ground truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from naswot_ext.benchmarks.table import table as read_truth
from naswot_ext.papers.claims import associate, association, mean_scores, rank_claim
from naswot_ext.spaces import SPACES
from tests.conftest import REPOSITORY


def truth(valid: list[float], params: list[float]) -> pd.DataFrame:
    columns = {"dataset": "cifar10", "epochs": 200, "valid_accuracy": valid, "test_accuracy": 50.0, "params": params}
    return pd.DataFrame({"arch_index": range(len(valid)), "arch": "", **columns})


def scores(values: dict[int, float], status: str = "ok") -> pd.DataFrame:
    return pd.DataFrame({"arch_index": list(values), "score": list(values.values()), "status": status})


def by_score(table, known) -> object:
    return next(rank_claim(table, known)[:1].itertuples())


def by_params(table, known) -> object:
    return next(rank_claim(table, known)[1:].itertuples())


# Above 90 %: numbers 1, 2 and 4; the smallest of these is 2.
FIVE = truth([50.0, 95.0, 91.0, 90.0, 92.0], [10, 40, 20, 5, 30])


def test_the_smallest_network_above_the_threshold_is_ranked_among_all() -> None:
    everything = scores({0: 9.0, 1: 8.0, 2: 7.0, 3: 6.0, 4: 5.0})
    assert by_score(everything, FIVE).measured == 3
    assert by_params(everything, FIVE).measured == 3
    assert "number 2" in by_score(everything, FIVE).reason
    assert [row.published for row in rank_claim(everything, FIVE).itertuples()] == [667, 8597]


def test_a_rank_that_is_known_exactly_must_be_the_published_one() -> None:
    cell = by_score(scores({0: 9.0, 1: 8.0, 2: 7.0, 3: 6.0, 4: 5.0}), FIVE)
    assert (cell.verdict, math.isnan(cell.standard_error)) == ("differs", True)
    assert "its spread is not known" in cell.reason
    # A place among 10,000 of unequal size, the same as published.
    many = truth([91.0 if i == 8596 else 50.0 for i in range(10_000)], list(range(10_000, 0, -1)))
    assert by_params(scores({0: 1.0}), many).verdict == "reproduced"


def test_singular_networks_are_last_and_failed_ones_are_left_out() -> None:
    table = scores({0: 9.0, 1: -math.inf, 2: 7.0, 3: math.nan})
    table["status"] = ["ok", "singular", "ok", "failed"]
    cell = by_score(table, FIVE)
    # Of two others one is better: half of the four others of the space.
    assert cell.measured == 1 + 4 * 0.5
    assert "3 of 5 were scored" in cell.reason


def test_a_part_of_the_space_gives_the_rank_with_a_binomial_error() -> None:
    known = truth([91.0] + [50.0] * 10_000, [1.0] * 10_001)
    table = scores({0: 0.0} | {i: 1.0 if i <= 25 else -1.0 for i in range(1, 101)})
    cell = by_score(table, known)
    assert cell.measured == 1 + 10_000 * 0.25
    share = 26 / 102
    assert cell.standard_error == pytest.approx(10_000 * math.sqrt(share * (1 - share) / 100 * 0.99))


def test_no_better_network_among_a_few_is_not_certainty() -> None:
    known = truth([91.0] + [50.0] * 10_000, [1.0] * 10_001)
    cell = by_score(scores({0: 1.0, 1: 0.0, 2: -1.0}), known)
    assert cell.measured == 1
    assert cell.standard_error > 1_000
    assert cell.verdict == "reproduced"


def test_a_network_that_was_not_scored_is_named() -> None:
    cell = by_score(scores({0: 9.0, 1: 8.0}), FIVE)
    assert cell.verdict == "not measured"
    assert cell.reason == ("not scored: the smallest above 90 % (number 2); score all architectures of nasbench201")
    assert by_score(scores({2: 1.0}), FIVE).verdict == "not measured"


def test_equally_small_networks_share_their_places_and_spread() -> None:
    known = truth([91.0, 92.0, 50.0, 50.0, 93.0, 50.0], [20, 20, 20, 30, 40, 10])
    table = scores({0: 9.0, 1: 3.0, 2: 8.0, 3: 7.0, 4: 6.0, 5: 1.0})
    cell = by_score(table, known)
    assert (cell.measured, cell.measured_std, cell.runs) == (3, 2, 2)  # ranks 1 and 5
    assert cell.standard_error == pytest.approx(math.sqrt(4 * 1.5))
    assert "number 0 and 1 as small" in cell.reason
    assert cell.reason.endswith("places 1 to 5, 2 of them 667 or better")
    cell = by_params(table, known)
    assert (cell.measured, cell.standard_error) == (4, pytest.approx(math.sqrt(8 / 12)))  # places 3, 4, 5


def test_several_initialisations_give_the_spread_of_the_rank() -> None:
    tables = [scores({0: 9.0, 1: 8.0, 2: x, 3: 6.0, 4: 5.0}) for x in (10.0, 7.0, 1.0)]
    cell = by_score(tables, FIVE)
    assert (cell.measured, cell.runs) == (3, 3)
    assert cell.measured_std == pytest.approx(np.std([1, 3, 5]))


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (truth([50.0, 60.0], [1, 2]), "no network of the ground truth is above 90 %"),
        (truth([95.0, 60.0], [-1, -1]), "has no parameters"),
        (truth([math.nan, math.nan], [1, 2]), "has no cifar10 valid accuracy"),
        (truth([95.0, 96.0], [1, 2]).drop(columns="params"), "has no parameters"),
    ],
)
def test_what_the_ground_truth_lacks_is_said(known, why: str) -> None:
    cells = rank_claim(scores({0: 1.0, 1: 2.0}), known)
    assert list(cells["verdict"]) == ["not measured"] * 2
    assert all(why in reason for reason in cells["reason"])


def test_the_published_rank_by_parameters_lies_among_the_places_of_equals(real_data: Callable[[str], Path]) -> None:
    config = yaml.safe_load((REPOSITORY / "config" / "searches.yaml").read_text())
    options = config["spaces"]["nasbench201"]["benchmark"]
    options["path"] = str(real_data("nasbench201.csv.gz"))
    known = read_truth(SPACES.get("nasbench201"), options)
    cell = by_params(scores({0: 1.0}), known)
    # Counted by hand: 7,621 networks are larger, 2,436 as large, and 44 of these are above 90 %.
    assert cell.measured == 7621 + 2437 / 2
    assert "equals share places 7622 to 10057" in cell.reason
    assert "number 219 and 43 as small" in cell.reason
    assert cell.verdict == "reproduced"
    assert (
        "not scored: the smallest above 90 % (number 219 and 43 as small)" in by_score(scores({0: 1.0}), known).reason
    )


def library(score, accuracy, params, seeds: int = 1, **facts) -> pd.DataFrame:
    rows = [
        {"network": f"net{i}", "accuracy": a, "params": p, "seed": seed, "proxy": "jacobian", "score": s + 0.5 * seed}
        for i, (s, a, p) in enumerate(zip(score, accuracy, params, strict=True))
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows).assign(status="ok", error="", seconds=0.5, **facts)


def sample(effect: float, n: int = 60):
    rng = np.random.default_rng(5)
    params = np.exp(rng.normal(15, 1, n))
    score = -2000 + 50 * rng.normal(size=n) + 1e-5 * params
    accuracy = 93 + effect * (score + 2000) + 1e-7 * params + 0.5 * rng.normal(size=n)
    return score, accuracy, params


def test_the_test_of_the_score_is_that_of_its_partial_correlation() -> None:
    score, accuracy, params = sample(0.004)
    found = associate(mean_scores(library(score, accuracy, params)))
    # By another way: residuals of both on the parameters.
    x = np.column_stack([np.ones(60), params / 1e6])
    u, v = (y - x @ np.linalg.lstsq(x, y, rcond=None)[0] for y in (score, accuracy))
    r = stats.pearsonr(u, v).statistic
    t = r * math.sqrt(57 / (1 - r**2))
    assert found.t == pytest.approx(t, rel=1e-6)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 57), rel=1e-6)
    assert found.slope == pytest.approx((u @ v) / (u @ u), rel=1e-6)


@pytest.mark.parametrize(("effect", "verdict"), [(0.02, "reproduced"), (0.0, "differs"), (-0.02, "differs")])
def test_the_claim_holds_where_accuracy_rises_with_the_score_at_equal_parameters(effect: float, verdict: str) -> None:
    (cell,) = association(library(*sample(effect))).itertuples()
    assert cell.verdict == verdict
    assert (cell.quantity, cell.published, cell.item) == ("p_value", 0.05, "figure5")
    assert cell.reason.startswith("60 networks, mean of 1 initialisations")


def test_an_association_that_parameters_explain_is_none() -> None:
    rng = np.random.default_rng(1)
    params = np.linspace(1e6, 3e7, 80)
    score, accuracy = params / 1e5 + rng.normal(size=80), 90 + params / 1e7 + 0.1 * rng.normal(size=80)
    assert stats.pearsonr(score, accuracy).pvalue < 1e-10
    assert association(library(score, accuracy, params))["verdict"].iloc[0] == "differs"


def test_the_mean_of_the_initialisations_counts() -> None:
    networks = mean_scores(library([1.0, 2.0], [90.0, 91.0], [1.0, 2.0], seeds=3))
    assert list(networks["score"]) == [1.5, 2.5]
    assert list(networks["initialisations"]) == [3, 3]


def test_a_network_with_a_failed_or_singular_score_is_left_out_and_counted() -> None:
    table = library(*sample(0.02), seeds=2)
    table.loc[0, ["score", "status"]] = [-np.inf, "singular"]
    table.loc[3, ["score", "status"]] = [np.nan, "failed"]
    (cell,) = association(table).itertuples()
    assert cell.reason.startswith("58 networks, mean of 2 initialisations")
    assert "2 left out" in cell.reason


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (library([1.0, 2.0, 3.0], [90.0, 91.0, 93.0], [1.0, 5.0, 2.0]), "3 networks, at least 4 are needed"),
        (library([1.0] * 5, [90.0, 91.0, 93.0, 90.5, 92.0], [1.0, 5.0, 2.0, 3.0, 9.0]), "do not vary"),
        (library(range(5), [90.0, 91.0, 93.0, 90.5, 92.0], range(5)), "only together"),
        (library(*sample(0.02)).assign(proxy="naswot"), "0 networks"),
    ],
)
def test_too_little_to_test_is_not_measured(table, why: str) -> None:
    (cell,) = association(table).itertuples()
    assert cell.verdict == "not measured"
    assert why in cell.reason
