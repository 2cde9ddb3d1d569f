"""Reading the ground-truth table that `naswot_ext.benchmarks` makes."""

from __future__ import annotations

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
