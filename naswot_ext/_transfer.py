"""One file from one place, over HTTP or from Google Drive, into a part that a later call goes on with.

What is fetched here is not to be trusted yet: `downloads` holds it to its digest.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3

from naswot_ext import __version__
from naswot_ext.errors import NaswotError, one_line
from naswot_ext.files import atomic_path, write_errors

_CHUNK = 1 << 16
_LONGEST_PAUSE = 30.0


class Unavailable(Exception):
    """Why a source does not give the file."""


class _Passing(Exception):
    """What may be over the next time."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Attributes:
        connect: seconds for a connection.
        read: seconds without a byte until the server has stalled.
        attempts: failures in a row, with nothing received in between, until a source is given up.
        pause: seconds before the second attempt; each later pause is twice as long, up to half a minute.
    """

    connect: float = 10.0
    read: float = 60.0
    attempts: int = 5
    pause: float = 1.0


@dataclass(frozen=True)
class Wanted:
    """The file to fetch: its name, its size in bytes where it is known, and whether a digest of it is."""

    name: str
    size: int | None
    digest_known: bool


def transfer(source: Mapping[str, str], wanted: Wanted, part: Path, patience: Patience) -> None:
    """Fetch all of a file into `part`, going on with what stands there (or beside it) from an earlier call.

    `source` is {"url": ...}, {"drive": ID of a file} or {"drive_folder": ID of a folder that holds the file by name}.
    Raises Unavailable with the reason where the source does not give it, NaswotError where it cannot be written.
    """
    if "url" in source:
        _Http(source["url"], wanted, part, patience).fetch()
    elif "drive" in source:
        _drive(source["drive"], wanted, part, patience)
    else:
        _drive(_in_folder(source["drive_folder"], wanted.name, patience), wanted, part, patience)


class _Progress:
    """A line on standard error now and then: it reads well in a terminal, in a log and beside other jobs' lines."""

    _EVERY_SECONDS = 10.0

    def __init__(self, name: str) -> None:
        self._name = name
        self._start = self._last = 0.0
        self._first = 0

    def begin(self, there: int) -> None:
        """A connection stands; `there` bytes are there already."""
        self._start, self._last, self._first = time.monotonic(), self._last or time.monotonic(), there
        if there:
            _say(f"{self._name}: {there / 1e6:.1f} MB are there already, going on")

    def show(self, done: int, total: int | None) -> None:
        """So many bytes are there now."""
        now = time.monotonic()
        if done != total and now - self._last < self._EVERY_SECONDS:
            return
        self._last = now
        rate = (done - self._first) / max(now - self._start, 1e-3)
        line = f"{done / 1e6:.1f} MB, {rate / 1e6:.1f} MB/s"
        if total:
            left = f", about {(total - done) / rate:.0f} s left" if done < total and rate else ""
            line = f"{100 * done / total:.0f} % of {total / 1e6:.1f} MB, {rate / 1e6:.1f} MB/s{left}"
        _say(f"{self._name}: {line}")


class _Http:
    """A download by byte ranges.

    What tells one state of the server's file from another (ETag or Last-Modified) is kept beside the part, so that the
    end of a changed file is never joined to the start of the old one.
    """

    def __init__(self, url: str, wanted: Wanted, part: Path, patience: Patience) -> None:
        self._url, self._wanted, self._part, self._patience = url, wanted, part, patience
        self._facts = part.with_name(f"{part.name}.json")
        self._progress = _Progress(wanted.name)

    def fetch(self) -> None:
        with requests.Session() as session:
            _persistently(self._wanted.name, self._patience, lambda: self._attempt(session), lambda: _size(self._part))

    def _attempt(self, session: requests.Session) -> None:
        offset, state = _size(self._part), _read(self._facts).get("state")
        if not (state or self._wanted.digest_known):
            offset = 0  # nothing would notice that the file has changed since
        headers = {"Accept-Encoding": "identity", "User-Agent": f"naswot/{__version__}"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if state:
                headers["If-Range"] = state
        timeout = (self._patience.connect, self._patience.read)
        with session.get(self._url, headers=headers, stream=True, timeout=timeout) as response:
            if offset and response.status_code == requests.codes.requested_range_not_satisfiable:
                if response.headers.get("Content-Range") == f"bytes */{offset}":
                    return  # killed between the last byte and the end
                self._part.unlink()
                raise _Passing("the part that was there does not fit the file")
            _refuse(response)
            total = self._length(response, offset, state)
            if response.status_code == requests.codes.ok:
                offset = 0
            self._check(total, offset)
            self._receive(response, offset, total)
        if total is not None and _size(self._part) != total:
            raise _Passing(f"the connection ended after {_size(self._part)} of {total} bytes")

    def _length(self, response: requests.Response, offset: int, state: str | None) -> int | None:
        """The bytes of the whole file; raises _Passing where the answer does not go on where the part ends."""
        if response.status_code == requests.codes.ok:
            length = response.headers.get("Content-Length", "")
            return int(length) if length.isdecimal() else None
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not offset or not found or int(found[1]) != offset or (state and _state(response) not in (state, None)):
            self._part.unlink(missing_ok=True)
            raise _Passing("the server did not go on where the part ends")
        return int(found[2]) if found[2] != "*" else None

    def _check(self, total: int | None, offset: int) -> None:
        if total is None and not self._wanted.digest_known:
            raise Unavailable("the server does not say how long the file is, so a part of it could pass for the whole")
        if total is not None and self._wanted.size not in (total, None):
            raise Unavailable(f"the file there has {total} bytes, not {self._wanted.size}")
        check_space(self._part, (total or 0) - offset)

    def _receive(self, response: requests.Response, offset: int, total: int | None) -> None:
        with write_errors(self._part):
            # Without a buffer, closing writes nothing and so cannot fail.
            file = open(self._part, "ab" if offset else "wb", buffering=0)  # noqa: SIM115
        with file:
            if not offset:
                _write(self._facts, {"state": _state(response)})
            self._progress.begin(offset)
            # `iter_content` waits for all of a chunk and loses what there is of it where the connection breaks.
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                rest = memoryview(chunk)
                while rest:
                    # An error of the network is an OSError too, but not one of the disk's.
                    with write_errors(self._part):
                        rest = rest[file.write(rest) :]
                offset += len(chunk)
                self._progress.show(offset, total)


def check_space(part: Path, needed: int) -> None:
    """Raise NaswotError where the disk cannot take so many bytes more."""
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise NaswotError(
            f"{part.parent} has {free / 1e6:.0f} MB free, but {needed / 1e6:.0f} MB are still to be fetched. Free some "
            "space, or name another folder under `downloads` in the config; what was fetched is kept."
        )


def _drive(file_id: str, wanted: Wanted, part: Path, patience: Patience) -> None:
    """A file of Google Drive's, through the page that asks whether large files are really wanted.

    gdown sees to that page and to resuming, but keeps nothing that tells the states of a file apart. So where no digest
    is known, a part is gone on with only while the file has the same length.
    """
    import gdown  # takes a while, and most files are not on Drive

    if part.is_file():
        return  # killed between the last byte and the end
    whole = part.with_name(f"{part.name}-{file_id}")
    facts = part.with_name(f"{part.name}.json")
    progress = _Progress(wanted.name)
    started = False

    def parts() -> list[Path]:
        # gdown's own: the name, eight characters, and .part
        return sorted(part.parent.glob(f"{whole.name}????????.part"), key=_size)

    def start_again() -> None:
        for old in parts():
            old.unlink()

    def show(done: int, total: int | None) -> None:
        nonlocal started
        if not started:
            started = True
            if total is None and not wanted.digest_known:
                raise Unavailable("Drive does not say how long the file is, so a part of it could pass for the whole")
            if total is not None and wanted.size not in (total, None):
                raise Unavailable(f"the file there has {total} bytes, not {wanted.size}")
            if _read(facts).get("total") not in (total, None):
                raise _Passing("the file has changed since the part of it was fetched")
            _write(facts, {"total": total})
            check_space(part, (total or done) - done)
            progress.begin(max(done - _GDOWN_CHUNK, 0))
        progress.show(done, total)

    for old in parts()[:-1]:
        old.unlink()  # gdown would not know which of several to go on with
    for last in (False, True):
        started = False
        resumed = bool(parts())
        try:
            gdown.download(
                id=file_id,
                output=str(whole),
                quiet=True,
                resume=True,
                use_cookies=False,
                progress=show,
                timeout=(patience.connect, patience.read),
                retries=patience.attempts - 1,
            )
            break
        except (NaswotError, Unavailable):
            raise
        except _Passing as error:
            if last:
                raise Unavailable(str(error)) from error
            facts.unlink(missing_ok=True)
            start_again()
        except gdown.FileURLRetrievalError as error:
            raise Unavailable(one_line(error).split(" You may still be able")[0]) from error
        except gdown.DownloadError as error:
            if last or not (resumed and "byte range" in str(error)):
                raise Unavailable(one_line(error)) from error
            start_again()
        except requests.RequestException as error:
            raise Unavailable(_reason(error)) from error
        except OSError as error:
            with write_errors(part):
                raise error
        except Exception as error:  # it reads pages that Google may change at any time
            raise Unavailable(f"Drive's answer cannot be read ({type(error).__name__}: {error})") from error
    with write_errors(part):
        whole.replace(part)


_GDOWN_CHUNK = 512 * 1024  # gdown tells of a chunk when it has it


def _in_folder(folder_id: str, name: str, patience: Patience) -> str:
    """The ID of the file of that name in a folder of Google Drive's (or in a folder of its)."""
    import gdown

    listed: dict[str, str] = {}

    def look() -> None:
        try:
            entries = gdown.download_folder(
                id=folder_id,
                quiet=True,
                use_cookies=False,
                skip_download=True,
                timeout=(patience.connect, patience.read),
            )
        except gdown.DownloadError as error:
            if "status code 5" in str(error):
                raise _Passing(str(error)) from error
            raise Unavailable(one_line(error)) from error
        listed.update((Path(entry.path).name, entry.id) for entry in entries if not isinstance(entry, str))

    _persistently(name, patience, look, lambda: 0)
    if name not in listed:
        raise Unavailable(f"the folder holds no {name}; it holds: {', '.join(sorted(listed)) or 'nothing'}")
    return listed[name]


def _persistently(name: str, patience: Patience, attempt: Callable[[], None], received: Callable[[], int]) -> None:
    """Attempt it until it is done, or until there were too many failures with nothing received in between."""
    failures = 0
    while True:
        before = received()
        try:
            return attempt()
        except (requests.exceptions.SSLError, requests.exceptions.InvalidURL, requests.TooManyRedirects) as error:
            raise Unavailable(_reason(error)) from error
        except (_Passing, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            failures = 1 if received() > before else failures + 1
            if failures >= patience.attempts:
                raise Unavailable(f"{_reason(error)} ({failures} times in a row)") from error
            pause = min(patience.pause * 2 ** (failures - 1), _LONGEST_PAUSE)
            _say(f"{name}: {_reason(error)}; trying again in {pause:.0f} s")
            time.sleep(pause)


def _refuse(response: requests.Response) -> None:
    status = response.status_code
    if status in (requests.codes.request_timeout, requests.codes.too_many_requests) or status >= 500:
        raise _Passing(f"HTTP {status} {response.reason}")
    if status not in (requests.codes.ok, requests.codes.partial_content):
        raise Unavailable(f"HTTP {status} {response.reason}")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise Unavailable("an HTML page answers instead of the file")
    if (encoding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise Unavailable(f"the server sends it encoded ({encoding}), though asked not to")


def _reason(error: Exception) -> str:
    if isinstance(error, (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
        return "the server has stalled"
    return one_line(error) or type(error).__name__


def _state(response: requests.Response) -> str | None:
    """What names this state of the file; a weak ETag does not stand for every byte."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _read(facts: Path) -> dict[str, Any]:
    with suppress(FileNotFoundError, ValueError):
        return dict(json.loads(facts.read_text()))
    return {}


def _write(facts: Path, content: Mapping[str, Any]) -> None:
    with atomic_path(facts) as path:
        path.write_text(json.dumps(content))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
