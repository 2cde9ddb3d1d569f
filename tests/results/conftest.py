"""Small score tables, ground truth and search tables in the shapes of the workflow's files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from naswot_ext.tables import read_published
from tests.conftest import REPOSITORY


def score_table(scores: Sequence[float], status: dict[int, str] | None = None) -> pd.DataFrame:
    """Scores of architectures 0, 1, ...; `status` names those that are not ok."""
    columns = {"arch_index": np.arange(len(scores), dtype=np.int32), "score": np.array(scores, float), "status": "ok"}
    table = pd.DataFrame(columns)
    for i, word in (status or {}).items():
        table.loc[i, "status"] = word
        table.loc[i, "score"] = -np.inf if word == "singular" else np.nan
    return table


def truth_table(test: Sequence[float], valid: Sequence[float] | None = None, dataset: str = "cifar10") -> pd.DataFrame:
    """Accuracies of architectures 0, 1, ... after 200 epochs."""
    columns = {"valid_accuracy": np.nan if valid is None else valid, "test_accuracy": test}
    return pd.DataFrame({"arch_index": range(len(test)), "dataset": dataset, "epochs": 200, **columns})


@pytest.fixture(scope="session")
def published() -> pd.DataFrame:
    """The papers' numbers, as the workflow reads them."""
    return read_published(REPOSITORY / "workflow" / "resources" / "published.csv")


@pytest.fixture
def noisy() -> Callable[..., tuple[pd.DataFrame, pd.DataFrame]]:
    """Scores that follow skewed accuracies, with noise: (score table, ground truth) of n architectures."""

    def make(n: int = 200, status: dict[int, str] | None = None, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
        quality = np.random.default_rng(7).normal(size=n)
        scores = 1500 + 100 * (quality + np.random.default_rng(seed).normal(size=n))
        return score_table(list(scores), status), truth_table(list(94 - 8 * np.exp(-quality)))

    return make
