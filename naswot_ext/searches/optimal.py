"""Optimal(N): the best of N architectures by their trained accuracy, what a perfect score would find.

Options: `n_samples`, N; `by`, the split whose accuracy decides (default valid), or "either", validation where the
ground truth has it, else test; `dataset`, of which data set (default:
the one that was scored on where the ground truth has it, else the first by name). Source: Mellor et al. 2021, table 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from naswot_ext.errors import NaswotError
from naswot_ext.searches import SEARCHES, Candidates, Found, Search, best, draw


def optimal(among: Candidates, options: Mapping[str, Any], run: int, rng: np.random.Generator) -> Found:
    """One run; its seconds are NaN, since the cost of training N networks is not in every ground truth."""
    datasets = sorted({dataset for dataset, _ in among.accuracy})
    if not datasets:
        raise NaswotError(f"The search optimal goes by trained accuracies, and {among.source} has not one.")
    dataset = options.get("dataset") or (among.scored_on if among.scored_on in datasets else datasets[0])
    split = options.get("by", "valid")
    if split == "either":
        split = "valid" if (dataset, "valid") in among.accuracy else "test"
    if (dataset, split) not in among.accuracy:
        known = ", ".join(f"{d} {s}" for d, s in sorted(among.accuracy))
        raise NaswotError(
            f"The search optimal goes by the {split} accuracy on {dataset}, which the ground truth lacks. "
            f"Set `by` or `dataset` to one that it has: {known}."
        )
    drawn = draw(among, options, rng)
    return Found(best(among.accuracy[dataset, split][drawn], drawn), seconds=float("nan"), evaluations=len(drawn))


SEARCHES.register("optimal")(Search(optimal, uses_scores=False))
