"""Which search is ahead over many runs: mean ranks with their critical difference, and win rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from naswot_ext.statistics.comparison import accuracies


@dataclass(frozen=True)
class MeanRanks:
    """Mean ranks of searches over runs, rank 1 the most accurate (Demsar, JMLR 2006)."""

    ranks: pd.Series  # by search, best first
    runs: int  # in which every search found an architecture
    critical_difference: float  # of Nemenyi's test: closer mean ranks are not told apart
    p: float  # of Friedman's test that all searches are equal
    confidence: float

    @property
    def cliques(self) -> list[tuple[str, ...]]:
        """The longest rows of neighbouring searches, of at least two, that are not told apart."""
        names, ranks = list(self.ranks.index), self.ranks.to_numpy(np.float64)
        found: list[tuple[str, ...]] = []
        reached = 0
        for first in range(len(names)):
            last = int(np.searchsorted(ranks, ranks[first] + self.critical_difference, side="right"))
            if last - first > 1 and last > reached:
                found.append(tuple(names[first:last]))
                reached = last
        return found


def mean_ranks(
    searches: Mapping[str, pd.DataFrame], dataset: str, split: str, *, confidence: float = 0.95
) -> MeanRanks | None:
    """Mean ranks of search tables over the runs that they share; None for fewer than 3 searches or 2 such runs.

    Equal accuracies share their mean rank. The critical difference is q sqrt(k (k + 1) / 6N) for k searches and N runs,
    q the studentised range's quantile over sqrt(2) (Nemenyi 1963). Raises NaswotError where a table has no accuracy of
    (`dataset`, `split`).
    """
    found = accuracies(searches, dataset, split).dropna()
    runs, k = found.shape
    if k < 3 or runs < 2:
        return None
    ranks = stats.rankdata(-found.to_numpy(np.float64), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = float(stats.friedmanchisquare(*found.to_numpy(np.float64).T).pvalue)
    quantile = stats.studentized_range.ppf(confidence, k, np.inf) / np.sqrt(2)
    return MeanRanks(
        ranks=pd.Series(ranks.mean(axis=0), index=found.columns).sort_values(kind="stable"),
        runs=runs,
        critical_difference=float(quantile * np.sqrt(k * (k + 1) / (6 * runs))),
        p=p,
        confidence=confidence,
    )


def search_win_rates(searches: Mapping[str, pd.DataFrame], dataset: str, split: str) -> pd.DataFrame:
    """The share of their common runs in which the search of the row finds a better accuracy than that of the column.

    A tie is half a win, so that a cell and its mirror add up to 1. NaN on the diagonal and without common runs.
    Raises NaswotError where a table has no accuracy of (`dataset`, `split`).
    """
    values = accuracies(searches, dataset, split)
    v = values.to_numpy(np.float64)
    k = v.shape[1]
    rates = np.full((k, k), np.nan)
    for a in range(k):
        for b in range(k):
            difference = v[:, a] - v[:, b]
            difference = difference[~np.isnan(difference)]
            if a != b and len(difference):
                rates[a, b] = ((np.sign(difference) + 1) / 2).mean()
    return pd.DataFrame(rates, index=list(values.columns), columns=list(values.columns))
