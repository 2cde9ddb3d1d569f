"""Parquet tables that record how they were made, in their own metadata."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from naswot_ext import __version__
from naswot_ext.errors import NaswotError
from naswot_ext.files import atomic_path

_KEY = b"naswot"


def write_table(table: pd.DataFrame, path: str | os.PathLike[str], **made_by: Any) -> None:
    """Write `table` to a Parquet file at once or not at all, with `made_by` (JSON values) in its metadata.

    No time, host or path is added, so the same content gives the same bytes.
    """
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    facts = {"package_version": __version__, **made_by}
    metadata = {**(arrow.schema.metadata or {}), _KEY: json.dumps(facts, sort_keys=True).encode()}
    with atomic_path(path) as temporary:
        pq.write_table(arrow.replace_schema_metadata(metadata), temporary)


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The table in a Parquet file; raises NaswotError where it is missing or not a whole Parquet file."""
    return _open(path).read().to_pandas()


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """How the table at `path` was made; empty for a Parquet file that this project did not write."""
    return json.loads((_open(path).schema_arrow.metadata or {}).get(_KEY, b"{}"))


def _open(path: str | os.PathLike[str]) -> pq.ParquetFile:
    if not Path(path).is_file():
        raise NaswotError(f"No such file: {path}. Run the rule that makes it, or correct the path.")
    try:
        return pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise NaswotError(f"{path} is not a whole Parquet file ({error}). Delete it and make it again.") from error
