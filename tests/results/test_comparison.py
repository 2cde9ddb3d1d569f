"""Tests between proxies and between searches, and which search is ahead over many runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from naswot_ext.comparison_tables import search_test_rows, write_search_tests
from naswot_ext.errors import NaswotError
from naswot_ext.statistics import (
    MeanRanks,
    correlate,
    holm,
    mean_ranks,
    pair,
    proxy_tests,
    search_tests,
    search_win_rates,
)
from naswot_ext.statistics.comparison import PROXY_TEST_COLUMNS, SEARCH_TEST_COLUMNS
from tests.results.conftest import score_table


def search(accuracies):
    """A search table with a run an accuracy; NaN where the run found nothing."""
    index = [-1 if np.isnan(a) else i for i, a in enumerate(accuracies)]
    runs = range(len(accuracies))
    return pd.DataFrame({"run": runs, "seed": runs, "arch_index": index, "cifar10_test": accuracies})


def searches(**accuracies):
    return {name: search(values) for name, values in accuracies.items()}


def test_holm_is_the_textbook_example():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_stops_at_one_keeps_the_order_and_counts_no_undefined_comparison():
    assert holm([0.5, 0.9]).tolist() == [1, 1]
    assert holm([]).tolist() == []
    assert holm([0.02, np.nan, 0.03]).tolist() == pytest.approx([0.04, np.nan, 0.04], nan_ok=True)


def test_proxies_are_compared_on_paired_draws_of_the_same_architectures():
    random = np.random.default_rng(0)
    accuracy = random.normal(size=300)
    good = accuracy + 0.5 * random.normal(size=300)
    tables = {
        "good": [score_table(list(good))],
        "nearly": [score_table(list(good + 0.02 * random.normal(size=300)))],
        "bad": [score_table(list(random.normal(size=300)))],
    }
    tests = proxy_tests(tables, pd.Series(accuracy), bootstrap=400)
    assert list(tests.columns) == PROXY_TEST_COLUMNS
    assert list(zip(tests["proxy_a"], tests["proxy_b"], strict=True)) == [
        ("good", "nearly"),
        ("good", "bad"),
        ("nearly", "bad"),
    ]
    near, far, _ = tests.itertuples()
    own = correlate(pair(tables["good"], pd.Series(accuracy)), 400).kendall
    assert far.tau_a == own.value == pytest.approx(stats.kendalltau(good, accuracy).statistic)
    assert far.difference == far.tau_a - far.tau_b
    assert 0 < far.low < far.difference < far.high
    # What both have in common cancels.
    assert near.high - near.low < (own.high - own.low) / 5
    assert near.low < near.difference < near.high
    assert far.p_holm < 1e-6 < 0.01 < near.p
    assert tests["p_holm"].tolist() == holm(tests["p"]).tolist()
    assert (far.architectures, far.left_out) == (300, 0)


def test_an_architecture_that_failed_under_any_proxy_is_left_out_of_all_and_counted():
    accuracy = pd.Series([1.0, 2, 3, 4, 5, np.nan])
    one = score_table([1, 2, 9, 4, 5, 6], {2: "failed"})
    two = score_table([0, 1, 2, 4, 3, 6], {0: "singular"})
    (row,) = proxy_tests({"one": [one], "two": [two]}, accuracy, bootstrap=20).itertuples()
    assert (row.architectures, row.left_out) == (4, 2)
    assert (row.tau_a, row.tau_b) == pytest.approx((1, 4 / 6))


def test_a_proxys_tau_is_the_mean_over_its_own_seeds():
    accuracy = pd.Series([1.0, 2, 3, 4])
    up, swapped, down = (score_table(s) for s in ([1, 2, 3, 4], [1, 2, 4, 3], [4, 3, 2, 1]))
    (row,) = proxy_tests({"two": [up, swapped], "one": [down]}, accuracy, bootstrap=20).itertuples()
    assert (row.tau_a, row.tau_b) == pytest.approx(((1 + 4 / 6) / 2, -1))


def test_equal_proxies_do_not_differ():
    table = score_table([1, 3, 2, 4, 6, 5])
    (row,) = proxy_tests({"a": [table], "b": [table]}, pd.Series([1.0, 2, 3, 4, 5, 6]), bootstrap=50).itertuples()
    assert (row.difference, row.low, row.high, row.p, row.p_holm) == (0, 0, 0, 1, 1)


def test_a_proxy_without_a_tau_has_no_test_and_costs_the_others_nothing():
    random = np.random.default_rng(0)
    accuracy = pd.Series(random.normal(size=50))
    tables = {"a": [score_table(list(accuracy + random.normal(size=50)))], "flat": [score_table([1] * 50)]}
    tables["b"] = [score_table(list(random.normal(size=50)))]
    tests = proxy_tests(tables, accuracy, bootstrap=50).set_index(["proxy_a", "proxy_b"])
    assert np.isnan(tests.loc[("a", "flat"), ["tau_b", "difference", "low", "p", "p_holm"]].to_numpy(float)).all()
    assert tests.loc[("a", "b"), "p_holm"] == tests.loc[("a", "b"), "p"]


def test_a_proxy_that_failed_on_every_architecture_leaves_the_others_theirs():
    random = np.random.default_rng(0)
    accuracy = pd.Series(random.normal(size=50))
    tables = {name: [score_table(list(accuracy + random.normal(size=50)))] for name in "ab"}
    failed = score_table([0.0] * 50, dict.fromkeys(range(50), "failed"))
    with_it = proxy_tests({"a": tables["a"], "failed": [failed], "b": tables["b"]}, accuracy, bootstrap=50)
    with_it = with_it.set_index(["proxy_a", "proxy_b"])
    (alone,) = proxy_tests(tables, accuracy, bootstrap=50).itertuples()
    row = with_it.loc[("a", "b")]
    assert (row["difference"], row["low"], row["p_holm"]) == (alone.difference, alone.low, alone.p_holm)
    assert (row["architectures"], row["left_out"]) == (50, 0)
    assert (with_it["architectures"].tolist(), with_it["left_out"].tolist()) == ([0, 50, 0], [50, 0, 50])
    for pair_of in (("a", "failed"), ("failed", "b")):
        assert with_it.loc[pair_of, ["difference", "low", "p", "p_holm"]].isna().all()


def test_no_accuracy_at_all_is_a_table_without_rows(tmp_path):
    bare = pd.DataFrame({"run": [0], "arch_index": [3]})
    rows = search_test_rows({"a": bare, "b": bare}, space="nasbench201", scored_on="noise", bootstrap=10)
    write_search_tests([rows], tmp_path / "t.csv", tmp_path / "t.md")
    assert (tmp_path / "t.csv").read_text() == ",".join(["space,scored_on,dataset,split", *SEARCH_TEST_COLUMNS]) + "\n"


@pytest.mark.parametrize("n", [0, 2])
def test_too_few_architectures_are_no_test_and_no_exception(n):
    tables = {name: [score_table(list(range(n)))] for name in "ab"}
    (row,) = proxy_tests(tables, pd.Series(range(n), dtype=float), bootstrap=10).itertuples()
    assert row.architectures == n
    assert np.isnan([row.difference, row.low, row.p]).all()


def test_one_proxy_or_search_has_no_comparisons():
    none = proxy_tests({"a": [score_table([1, 2, 3])]}, pd.Series([1.0, 2, 3]))
    assert list(none.columns) == PROXY_TEST_COLUMNS
    assert none.empty
    none = search_tests(searches(a=[1.0]), "cifar10", "test")
    assert list(none.columns) == SEARCH_TEST_COLUMNS
    assert none.empty


def test_the_test_of_equally_good_proxies_errs_about_as_often_as_it_claims():
    wrong = missed = 0
    for repeat in range(200):
        random = np.random.default_rng(repeat)
        accuracy = random.normal(size=80)
        tables = {name: [score_table(list(accuracy + random.normal(size=80)))] for name in "ab"}
        (row,) = proxy_tests(tables, pd.Series(accuracy), bootstrap=100, confidence=0.9).itertuples()
        wrong += row.p < 0.1
        missed += not row.low <= 0 <= row.high
    assert 10 <= wrong <= 32  # 20 expected
    assert 10 <= missed <= 34


def test_searches_are_paired_by_run():
    random = np.random.default_rng(0)
    luck = random.normal(93, 1, size=100)
    a, b = search(luck + 0.1), search(luck + 0.02 * random.normal(size=100))
    (row,) = search_tests({"a": a, "b": b.sample(frac=1, random_state=0)}, "cifar10", "test").itertuples()
    assert row.mean_difference == pytest.approx(0.1, abs=0.01)
    assert 0.09 < row.low < row.mean_difference < row.high < 0.11
    assert row.win_rate == 1
    assert row.p < 1e-15


def test_win_and_tie_rates_are_shares_of_the_runs_in_which_both_found_something():
    tables = searches(a=[91.0, 92, 93, 90, np.nan, 95], b=[90.0, 92, 92, 94, 93])
    (row,) = search_tests(tables, "cifar10", "test").itertuples()
    assert (row.runs, row.win_rate, row.tie_rate, row.mean_difference) == (4, 0.5, 0.25, -0.5)


def test_ties_count_in_the_ranks_as_pratt_has_it():
    difference = np.array([0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, -8, 9, 10, 11, 12], float)
    tables = searches(a=90 + difference, b=np.full(16, 90.0))
    # Ranks 1 to 4 are the zeros'. All other ranks are positive but 12, that of -8.
    n, zeros, negative = 16, 4, 12
    mean = (n * (n + 1) - zeros * (zeros + 1)) / 4
    variance = (n * (n + 1) * (2 * n + 1) - zeros * (zeros + 1) * (2 * zeros + 1)) / 24
    expected = 2 * stats.norm.cdf((negative - mean) / np.sqrt(variance))
    assert search_tests(tables, "cifar10", "test")["p"].iloc[0] == pytest.approx(expected)


def test_searches_that_always_agree_or_share_no_run_are_no_exception():
    same = search_tests(searches(a=[91.0, 92], b=[91.0, 92]), "cifar10", "test").iloc[0]
    assert (same["p"], same["tie_rate"], same["mean_difference"]) == (1, 1, 0)
    apart = search_tests(searches(a=[91.0, np.nan], b=[np.nan, 92.0]), "cifar10", "test").iloc[0]
    assert apart["runs"] == 0
    assert apart[["mean_difference", "low", "win_rate", "p", "p_holm"]].isna().all()


def test_a_search_without_the_accuracy_is_named():
    with pytest.raises(NaswotError, match="The search a has no column cifar100_valid"):
        search_tests(searches(a=[1.0], b=[2.0]), "cifar100", "valid")


def test_impossible_options_are_refused():
    with pytest.raises(NaswotError, match=r"statistics\.bootstrap"):
        search_tests(searches(a=[1.0], b=[2.0]), "cifar10", "test", bootstrap=0)
    with pytest.raises(NaswotError, match=r"statistics\.confidence"):
        proxy_tests({}, pd.Series(dtype=float), confidence=1)


def test_mean_ranks_share_ties_and_start_at_the_best():
    found = mean_ranks(searches(low=[1.0, 2, 3, 9], mid=[2.0, 2, 4, 8], high=[3.0, 5, 4, np.nan]), "cifar10", "test")
    # Runs 0 to 2: high 1, 1, 1.5; mid 2, 2.5, 1.5; low 3, 2.5, 3.
    assert found.runs == 3
    assert found.ranks.to_dict() == pytest.approx({"high": 3.5 / 3, "mid": 6 / 3, "low": 8.5 / 3})
    assert list(found.ranks.index) == ["high", "mid", "low"]
    expected = stats.friedmanchisquare([1, 2, 3], [2, 2, 4], [3, 5, 4]).pvalue
    assert found.p == pytest.approx(expected)


@pytest.mark.parametrize(("k", "q"), [(3, 2.343), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_the_quantiles_of_demsars_table(k, q):
    random = np.random.default_rng(0)
    tables = {str(i): search(random.normal(size=20)) for i in range(k)}
    found = mean_ranks(tables, "cifar10", "test")
    assert found.critical_difference == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 20)), rel=5e-4)


def test_cliques_are_the_longest_rows_within_the_critical_difference():
    ranks = pd.Series({"a": 1.0, "b": 1.5, "c": 2.2, "d": 3.0, "e": 5.0})
    assert MeanRanks(ranks, 10, 1.3, 0.0, 0.95).cliques == [("a", "b", "c"), ("c", "d")]
    assert MeanRanks(ranks, 10, 0.1, 0.0, 0.95).cliques == []
    assert MeanRanks(ranks, 10, 9.0, 0.0, 0.95).cliques == [("a", "b", "c", "d", "e")]


def test_two_searches_or_one_common_run_have_no_mean_ranks():
    assert mean_ranks(searches(a=[1.0, 2], b=[2.0, 1]), "cifar10", "test") is None
    assert mean_ranks(searches(a=[1.0, 2], b=[2.0, 1], c=[np.nan, 1]), "cifar10", "test") is None


def test_win_rates_count_ties_half_and_mirror():
    rates = search_win_rates(searches(a=[1.0, 2, 3, 4], b=[0.0, 2, 4, np.nan]), "cifar10", "test")
    assert rates.loc["a", "b"] == rates.loc["b", "a"] == 0.5
    assert np.isnan(np.diag(rates)).all()
