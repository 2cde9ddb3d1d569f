"""Searches over a small table whose right answers can be seen."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from naswot_ext import searches
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES

COUNT = 20


def truth(count: int = COUNT, **changes) -> pd.DataFrame:
    """Accuracy grows with the index; CIFAR-100 falls with it. Twelve epochs say the opposite of two hundred."""
    index = np.arange(count)
    parts = [("cifar10", 200, 50 + index), ("cifar10", 12, 50 - index), ("cifar100", 200, 60 - index)]
    rows = [
        {"arch_index": i, "arch": f"a{i}", "dataset": d, "epochs": e, "valid_accuracy": v[i], "test_accuracy": v[i] + 1}
        for d, e, v in parts
        for i in index
    ]
    return pd.DataFrame(rows).astype({"valid_accuracy": float, "test_accuracy": float}).assign(**changes)


def scores(values: np.ndarray, statuses: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "arch_index": np.arange(len(values)),
            "score": values,
            "status": statuses or ["ok"] * len(values),
            "seconds": np.full(len(values), 0.5),
        }
    )


def among(tables=(), sampled=range(COUNT), table=None) -> searches.Candidates:
    """Candidates with one score table a seed."""
    known = truth() if table is None else table
    per_seed = [[one] for one in tables]
    return searches.candidates(SPACES.get("nasbench201"), list(sampled), known, "gaussian", per_seed)


def test_naswot_finds_the_highest_score_of_its_draw_and_reports_every_accuracy() -> None:
    found = searches.run("naswot", {"n_samples": 5}, among([scores(np.arange(20.0))]), runs=50, seed=0)
    assert list(found.columns) == [
        *("run", "seed", "arch_index", "arch", "cifar10_valid", "cifar10_test", "cifar100_valid", "cifar100_test"),
        *("seconds", "evaluations"),
    ]
    for row in found.itertuples():
        drawn = np.random.default_rng(row.seed).integers(20, size=5)
        assert row.arch_index == drawn.max()
        assert row.cifar10_test == 51 + row.arch_index
        assert row.cifar100_valid == 60 - row.arch_index
    assert (found["seconds"] == 2.5).all()
    assert (found["evaluations"] == 5).all()


def test_a_failed_or_singular_architecture_never_wins() -> None:
    statuses = ["failed", "singular"] * 9 + ["ok"] * 2
    values = np.where(np.array(statuses) == "ok", -1e9, np.where(np.array(statuses) == "failed", np.nan, -math.inf))
    found = searches.run("naswot", {"n_samples": 10}, among([scores(values, statuses)]), runs=200, seed=0)
    assert set(found["arch_index"]) == {-1, 18, 19}
    nothing_eligible = found[found["arch_index"] == -1]
    assert nothing_eligible["cifar10_test"].isna().all()
    # Ten draws miss both eligible ones of twenty with probability 0.9^10 = 0.35.
    assert 40 <= len(nothing_eligible) <= 100


def test_runs_take_turns_at_the_score_tables_of_several_seeds() -> None:
    rising, falling = scores(np.arange(20.0)), scores(-np.arange(20.0))
    found = searches.run("naswot", {"n_samples": 20}, among([rising, falling]), runs=40, seed=0)
    assert found["arch_index"][::2].mean() > 15
    assert found["arch_index"][1::2].mean() < 5


def test_a_run_is_the_same_whatever_runs_beside_it() -> None:
    few = searches.run("random", {}, among(), runs=3, seed=7)
    many = searches.run("random", {}, among(), runs=30, seed=7)
    pd.testing.assert_frame_equal(few, many[:3])
    assert not few["seed"].equals(searches.run("random", {}, among(), runs=3, seed=8)["seed"])


def test_random_is_uniform_and_free() -> None:
    found = searches.run("random", {}, among(), runs=2_000, seed=0)
    # 100 expected each; five standard deviations of a binomial are 49.
    assert found["arch_index"].value_counts().reindex(range(20), fill_value=0).between(51, 149).all()
    assert (found["seconds"] == 0).all()
    assert (found["evaluations"] == 0).all()


def test_optimal_finds_the_best_validation_accuracy_of_its_draw_on_the_first_data_set() -> None:
    found = searches.run("optimal", {"n_samples": 4}, among(), runs=20, seed=0)
    for row in found.itertuples():
        assert row.arch_index == np.random.default_rng(row.seed).integers(20, size=4).max()
    assert found["seconds"].isna().all()


def test_optimal_goes_by_the_data_set_and_split_asked_for() -> None:
    found = searches.run("optimal", {"n_samples": 4, "dataset": "cifar100", "by": "test"}, among(), runs=20, seed=0)
    for row in found.itertuples():
        assert row.arch_index == np.random.default_rng(row.seed).integers(20, size=4).min()


@pytest.mark.parametrize(("dataset", "split"), [("cifar10", "valid"), ("cifar100", "test")])
def test_optimal_by_either_goes_by_validation_where_there_is_one_else_by_test(dataset: str, split: str) -> None:
    options = {"n_samples": 4, "dataset": dataset}
    either = searches.run("optimal", {**options, "by": "either"}, among(), runs=20, seed=0)
    pd.testing.assert_frame_equal(either, searches.run("optimal", {**options, "by": split}, among(), runs=20, seed=0))


def test_only_sampled_architectures_with_ground_truth_are_candidates() -> None:
    found = searches.run("random", {}, among(sampled=[3, 4, 99]), runs=50, seed=0)
    assert set(found["arch_index"]) == {3, 4}


@pytest.mark.parametrize(
    ("algorithm", "options", "runs", "reason"),
    [
        ("naswot", {"n_samples": 21}, 1, "n_samples is 21, but 20 architectures were scored"),
        ("naswot", {"n_samples": 0}, 1, "n_samples is 0"),
        ("naswot", {"n_samples": 2}, 0, "searches.runs must be at least 1"),
        ("naswott", {"n_samples": 2}, 1, "Did you mean 'naswot'"),
        ("optimal", {"n_samples": 2, "dataset": "svhn"}, 1, "which the ground truth lacks"),
    ],
)
def test_what_cannot_be_searched_says_why(algorithm: str, options: dict, runs: int, reason: str) -> None:
    with pytest.raises(NaswotError, match=reason):
        searches.run(algorithm, options, among([scores(np.arange(20.0))]), runs, seed=0)


def test_a_search_says_which_accuracy_or_score_is_missing() -> None:
    no_validation = truth(valid_accuracy=np.nan)
    with pytest.raises(
        NaswotError, match=r"goes by the valid accuracy on cifar10.*it has: cifar10 test, cifar100 test"
    ):
        searches.run("optimal", {"n_samples": 2}, among(table=no_validation), 1, seed=0)
    with pytest.raises(NaswotError, match="the ground truth has not one"):
        searches.run("optimal", {"n_samples": 2}, among(table=no_validation.assign(test_accuracy=np.nan)), 1, seed=0)
    with pytest.raises(NaswotError, match="needs the scores of a proxy"):
        searches.run("naswot", {"n_samples": 2}, among(), 1, seed=0)
    with pytest.raises(NaswotError, match="10 sampled architectures were not scored"):
        among([scores(np.arange(10.0))])
    with pytest.raises(NaswotError, match="None of the 2 sampled architectures has ground truth"):
        among(sampled=[100, 101])
