"""The official files: fetched once, held to their digests, and never used half.

Which files there are, where, and which bytes they must be is said in ``workflow/resources/sources.yaml``. In the folder
of a download stand its files; beside them, ``FILE.sha256`` where no digest was known before the first use, and in
``.fetch`` the parts of files that are being fetched and a second name of each file, from which it is there again at
once when the first is removed (Snakemake does that with the outputs of a job before it runs).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from naswot_ext.errors import NaswotError, unknown
from naswot_ext.files import atomic_path, refuse_stand_in, write_errors

if TYPE_CHECKING:
    from naswot_ext._transfer import Patience

_ALGORITHMS = {"md5": "MD5", "sha256": "SHA-256"}


def files_of(name: str, sources_file: str | os.PathLike[str]) -> list[str]:
    """The names of the files of a download; raises NaswotError with the nearest name where there is no such one."""
    return [file["name"] for file in _download(name, sources_file)["files"]]


def identity(name: str, file: str, sources_file: str | os.PathLike[str]) -> Any:
    """What says which bytes a file is: its digest, or its sources where none is known.

    A new mirror or a better description is no reason to fetch again what is there.
    """
    entry = _file(name, file, sources_file)
    return entry.get("checksum") or entry["sources"]


def fetch(
    name: str,
    file: str,
    folder: str | os.PathLike[str],
    sources_file: str | os.PathLike[str],
    patience: Patience | None = None,
) -> Path:
    """The path of a file of a download, ``folder/name/file``, fetched from the first source that works.

    What is there already with the right digest is used as it is. Several processes may ask for the same file: one
    fetches it. Killed at any moment, the next call goes on. Where no digest is known, the SHA-256 is recorded at the
    first use in ``FILE.sha256`` and enforced from then on.

    Raises NaswotError that lists why each source failed and what a human can do, and where the disk is full.
    """
    download, entry = _download(name, sources_file), _file(name, file, sources_file)
    target = Path(folder, name, file)
    kept = target.parent / ".fetch" / file
    with write_errors(target):
        kept.parent.mkdir(parents=True, exist_ok=True)
    with _alone(kept.with_name(f"{file}.lock"), file):
        if not _there(target, kept, entry):
            _fetch_anew(download, entry, target, kept, patience)
            _give_name(kept, target)
    return target


def check(path: str | os.PathLike[str], name: str, file: str, sources_file: str | os.PathLike[str]) -> None:
    """Hold a file of the user's own to the digest of the file of a download that it stands for.

    In a folder, it is the file of that name; a folder without it holds the download unpacked, and no digest is known of
    that. A digest in ``FILE.sha256`` beside it counts where sources.yaml has none.

    Raises NaswotError where there is nothing, an HTML page or a Git LFS pointer, or where the digest differs.
    """
    entry = _file(name, file, sources_file)
    path = Path(path)
    if path.is_dir():
        path /= file
        if not path.exists():
            return
    elif path.name != file and len(files_of(name, sources_file)) > 1:
        raise NaswotError(f"{path} is one file, but {name} consists of several. Name the folder that holds them.")
    if reason := _difference(path, entry):
        raise NaswotError(f"{path} is not the {file} of {name}: {reason}. {_remedy(path, entry)}")


def _download(name: str, sources_file: str | os.PathLike[str]) -> dict[str, Any]:
    downloads: dict[str, dict[str, Any]] = yaml.safe_load(Path(sources_file).read_text())
    if name not in downloads:
        raise unknown("download", name, downloads)
    return downloads[name]


def _file(name: str, file: str, sources_file: str | os.PathLike[str]) -> dict[str, Any]:
    files = {entry["name"]: entry for entry in _download(name, sources_file)["files"]}
    if file not in files:
        raise unknown(f"file of {name}", file, files)
    return files[file]


@contextmanager
def _alone(lock: Path, file: str) -> Iterator[None]:
    with write_errors(lock):
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{file}: another process is fetching it, waiting", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            pass  # no such locks on this file system; the digest is checked all the same
        yield
    finally:
        os.close(handle)


def _there(target: Path, kept: Path, entry: Mapping[str, Any]) -> bool:
    """Whether the file is there, under both of its names; what stands there and is not the file is out of the way."""
    if target.is_file():
        reason = _difference(target, entry)
        if reason is None:
            _record(target, target, entry)
            _give_name(target, kept)
            return True
        if "checksum" not in entry:
            raise NaswotError(f"{target} is not what it was: {reason}. {_remedy(target, entry)}")
        print(f"{target}: {reason}; fetching it anew", file=sys.stderr, flush=True)
    same = target.is_file() and kept.is_file() and kept.samefile(target)
    if kept.is_file() and not same and _difference(kept, entry, beside=target) is None:
        _record(kept, target, entry)
        _give_name(kept, target)
        return True
    kept.unlink(missing_ok=True)
    return False


def _fetch_anew(
    download: Mapping[str, Any], entry: Mapping[str, Any], target: Path, kept: Path, patience: Patience | None
) -> None:
    """Put the file at `kept`; raises NaswotError where no source gives it."""
    from naswot_ext._transfer import Patience, Unavailable, Wanted, transfer

    known = _known(entry, target) is not None
    wanted = Wanted(entry["name"], entry.get("bytes"), known)
    failures = []
    for source in entry["sources"]:
        (kind, place), *_ = source.items()
        part = kept.with_name(f"{kept.name}.{hashlib.sha256(place.encode()).hexdigest()[:8]}.part")
        for resumed in (_like(part, "*"), []):
            try:
                transfer(source, wanted, part, patience or Patience())
                reason = _difference(part, entry, beside=target)
            except Unavailable as error:
                reason = str(error)
                break
            if reason is None:
                _record(part, target, entry)
                with write_errors(kept):
                    _sync(part)
                    part.replace(kept)
                _remove(_like(kept, ".????????.part*"))
                return
            _remove(_like(part, "*"))
            if not resumed:
                break
            # A crash of the machine may have spoilt what was there.
            print(f"{kept.name}: {reason}; fetching all of it again", file=sys.stderr, flush=True)
        failures.append(f"\n  {kind.replace('_', ' ')} {place}: {reason}")
    raise NaswotError(
        f"{entry['name']} of {download['title']!r} could not be fetched:{''.join(failures)}\n"
        f"{download['instructions']} Put it anywhere and name it under `local` in the config, or put it at {target}. "
        "What was fetched so far is kept: the same command goes on. The tables and figures of the papers are made "
        "without it by `--config offline=true`."
    )


def _known(entry: Mapping[str, Any], path: Path) -> tuple[str, str] | None:
    """(algorithm, hexadecimal digest) of a file: the official one, or that of its first use."""
    if "checksum" in entry:
        algorithm, _, digest = entry["checksum"].partition(":")
        return algorithm, digest
    record = _record_of(path)
    return ("sha256", record.read_text().split()[0]) if record.is_file() else None


def _difference(path: Path, entry: Mapping[str, Any], beside: Path | None = None) -> str | None:
    """Why the file at `path` is not the right one, or None; `beside` is the path that a record stands beside."""
    try:
        refuse_stand_in(path)
    except NaswotError as error:
        return str(error).rstrip(".")
    size = path.stat().st_size
    if entry.get("bytes") not in (size, None):
        return f"it has {size} bytes, not {entry['bytes']}"
    known = _known(entry, beside or path)
    if known is None:
        return None
    algorithm, expected = known
    found = _digest(path, algorithm)
    return None if found == expected else f"its {_ALGORITHMS[algorithm]} is {found}, not {expected}"


def _remedy(path: Path, entry: Mapping[str, Any]) -> str:
    if "checksum" in entry:
        return "Name another file, or fetch it again; a new official release needs its digest in sources.yaml."
    record = _record_of(path)
    return f"Restore it, or, to accept this file from now on, delete {record}."


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _record(found: Path, path: Path, entry: Mapping[str, Any]) -> None:
    """Where no digest is known, write that of the file `found` beside `path`, as `sha256sum --check` reads it."""
    if _known(entry, path) is None:
        digest = _digest(found, "sha256")
        with atomic_path(_record_of(path)) as record:
            record.write_text(f"{digest}  {path.name}\n")
        print(
            f"{path.name}: no digest is published; its SHA-256 {digest} is recorded in {_record_of(path)} and must be "
            "the same from now on",
            file=sys.stderr,
            flush=True,
        )


def _digest(path: Path, algorithm: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _give_name(path: Path, other: Path) -> None:
    """Let the file at `path` be at `other` too: the same bytes on the disk where its file system allows that."""
    if other.is_file() and other.samefile(path):
        return
    with write_errors(other):
        temporary = other.with_name(f".{other.name}.new")
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)
        temporary.replace(other)


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _like(path: Path, rest: str) -> list[Path]:
    """The files whose names go on like `rest` where that of `path` ends: parts, and what is known of them."""
    return sorted(path.parent.glob(f"{path.name}{rest}"))


def _remove(paths: list[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
