"""The archive as one file: a tar of sorted members without owners and times, compressed with Zstandard; its manifest.

The same content gives the same bytes. Whoever unpacks it trusts no name in it.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import zstandard

from naswot_ext.errors import NaswotError, one_line
from naswot_ext.files import atomic_path

TOP = "naswot"  # the one folder that unpacking makes
MANIFEST = "MANIFEST.sha256"
_CHUNK = 1 << 16
_LEVEL = 10
# Scores and tables become some five times as large. Zeros would become 30,000 times as large, and fill the disk.
_MOST_GROWTH, _ALWAYS_FINE = 1000, 1 << 28
# Read by this many bytes, even zeros stay below 40 MB of memory.
_COMPRESSED_CHUNK = 1 << 10


def files_in(folder: Path) -> list[str]:
    """All files below a folder, as sorted relative paths; raises NaswotError for a link."""
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise NaswotError(f"{path} is a link, and an archive holds files only. Put the file itself there.")
        if path.is_file():
            found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path) -> None:
    """Write `MANIFEST.sha256` over all other files of a folder, as `sha256sum -c` reads it."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in files_in(folder) if name != MANIFEST]
    (folder / MANIFEST).write_text("".join(lines))


def check_manifest(folder: Path) -> list[str]:
    """What of a folder is not as its manifest says, a sentence each; none where all is.

    Raises NaswotError where there is no manifest, or one of another format.
    """
    if not (folder / MANIFEST).is_file():
        raise NaswotError(f"The archive has no {MANIFEST}: it is none that `snakemake archive` wrote.")
    listed = {}
    for number, line in enumerate((folder / MANIFEST).read_text(errors="replace").splitlines(), 1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise NaswotError(f"Line {number} of {MANIFEST} is not a SHA-256 and a file. Fetch the archive again.")
        listed[name] = digest
    there = set(files_in(folder)) - {MANIFEST}
    problems = [f"{name} is missing" for name in sorted(listed.keys() - there)]
    problems += [f"{name} is not in {MANIFEST}" for name in sorted(there - listed.keys())]
    for name in sorted(listed.keys() & there):
        if sha256(folder / name) != listed[name]:
            problems.append(f"{name} has another SHA-256 than {MANIFEST} says")
    return problems


def compress(folder: Path, archive: str | os.PathLike[str]) -> None:
    """Write all files of a folder into one `.tar.zst`, at once or not at all."""
    with atomic_path(archive) as temporary, open(temporary, "wb") as file:
        # One thread: with several, the bytes would depend on their number.
        compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        with compressor.stream_writer(file, closefd=False) as out, tarfile.open(fileobj=out, mode="w|") as tar:
            for name in files_in(folder):
                member = tarfile.TarInfo(f"{TOP}/{name}")
                member.size = (folder / name).stat().st_size
                member.mode = 0o755 if os.access(folder / name, os.X_OK) else 0o644
                with open(folder / name, "rb") as content:
                    tar.addfile(member, content)


def unpack(archive: str | os.PathLike[str], folder: Path) -> Path:
    """Unpack an archive into a folder; the folder in it that holds the files.

    Raises NaswotError for a file that is not Zstandard or a tar, is cut short, or holds anything but files below `TOP`
    (absolute paths, `..`, links, devices, holes, a name twice), or would become 1,000 times as large
    (and more than 256 MiB).
    """
    if not Path(archive).is_file():
        raise NaswotError(f"No such file: {archive}. Correct the path, or make it with `snakemake archive`.")
    with _readable(archive), open(archive, "rb") as file:
        content = _Decompressed(file)
        _unpack_tar(content, archive, folder)
    if not (folder / TOP).is_dir():
        raise NaswotError(f"{archive} holds no files: it is none that `snakemake archive` wrote.")
    return folder / TOP


def _unpack_tar(file: _Decompressed, archive: str | os.PathLike[str], folder: Path) -> None:
    seen: set[Path] = set()
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            target = folder / _checked(member, archive)
            if target in seen:
                raise NaswotError(f"{archive} holds {member.name} twice. Do not trust it.")
            seen.add(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None  # a regular file, as _checked says
            with open(target, "wb") as out:
                shutil.copyfileobj(content, out, _CHUNK)
    # Other programs may read on, and must find what is checked here. At the very end is the checksum.
    if any(chunk.strip(b"\0") for chunk in file.rest(tar.offset)):
        raise NaswotError(f"{archive} holds more behind the end of its tar. Do not trust it.")


def _checked(member: tarfile.TarInfo, archive: str | os.PathLike[str]) -> str:
    path = PurePosixPath(member.name)
    outside = path.is_absolute() or ".." in path.parts or len(path.parts) < 2 or path.parts[0] != TOP
    if outside or not member.isreg() or member.issparse():
        raise NaswotError(
            f"{archive} is none that `snakemake archive` wrote: it holds {member.name!r}, which is not a whole file "
            f"below {TOP}/. Nothing was written outside of a temporary folder."
        )
    return str(path)


@contextmanager
def _readable(archive: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NaswotError(
                f"{archive} does not fit into {tempfile.gettempdir()}. Set TMPDIR to a folder on a larger disk."
            ) from error
        raise NaswotError(
            f"{archive} cannot be read or unpacked ({error.strerror}). Fetch or make it again."
        ) from error
    # Headers that are damaged make tarfile raise any of these.
    except (zstandard.ZstdError, tarfile.TarError, EOFError, ValueError, LookupError, OverflowError) as error:
        raise NaswotError(
            f"{archive} is not a whole .tar.zst archive ({one_line(error)}). Fetch or make it again."
        ) from error


class _Decompressed(io.RawIOBase):
    """What a Zstandard file holds, read once from its beginning.

    Raises EOFError where the file ends before its content, OverflowError where that is far larger than the file.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._most = max(_ALWAYS_FINE, _MOST_GROWTH * os.fstat(file.fileno()).st_size)
        self._decompressor = zstandard.ZstdDecompressor().decompressobj()
        self._buffer, self._at = b"", 0
        self._last, self._position = b"", 0

    def read(self, size: int = -1) -> bytes:
        while (size < 0 or len(self._buffer) - self._at < size) and not self._decompressor.eof:
            self._fill()
        end = len(self._buffer) if size < 0 else self._at + size
        read = self._buffer[self._at : end]
        self._at += len(read)
        self._last, self._position = read or self._last, self._position + len(read)
        return read

    def _fill(self) -> None:
        chunk = self._file.read(_COMPRESSED_CHUNK)
        if not chunk:
            raise EOFError("it ends too early")
        self._buffer, self._at = self._buffer[self._at :] + self._decompressor.decompress(chunk), 0
        if self._position + len(self._buffer) > self._most:
            raise OverflowError(
                f"it would become more than {_MOST_GROWTH:,} times as large, as no archive of ours does"
            )
        if self._decompressor.eof and (self._decompressor.unused_data or self._file.read(1)):
            raise EOFError("it goes on behind its end")

    def rest(self, start: int) -> Iterator[bytes]:
        """All from `start`, a position in what was read last, to the end."""
        yield self._last[len(self._last) - (self._position - start) :]
        while chunk := self.read(_CHUNK):
            yield chunk
