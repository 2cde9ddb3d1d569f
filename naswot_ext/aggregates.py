"""Rank aggregates: several proxies' scores of the same architectures, combined by their ranks.

Ranks need no common unit, which scores of different proxies do not have.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from naswot_ext.errors import unknown

HOW = ("mean", "log")


def aggregate(scores: npt.NDArray[np.float64], how: str = "mean") -> npt.NDArray[np.float64]:
    """Combine scores [proxies, n], higher is better, into one [n] by their ranks among the n architectures.

    A rank r runs from 1, the worst, to n, equal scores sharing their mean rank. "mean" is the mean of r / n over the
    proxies; "log" the mean of log(r / n), which punishes what one proxy finds bad more than it rewards what another
    finds good (Lee and Ham, AZ-NAS, CVPR 2024, equation 11). NaN where a proxy has no score; those architectures take
    no part in the ranking. Raises NaswotError for another `how`.

    >>> aggregate(np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]])).round(2).tolist()
    [0.33, 0.83, 0.83]
    """
    if how not in HOW:
        raise unknown("rank aggregate", how, HOW)
    known = ~np.isnan(scores).any(axis=0)
    combined = np.full(scores.shape[1], np.nan)
    if known.any():
        ranks = stats.rankdata(scores[:, known], axis=1) / known.sum()
        combined[known] = ranks.mean(axis=0) if how == "mean" else np.log(ranks).mean(axis=0)
    return combined
