"""Rank correlation of a proxy's scores with accuracy, with percentile bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from naswot_ext.statistics.bootstrap import check, multiplicities, percentiles
from naswot_ext.statistics.measures import MEASURES, Ranking
from naswot_ext.statistics.pairing import Paired


@dataclass(frozen=True)
class Estimate:
    """A statistic with the ends of its confidence interval; NaN where undefined."""

    value: float
    low: float = np.nan
    high: float = np.nan


@dataclass(frozen=True)
class Correlation:
    """An estimate of each of `MEASURES`; what they are is in `naswot_ext.statistics.measures`.

    `note` says why Kendall's tau or its interval is NaN, `reasons` the same of any other measure.
    """

    estimates: Mapping[str, Estimate]
    note: str = ""
    filtered: int = 0  # architectures that `kendall_filtered` is of
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def kendall(self) -> Estimate:
        """Kendall's tau-b."""
        return self.estimates["kendall"]

    @property
    def spearman(self) -> Estimate:
        """Spearman's rho."""
        return self.estimates["spearman"]


def kendall(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Kendall's tau-b (corrected for ties) of x [n] and y [n]; NaN where either is constant."""
    # No p-value is used; "asymptotic" keeps scipy from computing an exact one.
    return float(stats.kendalltau(x, y, method="asymptotic").statistic)


def spearman(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Spearman's rho of x [n] and y [n], tied values sharing their mean rank; NaN where either is constant."""
    u, v = stats.rankdata(x), stats.rankdata(y)
    u, v = u - u.mean(), v - v.mean()
    norm = np.sqrt((u @ u) * (v @ v))
    return float(u @ v / norm) if norm else np.nan


def correlate(
    paired: Paired,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    filter_below: float = 15.0,
    keep: int = 1000,
) -> Correlation:
    """All `MEASURES` of score and accuracy, each the mean over the seeds.

    So they are what one initialisation achieves, not what the mean of several scores would. The interval is the
    percentile bootstrap: architectures are drawn with replacement `bootstrap` times, the same ones for all measures
    and seeds of the scores. A draw in which a measure is undefined (all one value) is left out; where these are more
    than 1 - `confidence` of the draws they would decide the interval's ends, and there is none. `kendall_filtered` is
    of the first `keep` architectures with at least `filter_below` percent.

    Raises NaswotError where `bootstrap` is below 1 or `confidence` outside (0, 1).
    """
    check(bootstrap, confidence)
    reason = _undefined(paired)
    if reason:
        return Correlation(dict.fromkeys(MEASURES, Estimate(np.nan)), reason)

    n = len(paired.accuracy)
    filtered = paired.accuracy >= filter_below
    filtered &= np.cumsum(filtered) <= keep
    params = None if paired.params is None or np.isnan(paired.params).any() else paired.params
    ranking = Ranking(paired.scores, paired.accuracy, filtered, params)
    values = ranking.measure(np.ones((1, n), np.int32))[:, 0]
    draws = np.concatenate([ranking.measure(m) for m in multiplicities(n, bootstrap, seed)], axis=1)
    low, high = percentiles(draws, confidence)

    reasons = {}
    for name, value, end, row in zip(MEASURES, values, low, draws, strict=True):
        if np.isnan(value):
            reasons[name] = _why_undefined(name, paired, int(filtered.sum()))
        elif np.isnan(end):
            reasons[name] = f"no interval: undefined in {np.isnan(row).sum()} of {bootstrap} bootstrap draws"
    # An interval goes with a value. One NaN for all, so that equal results compare equal.
    table = np.where(np.isnan(values), np.nan, [values, low, high]).T
    estimates = {
        name: Estimate(*(np.nan if np.isnan(part) else float(part) for part in row))
        for name, row in zip(MEASURES, table, strict=True)
    }
    return Correlation(estimates, reasons.pop("kendall", ""), int(filtered.sum()), reasons)


def _undefined(paired: Paired) -> str:
    if len(paired.accuracy) < 3:
        return f"undefined: {len(paired.accuracy)} architectures, at least 3 are needed"
    if any(len(np.unique(row)) == 1 for row in paired.scores):
        return "undefined: all scores are equal"
    if len(np.unique(paired.accuracy)) == 1:
        return "undefined: all accuracies are equal"
    return ""


def _why_undefined(name: str, paired: Paired, filtered: int) -> str:
    """Why a measure other than those that `_undefined` speaks for is NaN."""
    if name == "kendall_filtered":
        return f"undefined: the filter leaves {filtered} architectures, or equal scores or accuracies"
    unknown = len(paired.accuracy) if paired.params is None else int(np.isnan(paired.params).sum())
    if unknown:
        return f"undefined: {unknown} of {len(paired.accuracy)} architectures have unknown parameters"
    if name == "partial_pearson" and not np.isfinite(paired.scores).all():
        return "undefined: singular scores have a rank but no value"
    return "undefined: the parameters are all equal, or they alone order the scores or the accuracies"
