"""Reading the ground-truth table that `naswot_ext.benchmarks` makes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

SPLITS = ("valid", "test")


def final_accuracies(truth: pd.DataFrame) -> dict[tuple[str, str], pd.Series]:
    """Accuracies after the longest training of each data set: {(data set, split): percent by `arch_index`}.

    A split in which the ground truth has no accuracy at all is not there. Data sets keep the truth's order.
    """
    final: dict[tuple[str, str], pd.Series] = {}
    for dataset, rows in truth.groupby("dataset", sort=False):
        rows = rows[rows["epochs"] == rows["epochs"].max()].set_index("arch_index")
        for split in SPLITS:
            accuracy = rows[f"{split}_accuracy"]
            if accuracy.notna().any():
                final[str(dataset), split] = accuracy
    return final


class Trained(NamedTuple):
    """What one evaluation of each of C architectures shows and costs; NaN where the ground truth has none.

    `valid_accuracy` is percent float64 [C]; `seconds` float64 [C] is the cost of the training with one pass over the
    validation images, as searches with a budget count it.
    """

    valid_accuracy: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]


def trainings(truth: pd.DataFrame, index: npt.NDArray[np.int64]) -> dict[tuple[str, int], Trained]:
    """Each training that the ground truth knows, by (data set, epochs), for the architectures of `index` [C]."""
    found = {}
    length: Any  # of one training; pandas knows only that it can be hashed
    for (dataset, length), rows in truth.groupby(["dataset", "epochs"], sort=False):
        rows = rows.set_index("arch_index").reindex(index)
        seconds = rows["train_seconds"] if "train_seconds" in rows else rows["valid_accuracy"] * np.nan
        columns = (rows["valid_accuracy"], seconds)
        found[str(dataset), int(length)] = Trained(*(column.to_numpy(np.float64) for column in columns))
    return found
