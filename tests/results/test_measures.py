"""Each measure of a ranking against hand-computed values, scipy, or its definition written out."""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from naswot_ext.statistics import MEASURES, Paired, correlate, pair, spearman
from naswot_ext.statistics.bootstrap import multiplicities
from naswot_ext.statistics.measures import Ranking, ndcg, partial, regret
from naswot_ext.statistics.order import Concordance, Order
from tests.results.conftest import score_table


def once(n):
    return np.ones((1, n), np.int32)


def measures(scores, accuracy, params=None, m=None):
    """All measures of one draw, every architecture once unless `m` [n] says how often."""
    scores, accuracy = np.array(scores, float), np.array(accuracy, float)
    size = None if params is None else np.array(params, float)
    drawn = once(len(scores)) if m is None else np.array([m], np.int32)
    found = Ranking(scores[None], accuracy, np.ones(len(scores), bool), size).measure(drawn)
    return dict(zip(MEASURES, found[:, 0], strict=True))


def levels(scores, accuracy):
    m = once(len(scores))
    return m, Order(np.array(scores)).level(m), Order(np.array(accuracy)).level(m)


def sets(count, seed):
    """Small scores, accuracies and parameters with and without ties, and how often each is drawn."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        n = int(random.integers(3, 40))
        yield (*(random.integers(random.integers(2, 60), size=n).astype(float) for _ in range(3)), random, n)


def test_an_order_counts_the_drawn_ones_below_and_level():
    below, equal = Order(np.array([5.0, -np.inf, 5.0, 7.0])).level(np.array([[1, 2, 3, 0], [1, 1, 1, 1]], np.int32))
    assert below.tolist() == [[2, 0, 2, 6], [1, 0, 1, 3]]
    assert equal.tolist() == [[4, 2, 4, 0], [2, 1, 2, 1]]


def test_concordance_is_the_sum_of_signs_over_all_drawn_ones():
    for x, y, _, random, n in sets(60, 1):
        m = random.integers(3, size=(4, n)).astype(np.int32)
        a, b = Order(x), Order(y)
        signs = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
        assert (Concordance(a, b)(m, a.level(m), b.level(m)) == m @ signs.T).all()


def test_tau_rho_and_weighted_tau_of_a_draw_are_scipys_of_the_drawn_list():
    checked = 0
    for x, y, _, random, n in sets(60, 2):
        x[random.random(n) < 0.1] = -np.inf
        m = np.bincount(random.integers(n, size=n), minlength=n)
        drawn_x, drawn_y = np.repeat(x, m), np.repeat(y, m)
        if len(set(drawn_x)) == 1 or len(set(drawn_y)) == 1:
            continue
        found = measures(x, y, m=m)
        assert found["kendall"] == pytest.approx(stats.kendalltau(drawn_x, drawn_y).statistic, abs=1e-12)
        assert found["spearman"] == pytest.approx(spearman(drawn_x, drawn_y), abs=1e-12)
        ranks = stats.rankdata(drawn_x)  # scipy's weighted tau takes no infinite values
        weighted = stats.weightedtau(drawn_y, ranks, rank=None).statistic
        assert found["weighted_tau"] == pytest.approx(weighted, abs=1e-12)
        checked += 1
    assert checked > 40


def test_weighted_tau_weighs_a_pair_by_the_ranks_of_its_accuracies():
    # Weights 1, 1/2, 1/3: pairs of 3/2 and 4/3 are concordant, one of 5/6 is discordant.
    assert measures([3, 1, 2], [93, 92, 91])["weighted_tau"] == pytest.approx((3 / 2 + 4 / 3 - 5 / 6) / (11 / 3))
    # The same swap among the best costs more.
    assert measures([2, 3, 1], [93, 92, 91])["weighted_tau"] == pytest.approx((-3 / 2 + 4 / 3 + 5 / 6) / (11 / 3))


def test_ndcg_discounts_ranks_by_place():
    m, x, y = levels([2, 3, 1], [90, 80, 70])  # gains 2, 1, 0
    second = 1 / np.log2(3)
    assert ndcg(m, x, y)[0] == pytest.approx((1 + 2 * second) / (2 + second))
    assert ndcg(m, x, y, 1)[0] == pytest.approx(1 / 2)
    assert ndcg(m, x, y, 2)[0] == pytest.approx((1 + 2 * second) / (2 + second))


def test_equal_scores_share_the_discounts_of_their_places():
    m, x, y = levels([1, 1, 0], [90, 80, 70])
    second = 1 / np.log2(3)
    assert ndcg(m, x, y)[0] == pytest.approx(1.5 * (1 + second) / (2 + second))
    assert ndcg(m, x, y, 1)[0] == pytest.approx(1.5 / 2)


def test_ndcg_is_one_for_the_true_order_and_only_then():
    accuracy = np.random.default_rng(0).permutation(200)
    right, wrong = measures(accuracy, accuracy), measures(-accuracy, accuracy)
    assert right["ndcg"] == right["ndcg_100"] == 1
    assert wrong["ndcg_100"] < wrong["ndcg"] < 1


@pytest.mark.parametrize(("k", "expected"), [(1, 4), (2, 0), (4, 0), (100, 0)])
def test_regret_is_what_the_best_of_the_top_k_lacks(k, expected):
    m, x, _ = levels([4, 3, 2, 1], [90, 94, 93, 80])
    assert regret(m, x, np.array([90.0, 94, 93, 80]), k)[0] == expected


def test_equal_scores_at_the_last_place_give_the_mean_regret_of_all_choices():
    # 3 from a tie of 2 and one of 2: both first, then one of (95, 80).
    m, x, _ = levels([5, 5, 1, 1], [90, 94, 95, 80])
    accuracy = np.array([90.0, 94, 95, 80])
    assert regret(m, x, accuracy, 1)[0] == pytest.approx(95 - (90 + 94) / 2)
    assert regret(m, x, accuracy, 3)[0] == pytest.approx((0 + 1) / 2)
    random = np.random.default_rng(0)
    for k in (2, 3, 5):
        accuracy = random.normal(size=9)
        m, x, _ = levels([2, 2, 1, 1, 1, 1, 1, 1, 0], accuracy)
        first = [] if k == 2 else [0, 1]
        tied = [0, 1] if k == 2 else list(range(2, 8))
        chosen = [accuracy[first + list(c)].max() for c in combinations(tied, k - len(first))]
        assert regret(m, x, accuracy, k)[0] == pytest.approx(accuracy.max() - np.mean(chosen))


def test_regret_of_a_draw_is_that_of_the_drawn_list():
    for x, y, _, random, n in sets(40, 3):
        m = np.bincount(random.integers(n, size=n), minlength=n)
        drawn = measures(np.repeat(x, m), np.repeat(y, m))
        found = measures(x, y, m=m)
        for name in ("regret_1", "regret_10", "regret_100", "ndcg", "ndcg_100"):
            assert found[name] == pytest.approx(drawn[name], abs=1e-12, nan_ok=True)


def test_a_singular_architecture_is_chosen_last():
    scores, accuracy = [-np.inf, 1, 2, -np.inf], [99, 90, 91, 98]
    assert measures(scores, accuracy)["regret_1"] == 8
    # Only when the others run out, and then by chance.
    m, x, _ = levels(scores, accuracy)
    assert regret(m, x, np.array(accuracy, float), 3)[0] == pytest.approx((0 + 1) / 2)


def test_partial_kendall_is_siegels_textbook_example():
    assert round(float(partial(np.array([0.67]), np.array([0.39]), np.array([0.36]))[0]), 2) == 0.62


def test_partial_correlations_are_those_of_residuals_and_of_taus():
    for x, y, z, _, _ in sets(30, 4):
        if any(len(set(values)) < 3 for values in (x, y, z)):
            continue
        found = measures(x, y, z)

        def residual(values, given):
            return values - np.polyval(np.polyfit(given, values, 1), given)

        rx, ry, rz = map(stats.rankdata, (x, y, z))
        by_rank = np.corrcoef(residual(rx, rz), residual(ry, rz))[0, 1]
        assert found["partial_spearman"] == pytest.approx(by_rank, abs=1e-9)
        by_value = np.corrcoef(residual(x, z), residual(y, z))[0, 1]
        assert found["partial_pearson"] == pytest.approx(by_value, abs=1e-9)
        xy, xz, yz = (stats.kendalltau(*two).statistic for two in ((x, y), (x, z), (y, z)))
        expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
        assert found["partial_kendall"] == pytest.approx(expected, abs=1e-12)


def test_a_score_that_only_knows_the_size_says_nothing_given_it():
    random = np.random.default_rng(0)
    size = random.normal(size=2000)
    accuracy, score = (size + 0.5 * random.normal(size=2000) for _ in range(2))
    found = measures(score, accuracy, size)
    assert found["spearman"] > 0.7
    assert abs(found["partial_pearson"]) < 0.05
    # A score that is the size has nothing left to correlate.
    assert np.isnan([measures(size, accuracy, size)[f"partial_{name}"] for name in ("kendall", "spearman")]).all()


def test_partial_correlations_need_every_parameter_count():
    table, accuracy = score_table([1, 3, 2, 5, 4]), pd.Series([1.0, 2, 3, 4, 5])
    known = correlate(pair([table], accuracy, pd.Series([10, 30, 40, 20, 50])), 20)
    assert known.estimates["partial_kendall"].value == pytest.approx(
        (0.6 - 0.2 * 0.6) / np.sqrt((1 - 0.2**2) * (1 - 0.6**2))  # taus 8 - 2, 6 - 4 and 8 - 2 of 10 pairs
    )
    for params in (pd.Series([10, -1, 40, 20, 50]), pd.Series({0: 10, 2: 40, 3: 20, 4: 50})):
        found = correlate(pair([table], accuracy, params), 20)
        assert np.isnan(found.estimates["partial_kendall"].value)
        assert found.reasons["partial_kendall"] == "undefined: 1 of 5 architectures have unknown parameters"
    none = correlate(pair([table], accuracy), 20)
    assert none.reasons["partial_pearson"] == "undefined: 5 of 5 architectures have unknown parameters"
    assert none.note == ""


def test_equal_parameters_and_singular_scores_leave_partial_correlations_undefined_with_the_reason():
    accuracy = pd.Series([1.0, 2, 3, 4, 5])
    found = correlate(pair([score_table([1, 3, 2, 5, 4])], accuracy, pd.Series([7] * 5)), 20)
    assert "parameters are all equal" in found.reasons["partial_kendall"]
    table = score_table([0, 3, 2, 5, 4], {0: "singular"})
    found = correlate(pair([table], accuracy, pd.Series([10, 30, 40, 20, 50])), 20)
    assert found.estimates["partial_kendall"].value == pytest.approx(0.48 / np.sqrt(0.96 * 0.64))
    assert found.reasons["partial_pearson"] == "undefined: singular scores have a rank but no value"


def test_the_filtered_tau_is_of_the_first_accurate_enough():
    random = np.random.default_rng(0)
    accuracy = random.uniform(0, 90, size=300)
    scores = accuracy + 40 * random.normal(size=300)
    found = correlate(Paired(np.arange(300), scores[None], accuracy), 50, filter_below=15, keep=100)
    first = np.flatnonzero(accuracy >= 15)[:100]
    expected = stats.kendalltau(scores[first], accuracy[first]).statistic
    assert found.filtered == 100
    filtered = found.estimates["kendall_filtered"]
    assert filtered.value == pytest.approx(expected)
    assert filtered.low < filtered.value < filtered.high
    assert found.estimates["kendall_filtered"].value < found.kendall.value


def test_a_filter_that_leaves_nothing_leaves_that_tau_undefined_alone():
    found = correlate(Paired(np.arange(4), np.array([[1.0, 2, 3, 4]]), np.array([1.0, 2, 3, 4])), 20)
    assert (found.filtered, found.note, found.kendall.value) == (0, "", 1)
    assert "the filter leaves 0 architectures" in found.reasons["kendall_filtered"]


@pytest.mark.parametrize(
    ("scores", "accuracy"),
    [([], []), ([1], [1]), ([1, 2], [1, 2]), ([5, 5, 5], [1, 2, 3]), ([1, 2, 3], [7, 7, 7]), ([1, 2, 3], [np.nan] * 3)],
)
def test_no_input_is_an_exception_and_all_measures_are_nan_together(scores, accuracy):
    found = correlate(pair([score_table(scores)], pd.Series(accuracy, dtype=float), pd.Series([1] * len(scores))), 20)
    assert list(found.estimates) == list(MEASURES)
    assert all(np.isnan([e.value, e.low, e.high]).all() for e in found.estimates.values())
    assert found.note


def test_all_measures_are_of_the_same_draws_whatever_the_proxy():
    first, second = ([m.tolist() for m in multiplicities(30, 40, 5)] for _ in range(2))
    assert first == second
    assert first != [m.tolist() for m in multiplicities(30, 40, 6)]
    (draws,) = multiplicities(30, 40, 5)
    assert draws.shape == (40, 30)
    assert (draws.sum(axis=1) == 30).all()


def test_draws_do_not_depend_on_how_many_are_worked_on_at_once(monkeypatch):
    random = np.random.default_rng(0)
    accuracy = random.normal(50, size=60)
    paired = Paired(np.arange(60), accuracy[None] + random.normal(size=60), accuracy, params=np.abs(accuracy) + 1)
    whole = correlate(paired, 50)
    monkeypatch.setattr("naswot_ext.statistics.bootstrap._AT_ONCE", 60 * 7)
    assert correlate(paired, 50) == whole


def test_intervals_of_all_measures_hold_their_values():
    random = np.random.default_rng(1)
    accuracy = random.normal(50, 10, size=400)
    size = accuracy + 10 * random.normal(size=400)
    paired = Paired(np.arange(400), accuracy[None] + 8 * random.normal(size=400), accuracy, params=size)
    for name, estimate in correlate(paired, 300).estimates.items():
        assert estimate.low <= estimate.value <= estimate.high, name


def test_a_draw_of_all_of_nas_bench_201_takes_milliseconds():
    n = 15_625
    random = np.random.default_rng(0)
    accuracy = random.normal(50, size=n)
    paired = Paired(np.arange(n), accuracy[None] + random.normal(size=n), accuracy, params=random.random(n))
    start = time.process_time()
    correlate(paired, 50)
    assert time.process_time() - start < 6  # so a thousand are two minutes
