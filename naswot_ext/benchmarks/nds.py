"""The trained networks of Network Design Spaces (Radosavovic et al., ICCV 2019).

Options: `path`, the download data.zip, the folder that it unpacks to, or one JSON file of it. A file is a list of
entries, or {"top": [...], "mid": [...]}, which is the one list after the other; an architecture's index is its
position. A row has:

- `test_accuracy`: 100 less the last of the entry's test errors, as in the papers' code; NaN where that is no finite
  number, as of a training that diverged;
- `epochs`: for all rows the number of test errors of the entry that has most, so that one length of training holds
  every row, also of a training that was cut short;
- `params`: what the entry records. Validation accuracies and training times are not in the files.

Before anything else is made of a file, each entry's `params` is held to the number of parameters of its network as
built here. What the files leave open may be answered either way, but the same for all entries of a file: whether the
auxiliary head counts (cells), or which stem came first (ResNet, ResNeXt, Vanilla: the first stage as the stem, or a 3x3
or 7x7 stem of 12, 16, 32 or 64 channels; only that of the network option where `stem` is `trained`). The classifier is
that of the data set. Then the numbers must be equal; where one is not, the file is refused.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pandas as pd

from naswot_ext.benchmarks import source
from naswot_ext.errors import NaswotError, one_line, shown
from naswot_ext.files import refuse_stand_in
from naswot_ext.spaces import SearchSpace
from naswot_ext.spaces.nds import NetworkDesignSpace

# What is kept of an entry; the rest, mostly curves of the training, goes while the file is read.
_FIELDS = ("net", "params", "test_ep_top1")
# Bounds that are far above all that NDS has: of the bytes that an archive's file unpacks to (its largest has some
# hundreds of millions), and of the parameters of a network.
_MOST_BYTES = 4 << 30
_MOST_PARAMS = 10**12
_CHUNK = 1 << 20


# What zipfile raises for archives that lack bytes or have others: wrong offsets are OSError and ValueError; an unknown
# compression and a password are the last two.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    struct.error,
    NotImplementedError,
    RuntimeError,
)


class _Curve(NamedTuple):
    """What is kept of a curve."""

    length: int
    last: Any


@source("nds")
def nds(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    """The ground truth of an NDS space; every error names the file and, where there is one, the entry."""
    if not isinstance(space, NetworkDesignSpace):
        raise NaswotError(f"The NDS files hold ground truth of the spaces nds-*, not of {space.name}.")
    path = Path(options["path"])
    if path.is_dir():
        path = _in_folder(path, space.file)
    refuse_stand_in(path)
    is_archive = zipfile.is_zipfile(path) or path.suffix == ".zip"
    where = f"{path}:{space.file}" if is_archive else str(path)
    entries = _entries(_member(path, space.file) if is_archive else path.read_bytes(), where)
    architectures, errors, params = [], [], []
    for index, entry in enumerate(entries):
        try:
            curve = _curve(entry)
            params.append(_params(entry))
            architectures.append(space.canonical_net(entry["net"]))
        except NaswotError as error:
            raise NaswotError(f"{where}, entry {index} (the first is 0): {error}") from None
        errors.append(curve)
    check_parameters(space, architectures, params, where)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return pd.DataFrame(
        {
            "arch_index": range(len(entries)),
            "arch": architectures,
            "dataset": "imagenet" if space.imagenet else "cifar10",
            "epochs": max(curve.length for curve in errors),
            "valid_accuracy": float("nan"),
            "test_accuracy": [100.0 - curve.last for curve in errors],
            "train_seconds": float("nan"),
            "n_seeds": 1,
            "params": params,
            "version": f"NDS {path.name} (sha256 {digest[:12]})",
        }
    )


def check_parameters(
    space: NetworkDesignSpace, architectures: Sequence[str], params: Sequence[int], where: str
) -> None:
    """Raise NaswotError unless one rule gives each architecture's network as trained exactly its number of `params`."""
    rules = list(space.parameter_rules())
    for index, (architecture, recorded) in enumerate(zip(architectures, params, strict=True)):
        counted = {rule: space.trained_parameters(architecture, rule) for rule in rules}
        agreeing = [rule for rule in rules if counted[rule] == recorded]
        if not agreeing:
            known = {rule: number for rule, number in counted.items() if number is not None}
            rule, number = min(known.items(), key=lambda item: abs(item[1] - recorded))
            before = f" The {index} entries before it agree." if index else ""
            raise NaswotError(
                f"{where}, entry {index} (the first is 0): it records {recorded:,} parameters, but its network as "
                f"built here has {number:,} {rule}, {number - recorded:+,}.{before} Scores would be of other networks "
                f"than those that were trained, so none is made. Check that this is the file of {space.name}, and "
                "fetch it again."
            )
        rules = agreeing


def _in_folder(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if not found:
        raise NaswotError(f"{folder} holds no {name}. Give the folder that data.zip was unpacked to, or the file.")
    return _only(found, folder, name)


def _member(path: Path, name: str) -> bytes:
    """The content of the file `name` in an archive, in whichever folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = [member for member in archive.namelist() if PurePosixPath(member).name == name]
            if not found:
                raise NaswotError(f"{path} holds no {name}. Give NDS's data.zip, or the file itself.")
            return _unpacked(archive, _only(found, path, name))
    except _BROKEN as error:
        raise NaswotError(f"{path} is not a whole zip archive ({one_line(error)}). Fetch it again.") from error


def _unpacked(archive: zipfile.ZipFile, member: str) -> bytes:
    """The content of a member, which is never more than it says and than `_MOST_BYTES`."""
    size = archive.getinfo(member).file_size
    if size > _MOST_BYTES:
        raise NaswotError(
            f"{archive.filename}:{one_line(member)} would unpack to {size:,} bytes, and no file of NDS has more than "
            f"{_MOST_BYTES:,}: this is not NDS's data.zip. Fetch it again."
        )
    content = bytearray()
    with archive.open(member) as file:
        # At once, a member that says less than it holds would be unpacked as a whole before it is cut.
        while chunk := file.read(_CHUNK):
            content += chunk
    return bytes(content)


def _only(found: Sequence[Any], where: Path, name: str) -> Any:
    if len(found) > 1:
        raise NaswotError(
            f"{where} holds several {name}: {one_line(found[0])}, {one_line(found[1])}. Give the right one itself."
        )
    return found[0]


def _entries(content: bytes, where: str) -> list[Any]:
    try:
        data = json.loads(content, object_hook=_trimmed)
    except (ValueError, RecursionError) as error:
        raise NaswotError(f"{where} is no whole JSON file ({error}). Fetch it again.") from error
    if isinstance(data, dict) and isinstance(data.get("top"), list) and isinstance(data.get("mid"), list):
        data = data["top"] + data["mid"]
    if not isinstance(data, list):
        raise NaswotError(f'{where} is neither a list of entries nor {{"top": [...], "mid": [...]}}: no file of NDS.')
    if not data:
        raise NaswotError(f"{where} has no entries.")
    return data


def _trimmed(fields: dict[str, Any]) -> dict[str, Any]:
    """An entry without what nothing reads; any other object as it is."""
    if "net" not in fields:
        return fields
    kept = {name: fields[name] for name in _FIELDS if name in fields}
    errors = kept.get("test_ep_top1")
    if isinstance(errors, list) and errors:
        kept["test_ep_top1"] = _Curve(len(errors), errors[-1])
    return kept


def _curve(entry: Any) -> _Curve:
    if not isinstance(entry, dict):
        raise NaswotError(f"it is {shown(entry, 80)}; it must be an object with fields.")
    for name in _FIELDS:
        if name not in entry:
            raise NaswotError(f"it has no field {name!r}. Fetch the file again.")
    curve = entry["test_ep_top1"]
    if not isinstance(curve, _Curve):
        raise NaswotError("test_ep_top1 must be a list of at least one number.")
    if curve.last is None:
        return curve._replace(last=math.nan)
    if isinstance(curve.last, float) and not math.isfinite(curve.last):
        return curve._replace(last=math.nan)
    if isinstance(curve.last, bool) or not isinstance(curve.last, (int, float)) or not 0 <= curve.last <= 100:
        raise NaswotError(f"the last of test_ep_top1 is {shown(curve.last, 80)}; it must be a number from 0 to 100.")
    return curve


def _params(entry: Mapping[str, Any]) -> int:
    params = entry["params"]
    is_number = isinstance(params, (int, float)) and not isinstance(params, bool)
    if not is_number or not 1 <= params <= _MOST_PARAMS or params % 1:
        raise NaswotError(f"params is {shown(params, 80)}; it must be a whole number from 1 to {_MOST_PARAMS:,}.")
    return int(params)
