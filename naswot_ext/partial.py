"""The rows of a table that is being made: a line each in a file that a kill or a full disk cannot spoil."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

import pandas as pd

from naswot_ext.errors import NaswotError
from naswot_ext.files import write_errors
from naswot_ext.provenance import read_provenance

_BLOCK = 10_000


class Partial:
    """The file ``output + ".partial"``, open and locked. Rows stand in it alone, so memory does not grow with them.

    Attributes:
        rows: how many rows it holds.
    """

    def __init__(self, file: FileIO, output: Path, facts: Mapping[str, Any], together: int) -> None:
        """Keep the whole rows, in groups of `together`, of a file made with the same facts; cut off anything else."""
        self._file = file
        self._output = output
        self.rows = 0
        header = (json.dumps(facts, sort_keys=True) + "\n").encode()
        whole = end = rows = 0
        for line in self._lines():
            # A power loss may leave zeros where a row was.
            if not line.endswith(b"\n") or b"\0" in line or (end == 0 and line != header):
                break
            rows += end > 0
            end += len(line)
            if rows % together == 0:
                whole, self.rows = end, rows
        with write_errors(output):
            file.truncate(whole)
        if whole == 0:
            self._write(header)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows behind the others; raises NaswotError where the disk is full."""
        self._write("".join(json.dumps(row) + "\n" for row in rows).encode())
        self.rows += len(rows)

    def table(self, columns: Mapping[str, str]) -> pd.DataFrame:
        """All rows, in order, in columns of these types."""
        lines = itertools.islice(self._lines(), 1, None)
        blocks = [pd.DataFrame(columns=list(columns)).astype(dict(columns))]
        while block := [json.loads(line) for line in itertools.islice(lines, _BLOCK)]:
            blocks.append(pd.DataFrame(block, columns=list(columns)).astype(dict(columns)))
        return pd.concat(blocks[1:] or blocks, ignore_index=True)

    def _lines(self) -> Iterator[bytes]:
        self._file.seek(0)
        # A buffer, because the file itself would read byte by byte.
        with open(os.dup(self._file.fileno()), "rb") as buffered:
            yield from buffered

    def _write(self, text: bytes) -> None:
        with write_errors(self._output):
            while text:
                text = text[self._file.write(text) :]


@contextmanager
def partial_file(output: Path, facts: Mapping[str, Any], together: int = 1) -> Iterator[Partial | None]:
    """The partial file of `output`, which is removed after; None where another process has made `output` meanwhile.

    Rows are kept in groups of `together`, which a kill may have cut short.

    The lock is the operating system's: a killed process frees it, another one that is making `output` is waited for.
    """
    path = output.with_name(output.name + ".partial")
    with write_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        while True:
            # Unbuffered: a row is in the file or it is not, and closing has nothing left to write.
            file = open(path, "ab+", buffering=0)  # noqa: SIM115 (closed below)
            fcntl.flock(file, fcntl.LOCK_EX)
            # Between opening and locking, the holder before us may have finished and removed the file.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    break
            file.close()
    try:
        yield None if output.exists() and _made_by(output) == facts else Partial(file, output, facts, together)
        path.unlink()
    finally:
        file.close()


def _made_by(output: Path) -> dict[str, Any]:
    try:
        return read_provenance(output)
    except NaswotError:
        return {}
