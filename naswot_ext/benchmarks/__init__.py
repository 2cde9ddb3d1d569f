"""Ground truth, one file a source format: an official file, or the user's own table -> the ground-truth table.

The table has one row per architecture, data set and training length, and the columns of `COLUMNS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from naswot_ext.errors import NaswotError
from naswot_ext.registry import Registry
from naswot_ext.spaces import SPACES, SearchSpace

# Accuracies in percent, NaN where the source has none; epochs 0 where the source does not say; params -1 likewise.
# `version` says which file of a benchmark the row is from: versions of the same benchmark differ in accuracies.
COLUMNS: dict[str, str] = {
    "arch_index": "int32",
    "arch": "str",
    "dataset": "str",
    "epochs": "int32",
    "valid_accuracy": "float64",
    "test_accuracy": "float64",
    "train_seconds": "float64",
    "n_seeds": "int32",
    "params": "int64",
    "version": "str",
}

Read = Callable[[SearchSpace, Mapping[str, Any]], pd.DataFrame]


@dataclass(frozen=True)
class Source:
    """A source format.

    `rows` takes (space, options) and gives rows with the columns above, in any order. `architectures`, where a source
    has one, gives (arch_index, arch) of the same architectures without reading all that `rows` reads.
    """

    rows: Read
    architectures: Read | None = None


SOURCES: Registry[Source] = Registry("ground-truth source", __name__, dashes=True)


def source(name: str, architectures: Read | None = None) -> Callable[[Read], Read]:
    """Decorator: register a function as the source `name`."""

    def add(rows: Read) -> Read:
        SOURCES.register(name)(Source(rows, architectures))
        return rows

    return add


def architectures(space: str | SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    """The architectures that a source has ground truth of: `arch_index` int32 and `arch`, by index.

    Raises NaswotError as `convert` does.
    """
    found = SOURCES.get(options["source"])
    table = (found.architectures or found.rows)(_opened(space), options)
    columns = {name: COLUMNS[name] for name in ("arch_index", "arch")}
    listed = table[list(columns)].astype(columns).drop_duplicates("arch_index")
    return listed.sort_values("arch_index", ignore_index=True)


def convert(space: str | SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    """The ground-truth table of `space`, sorted by architecture, data set and epochs.

    `options` holds `source` (a file of this folder) and that source's own options.
    Raises NaswotError where a name is unknown or the source's data are not what they should be.
    """
    table = SOURCES.get(options["source"]).rows(_opened(space), options)
    table = table[list(COLUMNS)].astype(COLUMNS)
    for column in ("valid_accuracy", "test_accuracy"):
        outside = table[(table[column] < 0) | (table[column] > 100)]
        if len(outside):
            row = outside.iloc[0]
            raise NaswotError(
                f"{column} {row[column]} of {row['arch']} on {row['dataset']} is not a percentage: give accuracies "
                "of 0 to 100."
            )
        if table[column].max() <= 1:
            raise NaswotError(
                f"No {column} is above {table[column].max():g}: these look like fractions. Give accuracies in percent."
            )
    key = ["arch_index", "dataset", "epochs"]
    return table.sort_values(key, ignore_index=True)


def _opened(space: str | SearchSpace) -> SearchSpace:
    return SPACES.get(space) if isinstance(space, str) else space
