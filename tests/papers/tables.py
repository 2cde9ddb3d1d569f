"""Small search tables, and what the metadata of the workflow's says of how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd


def runs(accuracies: Mapping[str, Sequence[float]], seconds: float = 2.0) -> pd.DataFrame:
    """A search table with columns such as cifar10_valid; a run of NaN found nothing."""
    first = np.array(next(iter(accuracies.values())), float)
    index = np.where(np.isnan(first), -1, np.arange(len(first)))
    found = {"run": np.arange(len(first)), "arch_index": index, "arch": "", **accuracies}
    return pd.DataFrame({**found, "seconds": seconds, "evaluations": 1})


def made_by(algorithm: str, **facts: Any) -> dict[str, Any]:
    """How a search of NAS-Bench-201 was made that was scored on CIFAR-10, all architectures of it."""
    common = {"space": "nasbench201", "scored_on": "cifar10", "proxy": None, "n_samples": None}
    return {**common, "draw": {"architectures": "all", "draw_seed": 0}, "algorithm": algorithm, **facts}


def one(cells: pd.DataFrame, method: str, dataset: str, split: str = "test", n_samples: int | None = None) -> Any:
    """The one cell of a method, as a named tuple."""
    rows = cells[(cells["method"] == method) & (cells["dataset"] == dataset) & (cells["split"] == split)]
    rows = [row for row in rows.itertuples() if row.n_samples == n_samples]
    assert len(rows) == 1
    return rows[0]
