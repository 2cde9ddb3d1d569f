"""Rank aggregates: several proxies' scores of the same architectures, combined by their ranks.

Ranks need no common unit, which scores of different proxies do not have.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from naswot_ext.errors import NaswotError, unknown

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


def aggregate_tables(tables: Sequence[pd.DataFrame], how: str = "mean") -> pd.DataFrame:
    """The score table of an aggregate, from score tables of the same architectures by several proxies.

    An architecture that failed by one of them has failed; one that is singular by one of them is singular, and takes no
    part in the ranking. `seconds` are added up. Raises NaswotError where the tables are of different architectures.
    """
    aligned = [table.set_index("arch_index").sort_index() for table in tables]
    first = aligned[0]
    if any(not table.index.equals(first.index) for table in aligned):
        raise NaswotError("The scores whose ranks are to be combined are of different architectures. Score them again.")
    scores = np.stack([table["score"].where(table["status"] == "ok").to_numpy(np.float64) for table in aligned])
    combined = aggregate(scores, how)
    failed, singular = (
        np.any([(table["status"] == status).to_numpy() for table in aligned], axis=0)
        for status in ("failed", "singular")
    )
    reasons = zip(*(table["error"] for table in aligned), strict=True)
    return pd.DataFrame(
        {
            "arch_index": first.index.to_numpy(np.int32),
            "arch": first["arch"].to_numpy(),
            "score": np.where(failed, np.nan, np.where(singular, -np.inf, combined)),
            "status": np.where(failed, "failed", np.where(singular, "singular", "ok")),
            "error": [next((reason for reason in each if reason), "") for each in reasons],
            "units": np.max([table["units"].to_numpy() for table in aligned], axis=0),
            "seconds": np.sum([table["seconds"].to_numpy() for table in aligned], axis=0),
        }
    )
