"""Is one proxy, or one search, better than another: paired tests, corrected for many comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from naswot_ext.errors import NaswotError
from naswot_ext.statistics.bootstrap import FloatArray, check, multiplicities, percentiles
from naswot_ext.statistics.measures import Ranking
from naswot_ext.statistics.pairing import pair

PROXY_TEST_COLUMNS = [
    "proxy_a",
    "proxy_b",
    "tau_a",
    "tau_b",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
    "architectures",
    "left_out",
]
SEARCH_TEST_COLUMNS = [
    "search_a",
    "search_b",
    "runs",
    "mean_difference",
    "low",
    "high",
    "win_rate",
    "tie_rate",
    "p",
    "p_holm",
]


def holm(p: ArrayLike) -> FloatArray:
    """p-values [n] corrected for n comparisons (Holm, Scand. J. Statist. 1979); a NaN is no comparison.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    corrected = np.full(p.shape, np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return corrected


def proxy_tests(
    scores: Mapping[str, Sequence[pd.DataFrame]],
    accuracy: pd.Series,
    *,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Whether Kendall's tau-b differs between two proxies, for each pair of them: `PROXY_TEST_COLUMNS`.

    `scores` are the score tables of each proxy (one a seed, all of the same architectures; tau is the mean over the
    seeds), `accuracy` is indexed by `arch_index`. An architecture that failed under any proxy or has no accuracy is
    `left_out` of all; but a proxy that failed on every one leaves the others alone, and its own rows are empty.
    `difference` is tau_a - tau_b with its percentile interval over draws of architectures, the same
    ones for both. `p` is two-sided, that of a normal distribution with the draws' standard deviation: the share of
    draws beyond zero could not be small enough for many comparisons. NaN where a tau is undefined or the difference is
    the same in every draw. `p_holm` is corrected for all pairs.

    Raises NaswotError for tables of different architectures, or impossible options.
    """
    check(bootstrap, confidence)
    if len(scores) < 2:
        return pd.DataFrame(columns=PROXY_TEST_COLUMNS)
    usable = [not any((table["status"] == "failed").all() for table in tables) for tables in scores.values()]
    compared = [tables for tables, use in zip(scores.values(), usable, strict=True) if use] or list(scores.values())
    paired = pair([table for tables in compared for table in tables], accuracy)
    n, left_out = len(paired.accuracy), paired.failed + paired.unknown
    # Which of the joint tables' rows are of which proxy.
    ends = np.cumsum([len(tables) for tables in compared])[:-1]
    taus, draws = np.full((len(scores), 1), np.nan), np.full((len(scores), bootstrap), np.nan)
    if n >= 3:
        ranking = Ranking(paired.scores, paired.accuracy)
        every = [ranking.kendall(m) for m in (np.ones((1, n), np.int32), *multiplicities(n, bootstrap, seed))]
        by_proxy = [np.stack([part.mean(axis=0) for part in np.split(found, ends)]) for found in every]
        taus[usable], draws[usable] = by_proxy[0], np.concatenate(by_proxy[1:], axis=1)

    rows = []
    for (a, name_a), (b, name_b) in combinations(enumerate(scores), 2):
        differences = draws[a] - draws[b]
        difference = float(taus[a, 0] - taus[b, 0])
        low, high = percentiles(differences[None], confidence)
        rows.append(
            {
                "proxy_a": name_a,
                "proxy_b": name_b,
                "tau_a": taus[a, 0],
                "tau_b": taus[b, 0],
                "difference": difference,
                "low": low[0],
                "high": high[0],
                "p": _normal_p(difference, differences) if np.isfinite(low[0]) else np.nan,
                "architectures": n if usable[a] and usable[b] else 0,
                "left_out": left_out if usable[a] and usable[b] else n + left_out,
            }
        )
    return _corrected(rows, PROXY_TEST_COLUMNS)


def search_tests(
    searches: Mapping[str, pd.DataFrame],
    dataset: str,
    split: str,
    *,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Whether two searches find different accuracies, for each pair of them: `SEARCH_TEST_COLUMNS`.

    `searches` are search tables, paired by `run`; a run in which either found nothing is not counted in `runs`.
    `mean_difference` is that of a - b in percentage points with its percentile interval over draws of runs, `win_rate`
    and `tie_rate` are the shares of runs in which a is better and in which both are equal. `p` is of Wilcoxon's
    two-sided signed-rank test with Pratt's zeros (JASA 1959): ties count in the ranks and for neither side. It is 1
    where all runs are ties, NaN without runs. `p_holm` is corrected for all pairs.

    Raises NaswotError where a table has no accuracy of (`dataset`, `split`), or for impossible options.
    """
    check(bootstrap, confidence)
    found = accuracies(searches, dataset, split)
    draws: dict[int, FloatArray] = {}  # those of n runs, the same for every pair
    rows = []
    for name_a, name_b in combinations(found.columns, 2):
        difference = (found[name_a] - found[name_b]).dropna().to_numpy(np.float64)
        runs = len(difference)
        low = high = np.array([np.nan])
        if runs:
            if runs not in draws:
                draws[runs] = np.concatenate(list(multiplicities(runs, bootstrap, seed))).astype(np.float64)
            low, high = percentiles((draws[runs] @ difference / runs)[None], confidence)
        rows.append(
            {
                "search_a": name_a,
                "search_b": name_b,
                "runs": runs,
                "mean_difference": difference.mean() if runs else np.nan,
                "low": low[0],
                "high": high[0],
                "win_rate": (difference > 0).mean() if runs else np.nan,
                "tie_rate": (difference == 0).mean() if runs else np.nan,
                "p": _signed_rank_p(difference),
            }
        )
    return _corrected(rows, SEARCH_TEST_COLUMNS)


def accuracies(searches: Mapping[str, pd.DataFrame], dataset: str, split: str) -> pd.DataFrame:
    """What each search (column) found in each run (row), in percent; NaN where nothing.

    Raises NaswotError where a table has no accuracy of (`dataset`, `split`).
    """
    column = f"{dataset}_{split}"
    for name, table in searches.items():
        if column not in table:
            raise NaswotError(f"The search {name} has no column {column}, so it cannot be compared by that accuracy.")
    parts = {
        name: table[table["arch_index"] >= 0].set_index("run")[column].astype(np.float64)
        for name, table in searches.items()
    }
    return pd.DataFrame(parts).sort_index() if parts else pd.DataFrame()


def _normal_p(value: float, draws: FloatArray) -> float:
    error = np.nanstd(draws, ddof=1) if len(draws) > 1 else np.nan
    if value == 0 and not error > 0:
        return 1.0
    return float(2 * stats.norm.sf(abs(value) / error)) if error > 0 else np.nan


def _signed_rank_p(difference: FloatArray) -> float:
    if not len(difference):
        return np.nan
    if not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference, zero_method="pratt").pvalue)


def _corrected(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=[name for name in columns if name != "p_holm"])
    table["p_holm"] = holm(table["p"].to_numpy(np.float64))
    return table[columns]
