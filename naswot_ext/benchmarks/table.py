"""Bring your own ground truth: a CSV (also .csv.gz) or Parquet table with one row per architecture.

Options: `path`; `arch`, the column with the architecture in a form that the space reads (default "arch"), or
{key: column} for one whose parts, such as `adjacency` and `operations`, stand in columns of their own; `accuracy`, a
list of {dataset, epochs, valid, test, train_seconds}, whose last three name columns and may be left out (a list of
columns for `valid` or `test`, one a training, is their mean; {column: factor, ...} for `train_seconds` is their sum);
`params`, {column, unit}, and `n_seeds`, a column, both optional. Accuracies are in percent.

Of a space that has no order of its own (NAS-Bench-101, NDS), the table's rows are the architectures, in their order;
isomorphic cells that are written differently are rows like all others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from naswot_ext.benchmarks import source
from naswot_ext.errors import NaswotError, unknown
from naswot_ext.spaces import ListedSpace, SearchSpace

# A spreadsheet's first row of data stands in line 2, under the header.
_FIRST_LINE = 2


def architectures(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    """The architectures of the user's table, without their accuracies."""
    return pd.DataFrame(_architectures(space, _read(options["path"]), options))


@source("table", architectures)
def table(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    """Read and check the user's table; every error names the file, the row and the column."""
    path = options["path"]
    rows = _read(path)
    params = options.get("params")
    # What does not depend on the data set or the length of training.
    of_architecture = {
        **_architectures(space, rows, options),
        "n_seeds": _whole(rows, options.get("n_seeds"), 1.0, 1, path),
        "params": _whole(rows, params and params["column"], params and params["unit"], -1, path),
    }
    parts = []
    for measured in options["accuracy"]:
        values = {field: _mean_percent(rows, measured.get(field), path) for field in ("valid", "test")}
        seconds = _seconds(rows, measured.get("train_seconds"), path)
        parts.append(
            pd.DataFrame(
                {
                    **of_architecture,
                    "dataset": measured["dataset"],
                    "epochs": measured.get("epochs", 0),
                    "valid_accuracy": values["valid"],
                    "test_accuracy": values["test"],
                    "train_seconds": seconds,
                    "version": Path(path).name,
                    # Columns of several trainings tell their number.
                    **({"n_seeds": _trainings(measured)} if "n_seeds" not in options else {}),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _read(path: str) -> pd.DataFrame:
    if not Path(path).is_file():
        raise NaswotError(f"No such file: {path}. Correct the path of the ground-truth table.")
    try:
        if path.endswith((".parquet", ".pq")):
            return pd.read_parquet(path).reset_index(drop=True)
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


def _architectures(space: SearchSpace, rows: pd.DataFrame, options: Mapping[str, Any]) -> dict[str, list[Any]]:
    """{"arch_index": ..., "arch": canonical string forms}, a row each."""
    path, named = options["path"], options.get("arch", "arch")
    if isinstance(named, str):
        texts = _column(rows, named, path).astype(str)
    else:
        columns = {key: _column(rows, column, path).map(_value) for key, column in named.items()}
        texts = pd.DataFrame(columns).apply(lambda row: json.dumps(dict(row), default=_plain), axis=1)
    first_line: dict[str, int] = {}
    for position, text in texts.items():
        line = int(str(position)) + _FIRST_LINE
        try:
            architecture = space.canonical(text)
        except NaswotError as error:
            raise NaswotError(f"{path}, line {line}: {error}") from None
        if architecture in first_line:
            raise NaswotError(
                f"{path}, line {line}: architecture {text} stands in line {first_line[architecture]} already. "
                "Keep one row for each architecture."
            )
        first_line[architecture] = line
    if not first_line:
        raise NaswotError(f"{path} has no rows.")
    found = list(first_line)
    indices = range(len(found)) if isinstance(space, ListedSpace) else map(space.index, found)
    return {"arch_index": list(indices), "arch": found}


def _trainings(measured: Mapping[str, Any]) -> int:
    """How many trainings the columns of an accuracy are of."""
    named = [measured.get(split) for split in ("valid", "test")]
    return max(len(columns) if isinstance(columns, list) else 1 for columns in named)


def _plain(value: Any) -> Any:
    """Parquet's lists and numbers are numpy's."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"no architecture holds a {type(value).__name__}")


def _value(cell: Any) -> Any:
    """What a cell of a part of an architecture holds: JSON, or else its text."""
    try:
        return json.loads(cell)
    except (TypeError, ValueError):
        return cell


def _mean_percent(rows: pd.DataFrame, names: str | list[str] | None, path: str) -> npt.NDArray[np.float64] | float:
    """The accuracies of a column, or the mean over the trainings that several columns hold (empty cells left out)."""
    if names is None:
        return float("nan")
    columns = [names] if isinstance(names, str) else names
    trainings = []
    for name in columns:
        accuracies = np.asarray(_numbers(rows, name, path))
        _check_percent(rows, name, accuracies, path)
        trainings.append(accuracies)
    return pd.DataFrame(trainings).mean(axis=0).to_numpy()


def _seconds(
    rows: pd.DataFrame, columns: str | Mapping[str, float] | None, path: str
) -> npt.NDArray[np.float64] | float:
    """What a training costs: a column, or the sum of several, each times its factor."""
    if not isinstance(columns, Mapping):
        return _numbers(rows, columns, path)
    return sum((factor * np.asarray(_numbers(rows, name, path)) for name, factor in columns.items()), np.zeros(1))


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


def _check_percent(rows: pd.DataFrame, name: str, accuracies: npt.NDArray[np.float64], path: str) -> None:
    outside = np.flatnonzero((accuracies < 0) | (accuracies > 100))
    if len(outside):
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
