"""A GPU job owns its GPU, shown on a machine without one by faking the driver's list of devices."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import stat
import time
import uuid
from collections.abc import Callable
from contextlib import nullcontext, redirect_stderr
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from naswot_ext import devices
from naswot_ext.errors import NaswotError

SPAWN = multiprocessing.get_context("fork")
UUIDS = [uuid.UUID(int=0x1111_0000_0000_0000 * (i + 1) << 64 | i) for i in range(4)]
MIG_UUIDS = [uuid.UUID(int=0xABC0 + i) for i in range(2)]


class Driver:
    """The CUDA driver of a machine with four GPUs, one of them split in two, as far as `devices` asks it.

    It reads CUDA_VISIBLE_DEVICES as CUDA does: indices, GPU or MIG UUIDs or the beginning of one, up to the first
    that there is none of. Without it, all GPUs. A cluster may show only some, which then count from 0.
    """

    def __init__(self) -> None:
        shown = os.environ.get("SHOWN_BY_THE_CLUSTER", "0,1,2,3")
        self.all = [UUIDS[int(i)] for i in shown.split(",")]

    def cuInit(self, flags: int) -> int:
        by_name = {f"GPU-{u}": u for u in self.all} | {f"MIG-{u}": u for u in MIG_UUIDS}
        self.visible = []
        for entry in os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(len(self.all))))).split(","):
            named = [u for name, u in by_name.items() if entry and name.startswith(entry)]
            if entry.isdigit():
                named = self.all[int(entry) :][:1]
            if len(named) != 1:
                break
            self.visible += named
        return 0 if self.visible else 100

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self.visible)
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:
        device._obj.value = 40 + ordinal  # a handle, not the ordinal
        return 0

    def cuDeviceGetUuid_v2(self, name: Any, device: ctypes.c_int) -> int:
        name._obj[:] = self.visible[device.value - 40].bytes
        return 0


@pytest.fixture(autouse=True)
def four_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A log; every process that claims a GPU writes a line as it gets it and one as it gives it back."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "locks").mkdir()
    monkeypatch.setattr(devices, "_LOCK_FOLDER", tmp_path / "locks")
    monkeypatch.setattr(devices, "_driver", Driver)
    monkeypatch.setattr(devices, "_make_current", lambda device: os.environ.update(CURRENT_DEVICE=device))
    (tmp_path / "log").touch()
    return tmp_path / "log"


def job(log: Path, seconds: float, together: int, environment: dict[str, str]) -> None:
    """Hold a GPU for so long, and until so many were held at the same time and none is to be kept."""
    os.environ.update(environment)
    said = log.with_name("said")
    with open(said, "a") as stderr, redirect_stderr(stderr), devices.claim("cuda", poll_seconds=0.01) as device:
        assert os.environ["CURRENT_DEVICE"] == device
        name = devices._gpu_names()[device].removeprefix("gpu-")
        with open(log, "a") as lines:
            lines.write(f"+{name}\n")
        wait_until(lambda: most_at_once(log) >= together and not log.with_name("keep").exists())
        time.sleep(seconds)
        with open(log, "a") as lines:
            lines.write(f"-{name}\n")


def start(log: Path, seconds: float, together: int = 1, **environment: str) -> multiprocessing.process.BaseProcess:
    process = SPAWN.Process(target=job, args=(log, seconds, together, environment))
    process.start()
    return process


def finish(jobs: list[multiprocessing.process.BaseProcess]) -> None:
    for process in jobs:
        process.join(300)
    assert [process.exitcode for process in jobs] == [0] * len(jobs)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def most_at_once(log: Path) -> int:
    """How many GPUs were taken at the same time; fails where one was taken twice."""
    busy: set[str] = set()
    most = 0
    for line in log.read_text().split():
        assert (line[1:] in busy) == (line[0] == "-"), f"two jobs on {line[1:]}"
        busy ^= {line[1:]}
        most = max(most, len(busy))
    return most


def test_nine_jobs_share_four_gpus_and_no_two_are_on_one(four_gpus: Path) -> None:
    finish([start(four_gpus, 0.05, together=4) for _ in range(9)])
    assert four_gpus.read_text().count("+") == 9
    assert most_at_once(four_gpus) == 4


def test_more_jobs_than_the_gpus_that_there_are_wait_and_say_so(four_gpus: Path) -> None:
    keep, said = four_gpus.with_name("keep"), four_gpus.with_name("said")
    keep.touch()
    said.touch()
    jobs = [start(four_gpus, 0.05, together=2, CUDA_VISIBLE_DEVICES="0,1") for _ in range(4)]
    wait_until(lambda: said.read_text().count("\n") >= 2)
    keep.unlink()
    finish(jobs)
    assert most_at_once(four_gpus) == 2
    assert said.read_text().splitlines() == ["Waiting for a GPU: other jobs have all 2."] * 2


def test_killed_holders_free_their_gpus(four_gpus: Path) -> None:
    holders = [start(four_gpus, 600) for _ in range(4)]
    wait_until(lambda: four_gpus.read_text().count("\n") == 4)
    next_log = four_gpus.with_name("next")
    next_log.touch()
    waiting = [start(next_log, 0.05, 2) for _ in range(3)]
    waiting[0].join(0.3)
    assert all(process.is_alive() for process in waiting), "all four are taken"
    for holder in holders[1:3]:
        os.kill(holder.pid or 0, signal.SIGKILL)
    killed = {line[1:] for line in four_gpus.read_text().split()}
    finish(waiting)
    assert {line[1:] for line in next_log.read_text().split()} <= killed
    assert most_at_once(next_log) == 2
    for holder in holders:
        holder.kill()
        holder.join()


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("2", [2]),
        ("3,1", [3, 1]),
        (f"GPU-{UUIDS[2]}", [2]),
        (f"GPU-{UUIDS[3]},GPU-{UUIDS[0]}", [3, 0]),
        (f"GPU-{str(UUIDS[1])[:6]}", [1]),
        ("1,7,2", [1]),
    ],
)
def test_only_gpus_in_cuda_visible_devices_are_taken_in_its_order(
    visible: str, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert list(devices._gpu_names().items()) == [(f"cuda:{i}", f"gpu-{UUIDS[e]}") for i, e in enumerate(expected)]


def test_one_gpu_under_several_numbers_and_names_is_still_one(four_gpus: Path) -> None:
    names = ["2", "3,2", f"GPU-{UUIDS[2]}", f"GPU-{str(UUIDS[2])[:6]}", "0,1,2,3", "2,0"]
    finish([start(four_gpus, 0.1, CUDA_VISIBLE_DEVICES=visible) for visible in names])
    most_at_once(four_gpus)


def test_the_instances_of_a_split_gpu_are_devices_of_their_own(four_gpus: Path) -> None:
    finish([start(four_gpus, 0.05, 2, CUDA_VISIBLE_DEVICES=f"MIG-{MIG_UUIDS[i % 2]}") for i in range(4)])
    assert {line[1:] for line in four_gpus.read_text().split()} == set(map(str, MIG_UUIDS))
    assert most_at_once(four_gpus) == 2


def test_slurms_own_assignment_holds(four_gpus: Path) -> None:
    # Two steps of one job that was given GPUs 1 and 3, and a third job whose only GPU is 0.
    given = {"SLURM_JOB_GPUS": "1,3", "CUDA_VISIBLE_DEVICES": "1,3"}
    jobs = [start(four_gpus, 0.1, **given) for _ in range(3)]
    jobs.append(start(four_gpus, 0.1, SLURM_JOB_GPUS="0", CUDA_VISIBLE_DEVICES="0"))
    finish(jobs)
    most_at_once(four_gpus)
    assert {line[1:] for line in four_gpus.read_text().split()} <= {str(UUIDS[i]) for i in (0, 1, 3)}


def test_gpus_that_slurm_hides_all_but_one_of_are_told_apart_though_each_is_number_0(four_gpus: Path) -> None:
    finish(
        [
            start(four_gpus, 0, 3, SLURM_JOB_GPUS=gpu, SHOWN_BY_THE_CLUSTER=gpu, CUDA_VISIBLE_DEVICES="0")
            for gpu in ("1", "2", "3")
        ]
    )
    assert most_at_once(four_gpus) == 3


def test_a_slurm_job_that_does_not_know_which_gpus_are_its_own_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_GPUS", "2,3")
    with pytest.raises(NaswotError, match="GPUs 2,3, but it sees 4"), devices.claim("cuda"):
        pass
    monkeypatch.setenv("SHOWN_BY_THE_CLUSTER", "2,3")
    with devices.claim("cuda") as device:
        assert device == "cuda:0"


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles"])
def test_a_gpu_job_without_gpus_says_so_and_runs_on_the_cpu(
    visible: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with devices.claim("cuda") as device:
        assert device == "cpu"
    assert "torch sees none" in capsys.readouterr().err


def test_a_cpu_job_takes_no_gpu(tmp_path: Path) -> None:
    with devices.claim("cpu") as device:
        assert device == "cpu"
    assert list((tmp_path / "locks").iterdir()) == []


def test_a_driver_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Driver, "cuInit", lambda self, flags: 999)
    with pytest.raises(NaswotError, match="cuInit failed with error 999"), devices.claim("cuda"):
        pass


def test_a_lock_serves_other_users_too_whatever_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        with devices.claim("cuda"):
            (lock,) = (tmp_path / "locks").iterdir()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(lock.stat().st_mode) == 0o644
    lock.chmod(0o444)  # as to a user who may only read it
    with devices.claim("cuda") as device:
        assert device == "cuda:0"


def test_a_lock_that_was_removed_and_made_again_is_not_taken_for_the_one_that_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flock = tmp_path / "lock", devices.fcntl.flock

    def removed_just_before(lock: int, how: int) -> None:
        monkeypatch.setattr(devices.fcntl, "flock", flock)
        path.unlink()
        flock(lock, how)

    monkeypatch.setattr(devices.fcntl, "flock", removed_just_before)
    held = devices._try_lock(path)
    assert held is not None
    assert os.path.samestat(os.fstat(held), path.stat())
    os.close(held)


def test_locks_that_cannot_be_taken_are_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locks" / f"naswot-gpu-{UUIDS[0]}.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NaswotError, match="cannot be taken"), devices.claim("cuda"):
        pass
    monkeypatch.setattr(devices, "_LOCK_FOLDER", tmp_path / "gone")
    with pytest.raises(NaswotError, match=r"The lock of a GPU, .*gone.*No such file"), devices.claim("cuda"):
        pass


def test_a_gpu_that_a_block_runs_on_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    current: list[str] = []
    monkeypatch.setattr(torch.cuda, "device", lambda name: nullcontext(current.append(name)))
    for name in ("cpu", "cuda:1"):
        with devices.running_on(name):
            pass
    assert current == ["cuda:1"]


class Operators(TorchDispatchMode):
    """The names of the operators that torch runs inside."""

    def __enter__(self) -> Any:
        self.names: list[str] = []
        return super().__enter__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def test_the_numbers_of_a_network_are_filled_in_on_the_device_that_it_is_built_on() -> None:
    with Operators() as plainly, torch.device("meta"):
        nn.BatchNorm2d(3)
    assert plainly.names.count("aten::full") == 0
    with Operators() as ours, devices.building_on("meta"):
        network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Linear(3, 3))
    assert ours.names.count("aten::full") == 1, "BatchNorm's counter"
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}
    assert network[1].num_batches_tracked.dtype == torch.int64


def test_a_device_inside_is_taken_and_the_one_around_it_after() -> None:
    with devices.building_on("meta"):
        with torch.device("cpu"):
            assert nn.BatchNorm2d(2).num_batches_tracked.device.type == "cpu"
        assert nn.BatchNorm2d(2).num_batches_tracked.device.type == "meta"
    assert torch.tensor(0, dtype=torch.int64).device.type == "cpu"


def test_numbers_become_the_tensors_that_they_are_elsewhere() -> None:
    with devices._WithoutCopies("cpu"):
        for number, dtype in ((0, torch.int64), (2.5, torch.float64), (True, torch.bool), (7, None), (2.5, None)):
            ours = torch.tensor(number, dtype=dtype)
            assert (ours.dtype, ours.shape, ours.item()) == (dtype or ours.dtype, (), number)
        assert torch.tensor(7).dtype == torch.int64
        assert torch.tensor([1.0, 2.0]).tolist() == [1.0, 2.0]
        assert torch.tensor(1.0, dtype=torch.float32, requires_grad=True).requires_grad
