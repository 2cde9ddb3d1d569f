"""NAS-Bench-201 from its own file, ``NAS-Bench-201-v1_1-096897.pth`` or the older ``-v1_0-e61699`` (ICLR 2020).

Options: `path`, the file, or a folder that holds this one; `version`, "v1_1" (default) or "v1_0", which must be the one
in the file's name. The versions differ: v1_1 trained some architectures more often, and v1_0 has of 12 epochs only the
networks of one half of CIFAR-10, so that its rows of 12 epochs have no test accuracy.

The official package nas-bench-201 interprets each architecture's results (`_nats`). Its `NASBench201API` is not used:
`torch.load` refuses the file today, or, told to trust it, runs what it says and needs more memory than most machines
have. Both formats of `torch.save` are read here: one pickle after another, and the zip of torch 1.6 and later.
"""

from __future__ import annotations

import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
from nas_201_api.api_utils import ArchResults

from naswot_ext import pickles
from naswot_ext.benchmarks import _nats, _pickle_stream, source
from naswot_ext.errors import NaswotError, one_line
from naswot_ext.files import refuse_stand_in
from naswot_ext.spaces import SearchSpace

# The official names of the trainings and their epochs.
_EPOCHS = {"less": 12, "full": 200}
_KEYS = ("meta_archs", "arch2infos", "evaluated_indexes")
# What the old format of torch.save begins with.
_MAGIC = 0x1950A86A20F9469CFC6C
# What a broken zip can raise: where bytes are missing, its directory leads to any place.
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)


_ADMITTED = {
    **_nats.ADMITTED,
    **pickles.ENCODE,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
}


def _architectures(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    return _nats.listing(space, _read(space, _file(options), options, lambda index, record: None))


@source("nasbench201", architectures=_architectures)
def nasbench201(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    """The ground truth of nasbench201; raises NaswotError for another space or version, and for a broken file."""
    path = _file(options)
    version = Path(path).name.removesuffix(".pth")
    found: list[tuple[Any, ...]] = []

    def use(index: int, record: dict[Any, Any]) -> None:
        states = {epochs: record[name] for name, epochs in _EPOCHS.items()}
        where = f"{path}, architecture {index}"
        found.extend(_nats.rows(space, index, states, ArchResults.create_from_state_dict, version, where))

    _read(space, path, options, use)
    return _nats.table(found)


def _file(options: Mapping[str, Any]) -> str:
    """The path of the file, which may be given as the folder that holds it."""
    path = Path(options["path"])
    if not path.is_dir():
        return str(path)
    found = sorted(path.glob("NAS-Bench-201-*.pth"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise NaswotError(
            f"{path} is a folder, which should hold one file NAS-Bench-201-*.pth; it has: {names}. Name the file."
        )
    return str(found[0])


def _read(
    space: SearchSpace, path: str, options: Mapping[str, Any], use: Callable[[int, dict[Any, Any]], None]
) -> set[int]:
    """Give each architecture's index and results to `use` in turn; the indices are returned."""
    _nats.check_space(space, "nasbench201", "nasbench201")
    _check_version(path, options.get("version", "v1_1"))
    refuse_stand_in(path)
    seen: set[int] = set()
    progress = _nats.Progress(Path(path).name, len(space))

    def use_new(index: Any, record: dict[Any, Any]) -> None:
        if type(index) is not int or not 0 <= index < len(space) or index in seen:
            raise NaswotError(
                f"{path}, architecture {index!r} is no index of {space.name}, or there twice. Fetch the file again."
            )
        use(index, record)
        seen.add(index)
        progress(len(seen))

    with _opened(path) as file:
        content = _pickle_stream.read(file, path, _ADMITTED, lambda record: _EPOCHS.keys() <= record.keys(), use_new)
    _check_content(space, content, seen, path)
    _nats.check_complete(space, len(seen), path)
    return seen


def _check_version(path: str, version: str) -> None:
    named = re.search(r"v1_\d", Path(path).name)
    if named and named[0] != version:
        raise NaswotError(
            f"{path} is version {named[0]} of NAS-Bench-201 and version {version} is asked for. Give the other file, "
            f"or set version: {named[0]}."
        )


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """The file at the beginning of the pickle of its content; on leaving, what follows it is checked."""
    with open(path, "rb") as file:
        if file.read(4) == b"PK\x03\x04":
            with _zipped(path) as pickled:
                yield pickled
            return
        file.seek(0)
        if _header(file, path) != _MAGIC:
            raise NaswotError(f"{path} is not a file of torch.save. Fetch it again.")
        for _ in ("the format's version", "facts about the machine"):
            pickles.load(file, path, _ADMITTED)
        yield file
        # The keys of what the tensors are stored in.
        if pickles.load(file, path, _ADMITTED) != []:
            raise NaswotError(f"{path} holds tensors, which its format has not. Give the official file.")


def _header(file: BinaryIO, path: str) -> Any:
    # Of another file, all of it could be taken for one text or number.
    start = file.read(4096)
    header = io.BytesIO(start)
    value = pickles.load(header, path, {})
    file.seek(header.tell())
    return value


@contextmanager
def _zipped(path: str) -> Iterator[BinaryIO]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
            if len(names) != 1:
                raise NaswotError(f"{path} is not a file of torch.save: it has {len(names)} data.pkl. Fetch it again.")
            with archive.open(names[0]) as pickled:
                yield pickled  # type: ignore[misc]
                # To the end, where its checksum is compared.
                pickled.read()
    except _BROKEN_ZIP as error:
        raise NaswotError(f"{path} is broken ({one_line(error)}). Fetch it again.") from error


def _check_content(space: SearchSpace, content: Any, seen: set[int], path: str) -> None:
    """Raise NaswotError where the file does not hold what a NAS-Bench-201 file does."""
    if not isinstance(content, dict):
        raise NaswotError(f"{path} holds a {type(content).__name__}, not the dict of NAS-Bench-201. Fetch it again.")
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise NaswotError(
            f"{path} has no {', '.join(missing)}, as a NAS-Bench-201 file has. Is it another benchmark's?"
        )
    _nats.check_order(space, content["meta_archs"], path)
    infos = content["arch2infos"]
    if not isinstance(infos, dict):
        raise NaswotError(f"{path} has a {type(infos).__name__} as arch2infos, not a dict. Fetch it again.")
    for index in infos:
        if index not in seen:
            raise NaswotError(
                f"{path}, architecture {index!r} is broken: it has not both {' and '.join(_EPOCHS)} results. Fetch the "
                "file again."
            )
