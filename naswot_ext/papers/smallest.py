"""The networks that a claim of the 2020 paper is about: the smallest above 90 % CIFAR-10 validation accuracy.

A file of its own, which imports little: these networks are scored again when it changes, and only then.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from naswot_ext.truth import final_accuracies

THRESHOLD = 90.0  # percent of CIFAR-10 validation accuracy


def smallest_and_params(truth: pd.DataFrame) -> tuple[NDArray[np.int64], pd.Series, str]:
    """Indices of the smallest networks above the threshold, parameters of all that have an accuracy, or why none."""
    none = np.array([], np.int64), pd.Series(dtype=float)
    accuracy = final_accuracies(truth).get(("cifar10", "valid"))
    if accuracy is None:
        return *none, "the ground truth of nasbench201 has no cifar10 validation accuracy"
    accuracy = accuracy.dropna()
    if "params" not in truth:
        return *none, "the ground truth of nasbench201 has no number of parameters"
    rows = truth[truth["dataset"] == "cifar10"].drop_duplicates("arch_index").set_index("arch_index")
    params = rows["params"].reindex(accuracy.index).astype(float)
    if params.isna().any() or (params < 0).any():
        return *none, "the ground truth of nasbench201 has no number of parameters"
    above = params[accuracy > THRESHOLD]
    if above.empty:
        return (
            *none,
            f"the ground truth of nasbench201 has no network above {THRESHOLD:g} % cifar10 validation accuracy",
        )
    return above.index[above == above.min()].to_numpy(np.int64), params, ""
