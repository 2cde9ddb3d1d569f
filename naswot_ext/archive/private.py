"""Nothing private goes into an archive: absolute paths of this machine, and the names of its user and host.

Text files are written with other words in their place, Parquet files with other words in their metadata and texts.
"""

from __future__ import annotations

import base64
import binascii
import getpass
import html
import json
import os
import re
import shutil
import socket
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# What stands inside of a page, behind `data:text/html;charset=utf8;filename=x.html;base64,` and the like: a file, whose
# letters mean no words here.
_EMBEDDED = re.compile(r"((?<=;base64,)[A-Za-z0-9+/]+=*)")
# Where any system has its programs, perhaps this Python.
_SYSTEM = {"/usr", "/usr/local"}
# Folders that every machine has, of which code may speak.
_EVERYWHERE = _SYSTEM | {"/data", "/home", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var"}


@dataclass(frozen=True)
class Private:
    """What must not be written, and what stands in its place."""

    folders: dict[str, str]  # absolute folder or file: what is written for it
    names: dict[str, str]  # user, host: what is written for them

    def without(self, text: str) -> str:
        """`text` without private paths and names; a page keeps names where it has scripts, whose own they may be."""
        names = "<script" not in text or not text.lstrip().startswith("<")
        parts = _EMBEDDED.split(text)
        parts[::2] = [self._clean(part, names) for part in parts[::2]]
        parts[1::2] = [self._clean_embedded(part) for part in parts[1::2]]
        return "".join(parts)

    def of_code(self) -> Private:
        """What is private in code, which may speak of folders that every machine has."""
        return Private({path: instead for path, instead in self.folders.items() if path not in _EVERYWHERE}, self.names)

    def _clean_embedded(self, encoded: str) -> str:
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return encoded  # a picture, or no file at all
        clean = self.without(text)
        return encoded if clean == text else base64.b64encode(clean.encode()).decode()

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

    def copy(self, source: Path, target: Path) -> bool:
        """Copy a file, without what is private; whether something was."""
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(0o755 if os.access(source, os.X_OK) else 0o644)
        if source.suffix == ".parquet":
            return self._copy_parquet(source, target)
        content = source.read_bytes()
        clean = content if b"\0" in content else self.without_bytes(content)
        target.write_bytes(clean)
        return clean != content

    def without_bytes(self, content: bytes) -> bytes:
        """`without`, of a text in whatever encoding continues ASCII; what is not private stays byte for byte."""
        return self.without(content.decode(errors="surrogateescape")).encode(errors="surrogateescape")

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
    # Of a Python of the system, its own folders: others are below the same prefix.
    python = {sys.prefix, sys.exec_prefix, sys.base_prefix, sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")}
    folders = {home: "home", **dict.fromkeys(python, "python"), os.getcwd(): "workdir"}
    folders |= {path: f"elsewhere/{Path(path).name}" for path in elsewhere}
    folders |= {str(code): "code/source", str(results.resolve()): "results"}
    folders |= {os.path.realpath(path): instead for path, instead in folders.items()}
    # As JSON and HTML write them.
    for write in (lambda path: json.dumps(path)[1:-1], html.escape):
        folders |= {write(path): instead for path, instead in folders.items()}
    names = {socket.gethostname(): "host", socket.gethostname().partition(".")[0]: "host", _user(): "user"}
    return Private(
        {path: instead for path, instead in folders.items() if path.strip("/") and path not in _SYSTEM},
        {name: instead for name, instead in names.items() if name and not _is_word(name, words)},
    )


def _user() -> str:
    with suppress(Exception):  # a container's user may have no name
        return getpass.getuser()
    return ""


def _is_word(name: str, words: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", words) is not None
