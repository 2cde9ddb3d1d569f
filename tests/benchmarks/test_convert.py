"""What holds for every source of ground truth, whatever its format."""

from __future__ import annotations

import pandas as pd
import pytest

from naswot_ext import benchmarks
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES


def rows(test_accuracy: list[float]) -> pd.DataFrame:
    space = SPACES.get("nasbench201")
    measured = {"dataset": "cifar10", "epochs": 200, "valid_accuracy": float("nan"), "train_seconds": float("nan")}
    indices = list(range(len(test_accuracy)))[::-1]
    arch = [space.architecture(i) for i in indices]
    columns = {"arch_index": indices, "arch": arch, "test_accuracy": test_accuracy}
    return pd.DataFrame({**columns, **measured, "n_seeds": 1, "params": -1, "version": "fake"})


def convert(monkeypatch: pytest.MonkeyPatch, test_accuracy: list[float]) -> pd.DataFrame:
    monkeypatch.setitem(benchmarks.SOURCES._entries, "fake", benchmarks.Source(lambda *_: rows(test_accuracy)))
    return benchmarks.convert("nasbench201", {"source": "fake"})


def test_rows_come_sorted_with_the_promised_columns_and_types(monkeypatch: pytest.MonkeyPatch) -> None:
    table = convert(monkeypatch, [90.0, 80.0])
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == benchmarks.COLUMNS
    assert table["arch_index"].tolist() == [0, 1]
    assert table["test_accuracy"].tolist() == [80.0, 90.0]


@pytest.mark.parametrize("accuracy", [-0.5, 100.5])
def test_an_accuracy_that_is_no_percentage_is_refused_by_architecture(
    monkeypatch: pytest.MonkeyPatch, accuracy: float
) -> None:
    with pytest.raises(NaswotError, match=rf"test_accuracy {accuracy} of \|avg_pool.* on cifar10 is not a percentage"):
        convert(monkeypatch, [90.0, accuracy])
