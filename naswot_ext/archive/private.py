"""Nothing private goes into an archive: absolute paths of this machine, and the names of its user and host.

Text files are written with other words in their place, Parquet files with other words in their metadata and texts.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# Pictures inside of an HTML page: letters that mean no words.
_DATA_URI = re.compile(r"(data:[\w/+.-]+;base64,[A-Za-z0-9+/=]+)")


@dataclass(frozen=True)
class Private:
    """What must not be written, and what stands in its place."""

    folders: dict[str, str]  # absolute folder or file: what is written for it
    names: dict[str, str]  # user, host: what is written for them

    def without(self, text: str, names: bool = True) -> str:
        """`text` without private paths and, where `names`, without private names."""
        parts = _DATA_URI.split(text)
        parts[::2] = [self._clean(part, names) for part in parts[::2]]
        return "".join(parts)

    def is_in(self, text: str) -> bool:
        """Whether a private path or name is in `text`."""
        return self.without(text) != text

    def _clean(self, text: str, names: bool) -> str:
        # The longest first: one may begin with another.
        for folder in sorted(self.folders, key=len, reverse=True):
            if folder in text:
                text = _replaced(text, rf"(?<![\w.~-]){re.escape(folder)}(?![\w-])", self.folders[folder])
        for name in self.names if names else ():
            text = _replaced(text, rf"(?<![\w-]){re.escape(name)}(?![\w-])", self.names[name])
        return text

    def copy(self, source: Path, target: Path, names: bool = True) -> bool:
        """Copy a file, without what is private; whether something was."""
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(0o755 if os.access(source, os.X_OK) else 0o644)
        if source.suffix == ".parquet":
            return self._copy_parquet(source, target)
        content = source.read_bytes()
        # Not read as text with universal newlines: what is not private stays byte for byte.
        with suppress(UnicodeDecodeError):
            text = content.decode()
            if "\0" not in text and (clean := self.without(text, names)) != text:
                target.write_bytes(clean.encode())
                return True
        shutil.copyfile(source, target)
        return False

    def _copy_parquet(self, source: Path, target: Path) -> bool:
        table = pq.read_table(source)
        metadata = {key: self.without(value.decode()).encode() for key, value in (table.schema.metadata or {}).items()}
        clean = table
        for i, column in enumerate(table.schema):
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                texts = table.column(i).to_pylist()
                # Whole columns at once: nearly none has any.
                if not self.is_in("\n".join(filter(None, texts))):
                    continue
                written = [None if text is None else self.without(text) for text in texts]
                if written != texts:
                    clean = clean.set_column(i, column, pa.array(written, column.type))
        if clean is table and metadata == (table.schema.metadata or {}):
            shutil.copyfile(source, target)
            return False
        pq.write_table(clean.replace_schema_metadata(metadata), target)
        return True


def _replaced(text: str, pattern: str, instead: str) -> str:
    # A function, because what it gives is taken as it is.
    return re.sub(pattern, lambda _: instead, text)


def private(code: Path, results: Path, elsewhere: Iterable[str], words: str) -> Private:
    """What is private on this machine.

    Args:
        code: the repository, written as `code/source`.
        results: the results, written as `results`.
        elsewhere: absolute paths of files of the user's own, of which the last name is kept.
        words: text of the code. A user or host that is called by one of its words ("root", "main") is not given away
            by that word, and replacing it would spoil texts.
    """
    home = os.path.expanduser("~")
    folders = {home: "home", sys.prefix: "python", sys.base_prefix: "python", os.getcwd(): "workdir"}
    folders |= {path: f"elsewhere/{Path(path).name}" for path in elsewhere}
    folders |= {str(code): "code/source", str(results.resolve()): "results"}
    folders |= {os.path.realpath(path): instead for path, instead in folders.items()}
    names = {socket.gethostname(): "host", socket.gethostname().partition(".")[0]: "host", _user(): "user"}
    return Private(
        {path: instead for path, instead in folders.items() if path.strip("/")},
        {name: instead for name, instead in names.items() if name and not _is_word(name, words)},
    )


def _user() -> str:
    with suppress(Exception):  # a container's user may have no name
        return getpass.getuser()
    return ""


def _is_word(name: str, words: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", words) is not None
