"""Scores and accuracies of the same architectures, and what counts as an observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from naswot_ext.errors import NaswotError

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
    params: FloatArray | None = None  # [n], NaN where unknown


def pair(scores: Sequence[pd.DataFrame], accuracy: pd.Series, params: pd.Series | None = None) -> Paired:
    """Join score tables (one a seed, of the same architectures) with accuracies indexed by `arch_index`.

    So are `params`, where they are given: negative or missing means unknown. Raises NaswotError where the tables are
    of different architectures, or a row that did not fail has no score.
    """
    tables = [table.set_index("arch_index").sort_index() for table in scores]
    first = tables[0].index
    if any(not table.index.equals(first) for table in tables):
        raise NaswotError("The score tables are of different architectures. Make them again from one draw.")
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
    sizes = None if params is None else params.reindex(first[kept]).to_numpy(dtype=np.float64)
    return Paired(
        arch_index=first[kept].to_numpy(dtype=np.int64),
        scores=values[:, kept],
        accuracy=truth[kept],
        singular=int(np.isneginf(values[:, kept]).any(axis=0).sum()),
        failed=int(failed.sum()),
        unknown=int(unknown.sum()),
        params=None if sizes is None else np.where(sizes >= 0, sizes, np.nan),
    )
