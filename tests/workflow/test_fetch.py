"""Rule `fetch` in real runs of Snakemake: what is there is never fetched again, and a kill costs next to nothing."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.server import FileServer, Served, file_server
from tests.workflow.conftest import Project

CONTENT = random.Random(0).randbytes(1_000_000)
FILE = "downloads/nds/data.zip"
SOURCES = "workflow/resources/sources.yaml"
URL = "https://dl.fbaipublicfiles.com/nds/data.zip"


@pytest.fixture
def server(changed: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server that the checkout takes for one of the official hosts."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with file_server() as started, changed(SOURCES, URL, f"{started.url}/data.zip"):
        started.files["/data.zip"] = Served(CONTENT)
        yield started


def test_a_download_is_a_job_that_is_done_once(new_project: Project, server: FileServer) -> None:
    printed = new_project.run(FILE)
    assert (new_project.folder / FILE).read_bytes() == CONTENT
    assert "data.zip: 100 % of 1.0 MB" in printed
    assert "data.zip: 100 %" in (new_project.folder / "results/logs/downloads/nds/data.zip.log").read_text()
    assert new_project.to_do(FILE) == {}
    new_project.run(FILE, "--force")
    assert (new_project.folder / FILE).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_only_other_bytes_are_a_reason_to_fetch_again(new_project: Project, server: FileServer, changed: Any) -> None:
    other = CONTENT[::-1]
    line = "    - name: data.zip\n"
    digest = f"{line}      checksum: sha256:{{}}\n"
    with changed(SOURCES, line, digest.format(hashlib.sha256(CONTENT).hexdigest())):
        new_project.run(FILE)
        with ExitStack() as edits:
            edits.enter_context(changed(SOURCES, "MIT (the repository;", "MIT (of the repository;"))
            edits.enter_context(
                changed(SOURCES, f"- url: {server.url}", f"- url: {server.url}/mirror\n        - url: {server.url}")
            )
            edits.enter_context(changed("naswot_ext/downloads.py", "import yaml", "import yaml\n\nNEW = 1"))
            assert new_project.to_do(FILE) == {}
    server.files["/data.zip"] = Served(other, etag='"second"')
    with changed(SOURCES, line, digest.format(hashlib.sha256(other).hexdigest())):
        assert new_project.to_do(FILE) == {"fetch": [FILE]}
        new_project.run(FILE)
    assert (new_project.folder / FILE).read_bytes() == other
    assert len(server.requests) == 2


def test_after_a_kill_of_the_whole_run_the_same_command_goes_on(new_project: Project, server: FileServer) -> None:
    # It cannot come to its end before it is killed.
    server.files["/data.zip"].stalls = [500_000]
    server.files["/data.zip"].seconds_a_block = 0.02
    process = new_project.start(FILE)
    deadline = time.monotonic() + 120
    while sum(part.stat().st_size for part in (new_project.folder / FILE).parent.rglob("*.part")) < 300_000:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (new_project.folder / FILE).exists()
    server.files["/data.zip"].seconds_a_block = 0
    new_project.run(FILE)
    assert (new_project.folder / FILE).read_bytes() == CONTENT
    assert [("Range" in request.headers) for request in server.requests] == [False, True]


def test_a_failed_download_says_what_to_do_and_leaves_no_file(new_project: Project, server: FileServer) -> None:
    server.files.clear()
    printed = new_project.run(FILE, fails=True)
    assert "HTTP 404" in printed
    assert "https://github.com/facebookresearch/nds. Put it anywhere and name it under `local`" in printed
    assert not Path(new_project.folder, FILE).exists()
