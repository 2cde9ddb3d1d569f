"""Small ground truths for the searches with a simulated budget, and a record of what a run evaluates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

from naswot_ext import searches
from naswot_ext.searches._budget import Budget
from naswot_ext.spaces import SPACES
from naswot_ext.spaces.nasbench201 import OPERATIONS

SPACE = SPACES.get("nasbench201")
# What each search with a budget is called, and those that need independent decisions.
ALGORITHMS = ("rs", "rea", "area", "reinforce", "bohb")


def convolutions(architectures: Sequence[str]) -> np.ndarray:
    """An accuracy that every search should find its way up: ten percent for each 3x3 convolution, at most 60."""
    return np.array([10.0 * architecture.count(OPERATIONS[3]) for architecture in architectures])


def truth(architectures: Sequence[str], accuracy: np.ndarray, seconds: np.ndarray, lengths=(12,)) -> pd.DataFrame:
    """Trainings of cifar10: each length shows the same accuracy and costs its share of the longest one's seconds."""
    common = {"arch_index": np.arange(len(architectures)), "arch": architectures, "dataset": "cifar10"}
    return pd.concat(
        pd.DataFrame({**common, "epochs": e, "valid_accuracy": a, "test_accuracy": a, "train_seconds": s})
        for e, a, s in [*((e, accuracy, seconds * e / max(lengths)) for e in lengths), (200, accuracy, np.nan)]
    )


def scores(values: np.ndarray, statuses: str | Sequence[str] = "ok", seconds: float = 0.5) -> pd.DataFrame:
    return pd.DataFrame({"arch_index": np.arange(len(values)), "score": values, "status": statuses, "seconds": seconds})


def among(table: pd.DataFrame, score_tables=None, scored_on="cifar10", space=SPACE) -> searches.Candidates:
    """Candidates, all of them sampled; by default each architecture's score is its number."""
    count = table["arch_index"].nunique()
    if score_tables is None:
        score_tables = [scores(np.arange(float(count)))]
    return searches.candidates(space, range(count), table, scored_on, [[one] for one in score_tables], "mine.csv")


@pytest.fixture(scope="session")
def whole_space() -> searches.Candidates:
    """All of NAS-Bench-201, one second an evaluation, more 3x3 convolutions are better."""
    architectures = [SPACE.architecture(i) for i in range(len(SPACE))]
    return among(truth(architectures, convolutions(architectures), np.ones(len(architectures))))


@contextmanager
def recorded() -> Iterator[list[int]]:
    """The positions that are evaluated within, in order, without the one that crosses the budget."""
    positions: list[int] = []
    evaluate = Budget.evaluate

    def note(self: Budget, position: int) -> float | None:
        accuracy = evaluate(self, position)
        if accuracy is not None:
            positions.append(position)
        return accuracy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Budget, "evaluate", note)
        yield positions
