"""Rank aggregates: hand-made ranks, and what happens to architectures without a score."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from naswot_ext.aggregates import aggregate, aggregate_tables
from naswot_ext.errors import NaswotError


def table(scores: list[float], index: list[int] | None = None) -> pd.DataFrame:
    status = ["singular" if s == -np.inf else "failed" if np.isnan(s) else "ok" for s in scores]
    arch_index = index or list(range(len(scores)))
    return pd.DataFrame(
        {
            "arch_index": arch_index,
            "arch": [f"a{i}" for i in arch_index],
            "score": scores,
            "status": status,
            "error": ["it broke" if s == "failed" else "" for s in status],
            "units": 7,
            "seconds": 0.5,
        }
    )


def test_ranks_are_combined_by_their_mean_or_by_the_mean_of_their_logarithms() -> None:
    scores = np.array([[10.0, 30.0, 20.0, 20.0], [4.0, 3.0, 2.0, 1.0]])
    ranks = np.array([[1, 4, 2.5, 2.5], [4, 3, 2, 1]]) / 4
    assert aggregate(scores) == pytest.approx(ranks.mean(axis=0))
    assert aggregate(scores, "log") == pytest.approx(np.log(ranks).mean(axis=0))
    # A bad rank weighs more in logarithms: (1, 4) is behind (2.5, 2) there, and before it in the mean.
    assert aggregate(scores)[0] > aggregate(scores)[2]
    assert aggregate(scores, "log")[0] < aggregate(scores, "log")[2]
    with pytest.raises(NaswotError, match="Unknown rank aggregate"):
        aggregate(scores, "median")


def test_an_architecture_without_a_score_takes_no_part_in_the_ranking() -> None:
    combined = aggregate(np.array([[1.0, np.nan, 3.0], [1.0, 9.0, 2.0]]))
    assert np.isnan(combined[1])
    assert combined[[0, 2]].tolist() == [0.5, 1.0]
    assert np.isnan(aggregate(np.full((2, 3), np.nan))).all()


def test_tables_are_joined_by_architecture_and_keep_what_went_wrong() -> None:
    first = table([1.0, 2.0, -np.inf, 4.0])
    second = table([4.0, np.nan, 3.0, 5.0]).sample(frac=1, random_state=0)
    found = aggregate_tables([first, second])
    assert found["status"].tolist() == ["ok", "failed", "singular", "ok"]
    assert found["error"].tolist() == ["", "it broke", "", ""]
    assert found["score"].tolist()[0::3] == [0.5, 1.0]
    assert found["score"][2] == -np.inf
    assert (found["seconds"] == 1.0).all()
    with pytest.raises(NaswotError, match="different architectures"):
        aggregate_tables([first, table([1.0], [9])])
