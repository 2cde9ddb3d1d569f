"""A GPU job owns its GPU, shown on a machine without one by faking the list of devices."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from naswot_ext import devices

SPAWN = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def four_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(devices, "_gpu_names", lambda: {f"cuda:{i}": f"gpu-{i}" for i in range(4)})
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))


def job(log: Path, seconds: float) -> None:
    with devices.claim("cuda", poll_seconds=0.01) as device:
        with open(log, "a") as lines:
            lines.write(f"+{device}\n")
        time.sleep(seconds)
        with open(log, "a") as lines:
            lines.write(f"-{device}\n")


def start(log: Path, seconds: float) -> multiprocessing.process.BaseProcess:
    process = SPAWN.Process(target=job, args=(log, seconds))
    process.start()
    return process


def test_nine_jobs_share_four_gpus_and_no_two_are_on_one(tmp_path: Path) -> None:
    jobs = [start(tmp_path / "log", 0.2) for _ in range(9)]
    for process in jobs:
        process.join(60)
    assert [process.exitcode for process in jobs] == [0] * 9
    busy: set[str] = set()
    most = 0
    for line in (tmp_path / "log").read_text().split():
        device = line[1:]
        assert (device in busy) == (line[0] == "-"), f"two jobs on {device}"
        busy ^= {device}
        most = max(most, len(busy))
    assert most == 4


def test_a_killed_holder_frees_its_gpu(tmp_path: Path) -> None:
    holders = [start(tmp_path / "log", 600) for _ in range(4)]
    deadline = time.monotonic() + 30
    while not (tmp_path / "log").exists() or (tmp_path / "log").read_text().count("\n") < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    waiting = start(tmp_path / "next", 0)
    waiting.join(0.3)
    assert waiting.is_alive(), "all four are taken: the fifth waits"
    os.kill(holders[2].pid or 0, signal.SIGKILL)
    waiting.join(30)
    assert waiting.exitcode == 0
    for holder in holders:
        holder.kill()
        holder.join()


def test_a_gpu_job_without_gpus_says_so_and_runs_on_the_cpu(monkeypatch, capsys) -> None:
    monkeypatch.setattr(devices, "_gpu_names", dict)
    with devices.claim("cuda") as device:
        assert device == "cpu"
    assert "torch sees none" in capsys.readouterr().err


def test_a_cpu_job_takes_no_gpu(tmp_path: Path) -> None:
    with devices.claim("cpu") as device:
        assert device == "cpu"
    assert list(tmp_path.iterdir()) == []
