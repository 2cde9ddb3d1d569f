"""Rank correlation of a proxy's scores with accuracy, with percentile bootstrap intervals.

What counts: a singular architecture (score -inf) has the worst rank, tied with every other singular one. A
failed architecture has no score, so it is left out and counted; with several seeds, one failure leaves it out
of all of them, so that each seed's correlation is of the same architectures.

An undefined correlation (fewer than 3 architectures, or scores or accuracies that are all equal) is NaN with
the reason in `Correlation.note`, never an exception: it must not stop a run that has other results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from naswot_ext.errors import NaswotError
from naswot_ext.seeds import derive

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """Scores and accuracies of the same architectures."""

    arch_index: NDArray[np.int64]  # [n]
    scores: FloatArray  # [seeds, n], -inf where singular
    accuracy: FloatArray  # [n], percent
    singular: int = 0  # of the n, singular with at least one seed
    failed: int = 0  # left out: failed with at least one seed
    unknown: int = 0  # left out: the ground truth has no accuracy


@dataclass(frozen=True)
class Estimate:
    """A statistic with the ends of its confidence interval; NaN where undefined."""

    value: float
    low: float = np.nan
    high: float = np.nan


@dataclass(frozen=True)
class Correlation:
    """Kendall's tau-b and Spearman's rho; `note` says why an estimate or an interval is NaN."""

    kendall: Estimate
    spearman: Estimate
    note: str = ""


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


def pair(scores: Sequence[pd.DataFrame], accuracy: pd.Series) -> Paired:
    """Join score tables (one a seed, of the same architectures) with accuracies indexed by `arch_index`.

    Raises NaswotError where the tables are of different architectures, or a row that did not fail has no score.
    """
    tables = [table.set_index("arch_index").sort_index() for table in scores]
    first = tables[0].index
    if any(not table.index.equals(first) for table in tables):
        raise NaswotError(
            "The score tables of the seeds are of different architectures. Make them again from one draw."
        )
    status = np.stack([table["status"].to_numpy(dtype=str) for table in tables])
    values = np.stack([table["score"].to_numpy(dtype=np.float64) for table in tables])
    values = np.where(status == "singular", -np.inf, values)

    failed = (status == "failed").any(axis=0)
    missing = np.isnan(values).any(axis=0) & ~failed
    if missing.any():
        raise NaswotError(
            f"Architecture {first[missing][0]} has no score but its status is not `failed`. Score it again."
        )
    truth = accuracy.reindex(first).to_numpy(dtype=np.float64)
    unknown = np.isnan(truth) & ~failed
    kept = ~failed & ~unknown
    return Paired(
        arch_index=first[kept].to_numpy(dtype=np.int64),
        scores=values[:, kept],
        accuracy=truth[kept],
        singular=int(np.isneginf(values[:, kept]).any(axis=0).sum()),
        failed=int(failed.sum()),
        unknown=int(unknown.sum()),
    )


def correlate(paired: Paired, bootstrap: int = 1000, confidence: float = 0.95, seed: int = 0) -> Correlation:
    """Kendall's tau-b and Spearman's rho of score and accuracy, each the mean over the seeds.

    So they are what one initialisation achieves, not what the mean of several scores would. The interval is the
    percentile bootstrap: architectures are drawn with replacement `bootstrap` times, the same ones for each
    seed of the scores. A draw in which a correlation is undefined (all one value) is left out; where these are
    more than 1 - `confidence` of the draws they would decide the interval's ends, and there is none.

    Raises NaswotError where `bootstrap` is below 1 or `confidence` outside (0, 1).
    """
    if bootstrap < 1 or not 0 < confidence < 1:
        raise NaswotError(
            f"Cannot bootstrap {bootstrap} times at confidence {confidence}: statistics.bootstrap must be at least 1, "
            "statistics.confidence between 0 and 1."
        )
    n = len(paired.accuracy)
    reason = _undefined(paired)
    if reason:
        return Correlation(Estimate(np.nan), Estimate(np.nan), reason)

    # Dense ranks order as the values do, and small integers sort faster.
    x = np.stack([stats.rankdata(row, method="dense") for row in paired.scores]).astype(np.int32)
    y = stats.rankdata(paired.accuracy, method="dense").astype(np.int32)
    random = np.random.default_rng(derive(seed, "bootstrap"))
    draws = np.empty((2, bootstrap))
    for b in range(bootstrap):
        drawn = random.integers(n, size=n)
        draws[:, b] = _mean_over_seeds(x[:, drawn], y[drawn])

    undefined = int(np.isnan(draws[0]).sum())
    tail = (1 - confidence) / 2
    if undefined > (1 - confidence) * bootstrap:
        low = high = np.full(2, np.nan)
        note = f"no interval: undefined in {undefined} of {bootstrap} bootstrap draws"
    else:
        low, high = np.nanquantile(draws, [tail, 1 - tail], axis=1)
        note = ""
    tau, rho = (Estimate(*map(float, ends)) for ends in zip(_mean_over_seeds(x, y), low, high, strict=True))
    return Correlation(tau, rho, note)


def _undefined(paired: Paired) -> str:
    if len(paired.accuracy) < 3:
        return f"undefined: {len(paired.accuracy)} architectures, at least 3 are needed"
    if any(len(np.unique(row)) == 1 for row in paired.scores):
        return "undefined: all scores are equal"
    if len(np.unique(paired.accuracy)) == 1:
        return "undefined: all accuracies are equal"
    return ""


def _mean_over_seeds(x: NDArray[np.int32], y: NDArray[np.int32]) -> FloatArray:
    return np.array([np.mean([measure(row, y) for row in x]) for measure in (kendall, spearman)])
