"""Downloads: whole or not at all, whatever the server and the machine do, and only the bytes that they must be."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from naswot_ext import _transfer, downloads
from naswot_ext._transfer import Patience
from naswot_ext.downloads import check, fetch, files_of, identity
from naswot_ext.errors import NaswotError
from tests.conftest import REPOSITORY
from tests.server import PATIENCE, QUOTA, FileServer, Served, file_server

SOURCES = REPOSITORY / "workflow" / "resources" / "sources.yaml"
CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
LARGE = random.Random(2).randbytes(2_000_000)
SHORT = Patience(connect=60, read=60, attempts=3, pause=0.01)
# With a server that stalls, and long enough for one that is only busy.
IMPATIENT = replace(SHORT, read=2.0)
DRIVE_ID = "1aBcDeFgHiJkLmNoPqRsTuVwXyZ012345"
FOLDER_ID = "1FoLdErFgHiJkLmNoPqRsTuVwXyZ01234"
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 300000\n"
# Fetches in a process of its own; Drive is this machine's server.
CHILD = """
import sys, requests
from naswot_ext.downloads import fetch
from tests.server import FileServer
requests.Session.get = FileServer(sys.argv[1]).instead_of_drive(requests.Session.get)
print(fetch("things", "thing.bin", sys.argv[2], sys.argv[3]))
"""


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server with the file, in front of which no proxy stands."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with file_server() as started:
        started.files["/thing.bin"] = Served(CONTENT)
        yield started


class Downloads:
    """A folder for downloads, and a table of sources that has one file."""

    def __init__(self, folder: Path, server: FileServer) -> None:
        """Name the server's file as the only source, with its digest."""
        self.folder = folder / "downloads"
        self.sources = folder / "sources.yaml"
        self.target = self.folder / "things" / "thing.bin"
        self.entry: dict[str, Any] = {
            "name": "thing.bin",
            "checksum": md5(CONTENT),
            "sources": [{"url": f"{server.url}/thing.bin"}],
        }

    def write(self) -> Path:
        """The table of sources."""
        things = {"title": "Things", "instructions": "Fetch it by hand.", "files": [self.entry]}
        self.sources.write_text(yaml.safe_dump({"things": things}))
        return self.sources

    def fetch(self, patience: Patience = SHORT) -> Path:
        """Fetch the file."""
        return fetch("things", "thing.bin", self.folder, self.write(), patience)

    def start(self, server: FileServer) -> subprocess.Popen[str]:
        """Fetch the file in another process."""
        command = [sys.executable, "-c", CHILD, server.url, str(self.folder), str(self.write())]
        return subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | {"no_proxy": "127.0.0.1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def parts(self) -> list[str]:
        """What was left of parts."""
        return sorted(path.name for path in self.folder.rglob("*.part*"))

    @property
    def arrived(self) -> int:
        """The bytes of the part that a kill would leave now."""
        return sum(path.stat().st_size for path in self.folder.rglob("*.part"))


@pytest.fixture
def things(tmp_path: Path, server: FileServer) -> Downloads:
    return Downloads(tmp_path, server)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it holds; fail after two minutes."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_file_is_fetched_once_and_says_how_far_it_is(
    things: Downloads, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert things.fetch() == things.target
    assert things.target.read_bytes() == CONTENT
    assert "thing.bin: 100 % of 0.3 MB" in capsys.readouterr().err
    assert things.parts == []
    things.fetch()
    assert len(server.requests) == 1


def test_the_part_of_a_file_whose_name_only_starts_alike_stays(things: Downloads) -> None:
    other = things.target.parent / ".fetch" / "thing.bin0.01234567.part"
    other.parent.mkdir(parents=True)
    other.write_bytes(CONTENT)
    things.fetch()
    assert other.exists()


def test_a_removed_file_is_there_again_without_the_network(things: Downloads, server: FileServer) -> None:
    things.fetch()
    things.target.unlink()
    assert things.fetch().read_bytes() == CONTENT
    assert len(server.requests) == 1


@pytest.mark.parametrize("cuts", [[100_000], [1, 1, 70_000], [0, 0], [299_999], [65_536, 131_072]])
def test_a_broken_connection_is_gone_on_with(things: Downloads, server: FileServer, cuts: list[int]) -> None:
    server.files["/thing.bin"].cuts = list(cuts)
    assert things.fetch().read_bytes() == CONTENT
    assert server.sent == len(CONTENT)  # not a byte twice
    assert len(server.requests) == len(cuts) + 1
    if cuts[0]:
        assert server.requests[1].headers["Range"] == f"bytes={cuts[0]}-"
        assert server.requests[1].headers["If-Range"] == '"first"'


@pytest.mark.parametrize("digest", [True, False])
def test_a_later_call_goes_on_where_one_gave_up(things: Downloads, server: FileServer, digest: bool) -> None:
    if not digest:
        del things.entry["checksum"]
    server.files["/thing.bin"].cuts = [120_000, 0]
    with pytest.raises(NaswotError, match="the same command goes on"):
        things.fetch(Patience(attempts=1))
    assert not things.target.exists()
    assert things.fetch().read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_a_part_that_is_whole_already_is_not_fetched_again(things: Downloads, server: FileServer) -> None:
    server.files["/thing.bin"].cuts = [len(CONTENT) - 1, 1]
    with pytest.raises(NaswotError):
        things.fetch(Patience(attempts=1))
    [part] = [p for p in things.folder.rglob("*.part")]
    part.write_bytes(CONTENT)  # as if killed after the last byte
    server.files["/thing.bin"].cuts = []
    sent = server.sent
    assert things.fetch().read_bytes() == CONTENT
    assert server.sent == sent


def test_a_part_that_a_crash_spoilt_costs_only_a_second_fetch(things: Downloads, server: FileServer) -> None:
    server.files["/thing.bin"].cuts = [120_000]
    with pytest.raises(NaswotError):
        things.fetch(Patience(attempts=1))
    [part] = [p for p in things.folder.rglob("*.part")]
    part.write_bytes(bytes(120_000))
    assert things.fetch().read_bytes() == CONTENT
    assert [("Range" in request.headers) for request in server.requests] == [False, True, False]


@pytest.mark.parametrize("honours_if_range", [True, False])
@pytest.mark.parametrize("digest", [True, False])
def test_a_file_that_changed_on_the_server_is_fetched_from_its_start(
    things: Downloads, server: FileServer, digest: bool, honours_if_range: bool
) -> None:
    things.entry["checksum"] = md5(OTHER)
    if not digest:
        del things.entry["checksum"]
    server.files["/thing.bin"].cuts = [120_000]
    with pytest.raises(NaswotError):
        things.fetch(Patience(attempts=1))
    server.files["/thing.bin"] = Served(OTHER, etag='"second"', honours_if_range=honours_if_range)
    assert things.fetch().read_bytes() == OTHER


def test_without_a_digest_and_a_name_of_its_state_a_part_is_not_trusted(things: Downloads, server: FileServer) -> None:
    del things.entry["checksum"]
    server.files["/thing.bin"] = Served(CONTENT, etag='W/"weak"', cuts=[120_000])
    with pytest.raises(NaswotError):
        things.fetch(Patience(attempts=1))
    server.files["/thing.bin"] = Served(OTHER, etag='W/"weak"')
    assert things.fetch().read_bytes() == OTHER
    assert "Range" not in server.requests[1].headers


def test_the_time_of_change_stands_in_for_an_etag(things: Downloads, server: FileServer) -> None:
    modified = "Mon, 02 Mar 2020 10:00:00 GMT"
    server.files["/thing.bin"] = Served(CONTENT, etag=None, modified=modified, cuts=[120_000])
    assert things.fetch().read_bytes() == CONTENT
    assert server.requests[1].headers["If-Range"] == modified
    assert server.sent == len(CONTENT)


def test_a_server_without_ranges_starts_again(things: Downloads, server: FileServer) -> None:
    server.files["/thing.bin"].honours_ranges = False
    server.files["/thing.bin"].cuts = [120_000]
    assert things.fetch().read_bytes() == CONTENT
    assert server.sent == 120_000 + len(CONTENT)


def test_a_stalled_connection_is_given_up_and_gone_on_with(things: Downloads, server: FileServer) -> None:
    server.files["/thing.bin"].stalls = [131_072]
    start = time.monotonic()
    assert things.fetch(IMPATIENT).read_bytes() == CONTENT
    assert server.requests[1].headers["Range"] == "bytes=131072-"
    assert time.monotonic() - start < PATIENCE / 2  # the server would wait for all of it


def test_a_server_that_always_stalls_is_given_up(things: Downloads, server: FileServer) -> None:
    server.files["/thing.bin"].stalls = [0] * 3
    with pytest.raises(NaswotError, match=r"thing.bin: the server has stalled \(3 times in a row\)"):
        things.fetch(replace(SHORT, read=0.5))


def test_a_slow_server_is_waited_for(things: Downloads, server: FileServer) -> None:
    server.files["/thing.bin"].seconds_a_block = 0.15  # longer in all than the patience without a byte
    assert things.fetch(IMPATIENT).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_errors_that_pass_are_waited_for_and_others_are_not(things: Downloads, server: FileServer) -> None:
    server.files["/thing.bin"].statuses = [503, 429]
    assert things.fetch().read_bytes() == CONTENT
    assert len(server.requests) == 3
    shutil.rmtree(things.folder)
    server.files["/thing.bin"].statuses = [403]
    with pytest.raises(NaswotError, match="HTTP 403"):
        things.fetch()
    assert len(server.requests) == 4


def test_a_server_that_is_not_there_is_named_with_the_reason(things: Downloads) -> None:
    things.entry["sources"] = [{"url": "http://127.0.0.1:9/thing.bin"}]
    with pytest.raises(NaswotError, match=r"url http://127.0.0.1:9/thing.bin: .*refused"):
        things.fetch()


def test_the_next_source_is_taken_where_one_has_no_file(things: Downloads, server: FileServer) -> None:
    things.entry["sources"].insert(0, {"url": f"{server.url}/missing.bin"})
    assert things.fetch().read_bytes() == CONTENT
    assert len(server.asked("/missing.bin")) == 1


def test_the_next_source_is_taken_where_the_digest_is_wrong(things: Downloads, server: FileServer) -> None:
    server.files["/wrong.bin"] = Served(OTHER)
    things.entry["sources"].insert(0, {"url": f"{server.url}/wrong.bin"})
    assert things.fetch().read_bytes() == CONTENT
    assert things.parts == []


def test_where_every_source_fails_each_is_named_with_its_reason_and_what_a_human_can_do(
    things: Downloads, server: FileServer
) -> None:
    server.files["/thing.bin"].content = OTHER
    things.entry["sources"].append({"url": f"{server.url}/missing.bin"})
    with pytest.raises(NaswotError) as raised:
        things.fetch()
    wrong = f"/thing.bin: its MD5 is {md5(OTHER)[4:]}, not {md5(CONTENT)[4:]}"
    for said in (wrong, "/missing.bin: HTTP 404", "Fetch it by hand.", "`local`", str(things.target)):
        assert said in str(raised.value)
    assert not things.target.exists()
    assert things.parts == []


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_page_instead_of_the_file_is_refused(things: Downloads, server: FileServer, kind: str) -> None:
    del things.entry["checksum"]
    server.files["/thing.bin"] = Served(b"<!DOCTYPE html><html>Log in</html>", kind=kind)
    with pytest.raises(NaswotError, match="HTML page"):
        things.fetch()
    assert not things.target.exists()
    assert not list(things.folder.rglob("*.sha256"))


def test_a_file_of_another_size_is_not_even_fetched(things: Downloads, server: FileServer) -> None:
    things.entry["bytes"] = 299_999
    with pytest.raises(NaswotError, match="300000 bytes, not 299999"):
        things.fetch()
    assert things.parts == []


def test_a_file_of_unknown_length_needs_a_digest(things: Downloads, server: FileServer) -> None:
    server.files["/thing.bin"] = Served(CONTENT, says_length=False)
    assert things.fetch().read_bytes() == CONTENT
    shutil.rmtree(things.folder)
    del things.entry["checksum"]
    with pytest.raises(NaswotError, match="a part of it could pass for the whole"):
        things.fetch()


def test_two_processes_fetch_it_once(things: Downloads, server: FileServer) -> None:
    held = server.files["/thing.bin"].held = threading.Event()
    first = things.start(server)
    wait_for(lambda: server.sent > 0)
    second = things.start(server)
    assert second.stdout
    waits = any("another process is fetching it" in line for line in second.stdout)
    held.set()
    printed = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert waits, printed
    assert [first.returncode, second.returncode] == [0, 0], printed
    assert things.target.read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_after_a_kill_the_next_call_goes_on(things: Downloads, server: FileServer) -> None:
    served = server.files["/thing.bin"]
    served.seconds_a_block = 0.05
    # So that neither fetch can come to its end before it is killed.
    served.stalls = [100_000, 100_000]
    for reached in (60_000, 160_000):
        process = things.start(server)
        wait_for(lambda reached=reached: things.arrived > reached)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not things.target.exists()
    served.seconds_a_block = 0
    assert things.fetch().read_bytes() == CONTENT
    # What was on its way to a killed process is lost, no more: it takes what comes in blocks of 64 KiB.
    assert len(CONTENT) <= server.sent < len(CONTENT) + 2 * 65_536
    assert [("Range" in request.headers) for request in server.requests] == [False, True, True]


def test_a_digest_that_nobody_published_is_recorded_at_the_first_use_and_enforced(
    things: Downloads, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    del things.entry["checksum"]
    things.fetch()
    record = things.target.with_name("thing.bin.sha256")
    assert record.read_text() == f"{hashlib.sha256(CONTENT).hexdigest()}  thing.bin\n"
    assert "its SHA-256" in capsys.readouterr().err
    subprocess.run(["sha256sum", "--check", record.name], cwd=record.parent, check=True, capture_output=True)

    shutil.rmtree(things.target.parent / ".fetch")
    things.target.unlink()
    server.files["/thing.bin"] = Served(OTHER)
    with pytest.raises(NaswotError, match=f"not {hashlib.sha256(CONTENT).hexdigest()}"):
        things.fetch()
    assert not things.target.exists()

    things.target.write_bytes(OTHER)
    with pytest.raises(NaswotError, match=r"is not what it was.*to accept this file from now on, delete .*\.sha256"):
        things.fetch()
    record.unlink()
    assert things.fetch().read_bytes() == OTHER
    assert hashlib.sha256(OTHER).hexdigest() in record.read_text()


def test_a_spoilt_file_with_a_published_digest_is_fetched_anew(things: Downloads, server: FileServer) -> None:
    things.fetch()
    with open(things.target, "r+b") as file:  # in place, under both of its names
        file.write(b"spoilt")
    assert things.fetch().read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_file_that_a_human_put_there_is_used(things: Downloads, server: FileServer) -> None:
    things.target.parent.mkdir(parents=True)
    things.target.write_bytes(CONTENT)
    assert things.fetch() == things.target
    assert server.requests == []


def test_a_full_disk_is_named_before_and_while_it_fills(
    things: Downloads, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))  # the same refusal to write as a full disk's
    try:
        with pytest.raises(NaswotError, match=r"Cannot write .*part: .*Free some space"):
            things.fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    full = shutil.disk_usage(things.folder)._replace(free=100_000)
    with monkeypatch.context() as patch:
        patch.setattr(_transfer.shutil, "disk_usage", lambda _: full)
        with pytest.raises(NaswotError, match="0 MB free"):
            things.fetch()
    assert things.fetch().read_bytes() == CONTENT
    assert server.requests[-1].headers["Range"] == "bytes=150000-"


def test_a_folder_without_hard_links_holds_copies(
    things: Downloads, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(downloads.os, "link", refuse)
    things.fetch()
    things.target.unlink()
    assert things.fetch().read_bytes() == CONTENT
    assert len(server.requests) == 1


@pytest.fixture
def drive(things: Downloads, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A larger file, on a Google Drive that the server stands in for; gdown takes what comes in blocks of 512 KiB."""
    monkeypatch.setattr(requests.Session, "get", server.instead_of_drive(requests.Session.get))
    things.entry |= {"sources": [{"drive": DRIVE_ID}], "checksum": md5(LARGE)}
    served = Served(LARGE)
    server.drive[DRIVE_ID] = ("thing.bin", served)
    return served


def test_a_large_file_of_drive_is_confirmed(
    things: Downloads, server: FileServer, drive: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    assert things.fetch().read_bytes() == LARGE
    assert [request.path for request in server.requests] == ["/uc", "/download"]
    assert "thing.bin: 100 % of 2.0 MB" in capfd.readouterr().err
    assert things.parts == []
    assert sorted(path.name for path in things.target.parent.rglob("*.*")) == [
        ".fetch",
        "thing.bin",
        "thing.bin",
        "thing.bin.lock",
    ]


def test_a_broken_connection_to_drive_is_gone_on_with(things: Downloads, server: FileServer, drive: Served) -> None:
    drive.cuts = [1_200_000]
    assert things.fetch().read_bytes() == LARGE
    assert server.requests[-1].headers["Range"] == "bytes=1048576-"


@pytest.mark.parametrize("digest", [True, False])
def test_a_killed_download_from_drive_is_gone_on_with(
    things: Downloads, server: FileServer, drive: Served, digest: bool
) -> None:
    if not digest:
        del things.entry["checksum"]
    drive.stalls = [1_200_000]  # in the third block
    process = things.start(server)
    wait_for(lambda: things.arrived == 1_048_576)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert things.fetch().read_bytes() == LARGE
    assert server.requests[-1].headers["Range"] == "bytes=1048576-"


@pytest.mark.parametrize("digest", [True, False])
def test_a_file_of_drive_that_changed_is_fetched_from_its_start(
    things: Downloads, server: FileServer, drive: Served, digest: bool
) -> None:
    changed = LARGE[::-1] + b"more"
    things.entry["checksum"] = md5(changed)
    if not digest:
        del things.entry["checksum"]
    drive.cuts = [1_200_000]
    with pytest.raises(NaswotError, match="incomplete"):
        things.fetch(Patience(attempts=1))
    server.drive[DRIVE_ID] = ("thing.bin", Served(changed, etag='"second"'))
    assert things.fetch().read_bytes() == changed


def test_a_drive_that_does_not_go_on_starts_again(things: Downloads, server: FileServer, drive: Served) -> None:
    drive.cuts = [1_200_000]
    with pytest.raises(NaswotError, match="incomplete"):
        things.fetch(Patience(attempts=1))
    drive.honours_ranges = False
    assert things.fetch().read_bytes() == LARGE
    assert any("Range" in request.headers for request in server.requests)


def test_an_exhausted_quota_of_drive_tells_a_human_what_to_do(
    things: Downloads, server: FileServer, drive: Served
) -> None:
    server.pages[f"/uc?id={DRIVE_ID}"] = QUOTA
    with pytest.raises(NaswotError, match=r"(?s)Too many users .*\nFetch it by hand\. Put it anywhere and name it"):
        things.fetch()


def test_a_wrong_file_of_drive_leaves_nothing(things: Downloads, server: FileServer, drive: Served) -> None:
    drive.content = OTHER
    with pytest.raises(NaswotError, match="its MD5 is"):
        things.fetch()
    assert things.parts == []
    assert not things.target.exists()


def listing(*files: str) -> str:
    links = "".join(f'<a href="https://drive.google.com/file/d/{DRIVE_ID}/view">{file}</a>' for file in files)
    return f"<html><head><title>Shared</title></head><body>{links}</body></html>"


def test_a_file_is_found_by_its_name_in_a_folder_of_drive(things: Downloads, server: FileServer, drive: Served) -> None:
    things.entry["sources"] = [{"drive_folder": FOLDER_ID}]
    inner = "1InNeRfOlDeRhIjKlMnOpQrStUvWxYz01"
    outer = f'<html><title>Shared</title><a href="https://drive.google.com/drive/folders/{inner}">ImageNet16</a></html>'
    server.pages[f"/embeddedfolderview?id={FOLDER_ID}"] = outer
    server.pages[f"/embeddedfolderview?id={inner}"] = listing("thing.bin")
    assert things.fetch().read_bytes() == LARGE


def test_a_folder_of_drive_without_the_file_says_what_it_holds(
    things: Downloads, server: FileServer, drive: Served
) -> None:
    things.entry["sources"] = [{"drive_folder": FOLDER_ID}]
    server.pages[f"/embeddedfolderview?id={FOLDER_ID}"] = listing("another.bin")
    with pytest.raises(NaswotError, match=r"the folder holds no thing\.bin; it holds: another\.bin"):
        things.fetch()


def test_a_file_of_ones_own_is_held_to_the_digest(things: Downloads, tmp_path: Path) -> None:
    path = tmp_path / "mine.bin"
    for content, reason in (
        (OTHER, r"is not the thing\.bin of things: its MD5 is"),
        (LFS_POINTER, "Git LFS pointer"),
        (b"<html>Log in</html>", "HTML page"),
        (b"", "is empty"),
    ):
        path.write_bytes(content)
        with pytest.raises(NaswotError, match=reason):
            check(path, "things", "thing.bin", things.write())
    path.write_bytes(CONTENT)
    check(path, "things", "thing.bin", things.write())
    with pytest.raises(NaswotError, match="No such file"):
        check(tmp_path / "none.bin", "things", "thing.bin", things.write())


def test_a_folder_of_ones_own_is_held_to_the_digests_of_the_files_in_it(things: Downloads, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    check(folder, "things", "thing.bin", things.write())  # unpacked: nothing is known of that
    (folder / "thing.bin").write_bytes(OTHER)
    with pytest.raises(NaswotError, match="its MD5 is"):
        check(folder, "things", "thing.bin", things.write())


def test_one_file_is_not_taken_for_a_download_of_several(tmp_path: Path) -> None:
    path = tmp_path / "ImageNet16.tar"
    path.write_bytes(CONTENT)
    with pytest.raises(NaswotError, match="Name the folder that holds them"):
        check(path, "imagenet16-120", "val_data", SOURCES)


def test_an_unknown_download_and_file_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(NaswotError, match="Did you mean 'cifar10'"):
        files_of("cifar-10", SOURCES)
    with pytest.raises(NaswotError, match="Did you mean 'val_data'"):
        identity("imagenet16-120", "valdata", SOURCES)


def test_a_file_is_another_only_where_its_digest_is(things: Downloads) -> None:
    before = identity("things", "thing.bin", things.write())
    things.entry["sources"].append({"url": "http://mirror"})
    assert identity("things", "thing.bin", things.write()) == before
    things.entry["checksum"] = md5(OTHER)
    assert identity("things", "thing.bin", things.write()) != before


def test_every_source_is_described_in_full() -> None:
    for name, download in yaml.safe_load(SOURCES.read_text()).items():
        assert set(download) == {"title", "licence", "citation", "instructions", "files"}, name
        assert files_of(name, SOURCES)
        for file in download["files"]:
            assert set(file) <= {"name", "bytes", "checksum", "sources"}, file
            algorithm, _, digest = file.get("checksum", "md5:" + 32 * "0").partition(":")
            assert len(digest) == {"md5": 32, "sha256": 64}[algorithm], file
            kinds = {kind for source in file["sources"] for kind in source}
            assert kinds
            assert kinds <= {"url", "drive", "drive_folder"}, file


def test_downloads_are_planned_without_torch() -> None:
    code = "import sys, naswot_ext.downloads; assert not {'torch', 'requests', 'gdown', 'snakemake'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
