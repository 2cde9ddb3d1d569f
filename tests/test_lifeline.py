"""Jobs end with the process that started them, however it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from naswot_ext.lifeline import VARIABLE

# What follows prints its number and waits for longer than any test.
JOB = """
import os, time
from naswot_ext.lifeline import follow
follow()
print(os.getpid(), flush=True)
time.sleep(3600)
"""
MAIN = f"""
import subprocess, sys
from naswot_ext.lifeline import hold
hold(sys.argv[1])
subprocess.run([sys.executable, "-c", {JOB!r}])
"""
ENDED = "import sys; from naswot_ext.lifeline import hold; hold(sys.argv[1])"


def _start(code: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True, env=os.environ | environment
    )


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_ends_with_the_process_that_started_it(how: signal.Signals, tmp_path: Path) -> None:
    main = _start(MAIN, tmp_path)
    assert main.stdout
    job = int(main.stdout.readline())
    assert _lives(job)
    main.send_signal(how)
    main.wait()
    until = time.monotonic() + 60
    while _lives(job):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_job_that_starts_after_its_process_has_been_killed_ends_at_once(tmp_path: Path) -> None:
    left = tmp_path / "left.lock"
    left.touch()
    for file in (left, tmp_path / "removed.lock"):
        job = _start(JOB, tmp_path, **{VARIABLE: str(file)})
        assert job.communicate(timeout=60)[0] == ""
        assert job.returncode == 1


def test_a_job_that_nobody_holds_goes_on(tmp_path: Path) -> None:
    job = _start(JOB.replace("3600", "0"), tmp_path)
    assert job.communicate(timeout=60)[0].strip() == str(job.pid)
    assert job.returncode == 0


def test_a_process_that_ends_leaves_nothing_and_the_next_removes_what_killed_ones_have_left(tmp_path: Path) -> None:
    main = _start(MAIN, tmp_path)
    assert main.stdout
    main.stdout.readline()
    left = set(tmp_path.iterdir())
    assert len(left) == 1
    assert _start(ENDED, tmp_path).wait() == 0
    assert set(tmp_path.iterdir()) == left  # its holder lives
    main.kill()
    main.wait()
    main.stdout.read()  # until its job has ended, too
    assert _start(ENDED, tmp_path).wait() == 0
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_jobs_are_told_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code = f"import os; os.environ[{VARIABLE!r}] = 'x'; {ENDED}; print({VARIABLE!r} in os.environ)"
    assert _start(code, tmp_path / "file" / "folder").communicate(timeout=60)[0].strip() == "False"
