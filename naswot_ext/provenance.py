"""Parquet tables that record how they were made, in their own metadata."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from naswot_ext import __version__
from naswot_ext.errors import NaswotError
from naswot_ext.files import atomic_path
from naswot_ext.fingerprint import build_fingerprint

_KEY = b"naswot"


def write_table(table: pd.DataFrame, path: str | os.PathLike[str], **made_by: Any) -> None:
    """Write `table` to a Parquet file at once or not at all, with `made_by` (JSON values) in its metadata.

    The versions of `software` are added, but no time, host or path, so the same content gives the same bytes.
    """
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    facts = {**software(), **made_by}
    metadata = {**(arrow.schema.metadata or {}), _KEY: json.dumps(facts, sort_keys=True).encode()}
    with atomic_path(path) as temporary:
        pq.write_table(arrow.replace_schema_metadata(metadata), temporary)


def software() -> dict[str, str]:
    """The versions that numbers may depend on, read without importing torch."""
    torch = importlib.metadata.version("torch")
    return {"package_version": __version__, "build_fingerprint": build_fingerprint(), "torch": torch}


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The table in a Parquet file; raises NaswotError where it is missing or not a whole Parquet file."""
    with _whole(path):
        return _open(path).read().to_pandas()


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """How the table at `path` was made; empty for a Parquet file that this project did not write."""
    with _whole(path):
        return json.loads((_open(path).schema_arrow.metadata or {}).get(_KEY, b"{}"))


def _open(path: str | os.PathLike[str]) -> pq.ParquetFile:
    if not Path(path).is_file():
        raise NaswotError(f"No such file: {path}. Run the rule that makes it, or correct the path.")
    return pq.ParquetFile(path)


@contextmanager
def _whole(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise NaswotError(f"{path} is not a whole Parquet file ({error}). Delete it and make it again.") from error
