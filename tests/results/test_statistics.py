"""Rank correlations, their intervals, and what counts as an observation."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from naswot_ext.errors import NaswotError
from naswot_ext.statistics import MEASURES, correlate, kendall, pair, spearman
from tests.results.conftest import score_table


def paired_with(scores, accuracy, status=None):
    return pair([score_table(scores, status)], pd.Series(accuracy))


def test_kendall_counts_pairs_and_corrects_for_ties():
    # 6 pairs, 5 concordant, 1 discordant.
    assert kendall(np.array([1, 2, 3, 4]), np.array([1, 2, 4, 3])) == pytest.approx(4 / 6)
    # 3 pairs, one tied in x: 2 concordant over sqrt(2 * 3).
    assert kendall(np.array([1, 1, 2]), np.array([1, 2, 3])) == pytest.approx(2 / np.sqrt(6))


def test_spearman_is_one_minus_six_sums_of_squared_rank_differences():
    assert spearman(np.array([1, 2, 3, 4]), np.array([1, 2, 4, 3])) == pytest.approx(1 - 6 * 2 / (4 * 15))


def test_spearman_with_ties_is_that_of_scipy():
    x, y = np.random.default_rng(0).integers(8, size=(2, 60))
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_estimates_do_not_change_under_monotone_maps_and_lie_in_their_intervals():
    x = np.random.default_rng(0).normal(size=80)
    y = x + np.random.default_rng(1).normal(size=80)
    # No accuracy is filtered out, mapped or not. A regret is in percent, so it follows the map.
    y += 10
    found, mapped = (correlate(paired_with(*xy), 200, filter_below=0) for xy in ((x, y), (np.exp(x), y**3)))
    for name in set(MEASURES) - {"regret_1", "regret_10", "regret_100"}:
        assert found.estimates[name] == mapped.estimates[name] or np.isnan(found.estimates[name].value)
    assert found.kendall.value == pytest.approx(stats.kendalltau(x, y).statistic)
    assert found.kendall.low < found.kendall.value < found.kendall.high
    assert found.spearman.low < found.spearman.value < found.spearman.high


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    x = np.random.default_rng(0).normal(size=40)
    paired = paired_with(x, x + np.random.default_rng(1).normal(size=40))
    assert correlate(paired, 100, seed=3) == correlate(paired, 100, seed=3)
    assert correlate(paired, 100, seed=3).kendall.low != correlate(paired, 100, seed=4).kendall.low


def test_intervals_cover_the_true_tau_about_as_often_as_they_claim():
    rho = 0.8
    true_tau = 2 / np.pi * np.arcsin(rho)  # of the bivariate normal distribution
    hits = 0
    for repeat in range(60):
        x, e = np.random.default_rng(repeat).normal(size=(2, 60))
        estimate = correlate(paired_with(x, rho * x + np.sqrt(1 - rho**2) * e), 200, 0.9, repeat).kendall
        hits += estimate.low <= true_tau <= estimate.high
    assert 48 <= hits <= 59  # 54 expected


def test_higher_confidence_widens_the_interval():
    x, e = np.random.default_rng(0).normal(size=(2, 50))
    narrow, wide = (correlate(paired_with(x, x + e), 300, confidence).kendall for confidence in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_singular_architectures_are_tied_at_the_worst_rank():
    paired = paired_with([3, 1, 0, 0, 2], [93, 91, 10, 20, 92], {2: "singular", 3: "singular"})
    assert (paired.singular, paired.failed, len(paired.accuracy)) == (2, 0, 5)
    # 10 pairs, one tied in the scores, all others concordant.
    assert correlate(paired, 50).kendall.value == pytest.approx(9 / np.sqrt(9 * 10))


def test_failed_architectures_are_left_out_and_counted():
    with_failure = paired_with([1, 2, 9, 3, 4], [1, 2, 0, 4, 3], {2: "failed"})
    assert (with_failure.failed, list(with_failure.arch_index)) == (1, [0, 1, 3, 4])
    assert correlate(with_failure, 50).kendall.value == pytest.approx(4 / 6)


def test_architectures_without_ground_truth_are_left_out_and_counted():
    paired = pair([score_table([1, 2, 3, 4])], pd.Series({0: 1.0, 1: np.nan, 3: 2.0}))
    assert (paired.unknown, paired.failed, list(paired.arch_index)) == (2, 0, [0, 3])


def test_several_seeds_give_the_mean_of_their_taus_over_one_set_of_architectures():
    accuracy = pd.Series([1.0, 2.0, 3.0, 4.0, 5.0])
    up, down = score_table([1, 2, 3, 9, 5], {3: "failed"}), score_table([1, 2, 4, 4, 3])
    paired = pair([up, down], accuracy)
    assert paired.scores.shape == (2, 4)
    assert correlate(paired, 50).kendall.value == pytest.approx((1 + 4 / 6) / 2)


def test_several_equal_seeds_have_the_interval_of_one():
    x, e = np.random.default_rng(0).normal(size=(2, 30))
    table, accuracy = score_table(list(x)), pd.Series(x + e)
    assert correlate(pair([table, table], accuracy), 100) == correlate(pair([table], accuracy), 100)


@pytest.mark.parametrize(
    ("scores", "accuracy", "why"),
    [
        ([1, 2], [1, 2], "at least 3"),
        ([], [], "at least 3"),
        ([5, 5, 5, 5], [1, 2, 3, 4], "all scores are equal"),
        ([1, 2, 3, 4], [7, 7, 7, 7], "all accuracies are equal"),
    ],
)
def test_an_undefined_correlation_is_nan_with_its_reason(scores, accuracy, why):
    found = correlate(paired_with(scores, accuracy), 20)
    assert np.isnan([found.kendall.value, found.kendall.low, found.spearman.value, found.spearman.high]).all()
    assert why in found.note


def test_mostly_degenerate_draws_leave_the_estimate_without_an_interval():
    # One architecture differs; it is in no draw about one time in three.
    found = correlate(paired_with([1, 1, 1, 1, 2], [1, 2, 3, 4, 5]), 200)
    assert found.kendall.value > 0
    assert np.isnan(found.kendall.low)
    assert "no interval" in found.note


def test_few_degenerate_draws_are_left_out_of_the_interval():
    found = correlate(paired_with([1, 2, 3, 4], [1, 2, 3, 4]), 2000)
    assert found.note == ""
    assert (found.kendall.low, found.kendall.high) == (1, 1)


def test_seeds_of_different_architectures_are_refused():
    with pytest.raises(NaswotError, match="different architectures"):
        pair([score_table([1, 2, 3]), score_table([1, 2])], pd.Series([1.0, 2.0, 3.0]))


def test_a_row_without_a_score_that_did_not_fail_is_refused():
    with pytest.raises(NaswotError, match="Architecture 1 has no score"):
        paired_with([1, np.nan, 3], [1, 2, 3])


@pytest.mark.parametrize(("bootstrap", "confidence"), [(0, 0.95), (10, 0), (10, 1)])
def test_impossible_bootstrap_options_are_refused(bootstrap, confidence):
    with pytest.raises(NaswotError, match=r"statistics\.bootstrap must be at least 1"):
        correlate(paired_with([1, 2, 3], [1, 2, 3]), bootstrap, confidence)


def test_a_thousand_draws_of_a_thousand_architectures_take_seconds():
    x, e = np.random.default_rng(0).normal(size=(2, 1000))
    start = time.process_time()
    correlate(paired_with(x, x + e), 1000)
    assert time.process_time() - start < 10
