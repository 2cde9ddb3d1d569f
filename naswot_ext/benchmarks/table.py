"""Bring your own ground truth: a CSV (also .csv.gz) or Parquet table with one row per architecture.

Options: `path`; `arch`, the column with the architecture's string form (default "arch"); `accuracy`, a list of
{dataset, epochs, valid, test, train_seconds}, whose last three name columns and may be left out;
`params`, {column, unit}, and `n_seeds`, a column, both optional. Accuracies are in percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from naswot_ext.benchmarks import source
from naswot_ext.errors import NaswotError, unknown
from naswot_ext.spaces import SearchSpace

# A spreadsheet's first row of data stands in line 2, under the header.
_FIRST_LINE = 2


@source("table")
def table(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    """Read and check the user's table; every error names the file, the row and the column."""
    path = options["path"]
    rows = _read(path)
    architectures = _column(rows, options.get("arch", "arch"), path).astype(str)
    index = _indices(space, architectures, path)
    params = options.get("params")
    # What does not depend on the data set or the length of training.
    of_architecture = {
        "arch_index": index,
        "arch": [space.architecture(i) for i in index],
        "n_seeds": _whole(rows, options.get("n_seeds"), 1.0, 1, path),
        "params": _whole(rows, params and params["column"], params and params["unit"], -1, path),
    }
    parts = []
    for measured in options["accuracy"]:
        values = {field: _numbers(rows, measured.get(field), path) for field in ("valid", "test", "train_seconds")}
        for field in ("valid", "test"):
            _check_percent(rows, measured.get(field), values[field], path)
        parts.append(
            pd.DataFrame(
                {
                    **of_architecture,
                    "dataset": measured["dataset"],
                    "epochs": measured.get("epochs", 0),
                    "valid_accuracy": values["valid"],
                    "test_accuracy": values["test"],
                    "train_seconds": values["train_seconds"],
                    "version": Path(path).name,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _read(path: str) -> pd.DataFrame:
    if not Path(path).is_file():
        raise NaswotError(f"No such file: {path}. Correct the path of the ground-truth table.")
    try:
        if path.endswith((".parquet", ".pq")):
            return pd.read_parquet(path)
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
        # Blank lines are counted, so that errors name the line that an editor shows, and then left out.
        return rows[~(rows.isna() | (rows == "")).all(axis=1)]
    except (OSError, ValueError, EOFError, pa.ArrowException) as error:
        raise NaswotError(
            f"{path} is not a readable table ({error}). Give a CSV file (it may be .gz) or a Parquet file."
        ) from error


def _column(rows: pd.DataFrame, name: str, path: str) -> pd.Series:
    if name not in rows.columns:
        error = unknown("column", name, map(str, rows.columns))
        commas = " Is the file separated by commas?" if len(rows.columns) == 1 else ""
        raise NaswotError(f"{path}: {error} Correct the column's name in the config.{commas}")
    return rows[name]


def _indices(space: SearchSpace, architectures: pd.Series, path: str) -> list[int]:
    first_line: dict[int, int] = {}
    for position, architecture in architectures.items():
        line = int(str(position)) + _FIRST_LINE
        try:
            index = space.index(architecture)
        except NaswotError as error:
            raise NaswotError(f"{path}, line {line}: {error}") from None
        if index in first_line:
            raise NaswotError(
                f"{path}, line {line}: architecture {architecture} stands in line {first_line[index]} already. "
                "Keep one row for each architecture."
            )
        first_line[index] = line
    if not first_line:
        raise NaswotError(f"{path} has no rows.")
    return list(first_line)


def _numbers(rows: pd.DataFrame, name: str | None, path: str) -> npt.NDArray[np.float64] | float:
    """A column as floats; empty cells are NaN, anything else that is no finite number is an error."""
    if name is None:
        return float("nan")
    column = _column(rows, name, path)
    empty = column.isna() | (column.astype(str).str.strip().isin(["", "nan", "NaN", "NA"]))
    numbers = pd.to_numeric(column.where(~empty), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = ~empty.to_numpy() & ~np.isfinite(numbers)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise NaswotError(
            f"{path}, line {column.index[at] + _FIRST_LINE}, column {name!r}: {column.iloc[at]!r} is not a number. "
            "Correct it, or leave the cell empty if there is no value."
        )
    return numbers


def _check_percent(
    rows: pd.DataFrame, name: str | None, accuracies: npt.NDArray[np.float64] | float, path: str
) -> None:
    outside = np.flatnonzero((np.asarray(accuracies) < 0) | (np.asarray(accuracies) > 100))
    if name is not None and len(outside):
        line = rows.index[outside[0]] + _FIRST_LINE
        raise NaswotError(
            f"{path}, line {line}, column {name!r}: {rows[name].iloc[outside[0]]!r} is not a percentage. Give "
            "accuracies of 0 to 100."
        )


def _whole(
    rows: pd.DataFrame, name: str | None, unit: float | None, missing: int, path: str
) -> npt.NDArray[np.int64] | int:
    if name is None:
        return missing
    numbers = np.asarray(_numbers(rows, name, path)) * (unit or 1.0)
    return np.where(np.isnan(numbers), missing, np.rint(np.nan_to_num(numbers))).astype(np.int64)
