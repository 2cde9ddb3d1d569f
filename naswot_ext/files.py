"""Files: nothing half-written is ever taken for whole, and nothing else for the file that it should be."""

from __future__ import annotations

import fcntl
import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from naswot_ext.errors import NaswotError


@contextmanager
def write_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the operating system's refusal (full disk, read-only folder, ...) into one clear error about `path`."""
    try:
        yield
    except OSError as error:
        raise NaswotError(
            f"Cannot write {path}: {error.strerror or error}. Free some space or choose a folder that "
            "can be written; what was finished before is kept."
        ) from error


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, synced to disk, only when the block succeeds.

    What writers of `path` that were killed have left is removed. Raises NaswotError where the file cannot be written;
    `path` is then as it was before.
    """
    path = Path(path)
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_orphans(path)
        handle, temporary = locked_temporary(path)
    try:
        with write_errors(path):
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
        os.close(handle)


def locked_temporary(path: Path) -> tuple[int, Path]:
    """A new file beside `path` and the handle that locks it: for as long as it is open, its writer is alive."""
    while True:
        # The suffix stays last: some writers choose the format by it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        # A file system without locks has nobody's temporaries removed.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        umask = os.umask(0)
        os.umask(umask)
        os.fchmod(handle, 0o666 & ~umask)  # as any new file; mkstemp's are the owner's alone
        # Between its making and its lock, another writer of `path` may have taken it for an orphan.
        if os.path.exists(name):
            return handle, Path(name)
        os.close(handle)


def remove_orphans(path: Path) -> None:
    """Remove the temporaries of `path` that nobody locks: their writers were killed."""
    for name in path.parent.glob(f".{glob.escape(path.stem)}.{'[a-z0-9_]' * 8}{glob.escape(path.suffix)}"):
        with suppress(OSError):  # its writer lives, or has just finished, or it is another's who may not be disturbed
            handle = os.open(name, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                name.unlink()
            finally:
                os.close(handle)


def refuse_stand_in(path: str | os.PathLike[str]) -> None:
    """Raise NaswotError where `path` is no file, is empty, or is what stands where a download should: text of the web.

    A Git LFS pointer (a clone without `git lfs pull`) and an HTML page (an error or a login saved under the name).
    """
    if not Path(path).is_file():
        raise NaswotError(f"No such file: {path}. Correct the path, or fetch the file.")
    with open(path, "rb") as file:
        start = file.read(512)
    if not start:
        raise NaswotError(f"{path} is empty. Fetch it again.")
    if start.startswith(b"version https://git-lfs"):
        raise NaswotError(f"{path} is a Git LFS pointer, not the file itself. Fetch the file with `git lfs pull`.")
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise NaswotError(
            f"{path} is an HTML page, not the file that its name says: a server's answer was saved in its place. "
            "Delete it and fetch it again."
        )
