"""Bring your own ground truth: what is read, and errors that name file, line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from naswot_ext import benchmarks
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES

SPACE = SPACES.get("nasbench201")
ARCH = [SPACE.architecture(i) for i in range(3)]
GOOD = {"arch": ARCH, "va": ["90.5", "", "10"], "te": ["91", "92.25", "10"], "mb": ["0.5", "1.25", ""]}


def options(path: Path, **changes: Any) -> dict[str, Any]:
    accuracy = [{"dataset": "cifar10", "epochs": 200, "valid": "va", "test": "te"}]
    return {"source": "table", "path": str(path), "accuracy": accuracy, **changes}


def write(path: Path, columns: dict[str, list[str]] = GOOD) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_csv_becomes_the_ground_truth_table(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name)
    table = benchmarks.convert("nasbench201", options(path, params={"column": "mb", "unit": 1e6}))
    assert list(table.columns) == list(benchmarks.COLUMNS)
    assert table["arch_index"].tolist() == [0, 1, 2]
    assert table["arch"].tolist() == ARCH
    np.testing.assert_array_equal(table["valid_accuracy"], [90.5, np.nan, 10])
    np.testing.assert_array_equal(table["test_accuracy"], [91, 92.25, 10])
    assert table["params"].tolist() == [500_000, 1_250_000, -1]
    assert table["epochs"].tolist() == [200] * 3
    assert table["train_seconds"].isna().all()


def test_a_parquet_file_gives_the_same_table(tmp_path: Path) -> None:
    csv = benchmarks.convert("nasbench201", options(write(tmp_path / "t.csv")))
    numbers = pd.DataFrame({"arch": ARCH, "va": [90.5, None, 10], "te": [91, 92.25, 10]})
    numbers.to_parquet(tmp_path / "t.parquet")
    parquet = benchmarks.convert("nasbench201", options(tmp_path / "t.parquet"))
    pd.testing.assert_frame_equal(parquet, csv.assign(version="t.parquet").astype({"version": "str"}))


def test_columns_of_several_trainings_are_averaged_without_their_empty_cells(tmp_path: Path) -> None:
    measured = [{"dataset": "cifar10", "epochs": 200, "valid": ["va", "te"]}]
    table = benchmarks.convert("nasbench201", options(write(tmp_path / "t.csv"), accuracy=measured))
    np.testing.assert_array_equal(table["valid_accuracy"], [90.75, 92.25, 10])
    assert table["n_seeds"].tolist() == [2] * 3
    assert table["test_accuracy"].isna().all()


def test_a_column_of_several_trainings_is_checked_by_its_own_name(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", GOOD | {"te": ["91", "192", "10"]})
    measured = [{"dataset": "cifar10", "epochs": 200, "valid": ["va", "te"]}]
    with pytest.raises(NaswotError, match="line 3, column 'te': '192' is not a percentage"):
        benchmarks.convert("nasbench201", options(path, accuracy=measured))


def test_the_parts_of_an_architecture_may_be_lists_of_a_parquet_file_with_an_index_of_its_own(tmp_path: Path) -> None:
    cells = {"adjacency": [[[0, 1], [0, 0]]], "operations": [["input", "output"]], "te": [91.0]}
    pd.DataFrame(cells, index=["first"]).to_parquet(tmp_path / "t.parquet")
    parts = {"adjacency": "adjacency", "operations": "operations"}
    measured = [{"dataset": "cifar10", "epochs": 108, "test": "te"}]
    table = benchmarks.convert("nasbench101", options(tmp_path / "t.parquet", arch=parts, accuracy=measured))
    assert table["arch"].tolist() == ["0100 input,output"]


@pytest.mark.parametrize("read", [benchmarks.architectures, benchmarks.convert])
def test_the_architectures_of_a_table_are_listed_by_index(read: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", {name: column[::-1] for name, column in GOOD.items()})
    listed = read("nasbench201", options(path))[["arch_index", "arch"]]
    assert listed["arch_index"].tolist() == [0, 1, 2]
    assert listed["arch"].tolist() == ARCH


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"te": ["91", "n/a", "10"]}, r"t\.csv, line 3, column 'te': 'n/a' is not a number"),
        ({"te": ["91", "inf", "10"]}, r"line 3, column 'te': 'inf' is not a number"),
        ({"te": ["91", "192", "10"]}, r"t\.csv, line 3, column 'te': '192' is not a percentage"),
        ({"arch": [ARCH[0], ARCH[1], ARCH[0]]}, r"line 4: architecture .* stands in line 2 already"),
        ({"arch": [ARCH[0], "|conv~0|", ARCH[2]]}, r"line 3: '\|conv~0\|' is not a NAS-Bench-201 architecture"),
    ],
)
def test_a_wrong_cell_is_named_by_file_line_and_column(change: dict[str, list[str]], reason: str, tmp_path) -> None:
    path = write(tmp_path / "t.csv", GOOD | change)
    with pytest.raises(NaswotError, match=reason):
        benchmarks.convert("nasbench201", options(path))


def test_another_separator_is_suspected(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame(GOOD).to_csv(path, index=False, sep=";")
    with pytest.raises(NaswotError, match="Is the file separated by commas"):
        benchmarks.convert("nasbench201", options(path))


def test_blank_lines_are_left_out_but_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "", *lines[1:], "", ""]))
    assert len(benchmarks.convert("nasbench201", options(path))) == 3
    path.write_text("\n".join([lines[0], "", "", lines[1].replace("90.5", "ninety"), *lines[2:]]))
    with pytest.raises(NaswotError, match=r"t\.csv, line 4, column 'va': 'ninety' is not a number"):
        benchmarks.convert("nasbench201", options(path))


def test_fractions_are_not_taken_for_percent(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", GOOD | {"te": ["0.91", "0.9225", "0.1"]})
    with pytest.raises(NaswotError, match=r"No test_accuracy is above 0\.9225: these look like fractions"):
        benchmarks.convert("nasbench201", options(path))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"arch": "architecture"}, "Unknown column 'architecture'. Did you mean 'arch'"),
        ({"accuracy": [{"dataset": "cifar10", "test": "tests"}]}, "Unknown column 'tests'. Did you mean 'te'"),
        ({"n_seeds": "seeds"}, "Unknown column 'seeds'"),
        ({"path": "nowhere.csv"}, "No such file: nowhere.csv"),
        ({"source": "tables"}, "Did you mean 'table'"),
    ],
)
def test_a_wrong_option_says_what_was_meant(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(NaswotError, match=reason):
        benchmarks.convert("nasbench201", options(write(tmp_path / "t.csv")) | change)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b broken gzip"])
def test_an_unreadable_table_is_one_clear_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(content)
    with pytest.raises(NaswotError, match=r"t\.csv\.gz is not a readable table"):
        benchmarks.convert("nasbench201", options(path))


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", {name: [] for name in GOOD})
    with pytest.raises(NaswotError, match="has no rows"):
        benchmarks.convert("nasbench201", options(path))


def test_the_real_table_gives_its_published_extremes(real_data) -> None:
    accuracy = [
        {"dataset": d, "epochs": e, "valid": f"{d}_valid_{e}", "test": f"{d}_test_{e}"}
        for d in ("cifar10", "cifar100")
        for e in (12, 200)
    ]
    path = real_data("nasbench201.csv.gz")
    table = benchmarks.convert("nasbench201", {"source": "table", "path": str(path), "accuracy": accuracy})
    assert len(table) == 4 * 15_625
    final = table[table["epochs"] == 200].groupby("dataset")[["valid_accuracy", "test_accuracy"]].max().round(4)
    assert final.loc["cifar10"].tolist() == [91.6067, 94.3733]
    assert final.loc["cifar100"].tolist() == [73.4933, 73.5133]
