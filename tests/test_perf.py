"""The benchmarks of `perf/` run, on sizes at which they measure nothing."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from naswot_ext.sampling import sample_architectures
from tests.conftest import REPOSITORY

PERF = REPOSITORY / "perf"


@pytest.fixture
def perf() -> Iterator[None]:
    """The folder of the benchmarks is where modules are looked for, as it is for a script in it."""
    before = set(sys.modules)
    sys.path.insert(0, str(PERF))
    yield
    sys.path.remove(str(PERF))
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == PERF:
            del sys.modules[name]


@pytest.fixture
def gpu(perf: None) -> ModuleType:
    return importlib.import_module("gpu")


@pytest.fixture
def scaling(perf: None) -> ModuleType:
    return importlib.import_module("scaling")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, str(PERF / "gpu.py"), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_without_a_gpu_one_line_says_so_and_nothing_is_measured(tmp_path: Path) -> None:
    done = run("--output", str(tmp_path / "gpu.json"))
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "no GPU" in done.stderr
    assert not (tmp_path / "gpu.json").exists()


def test_a_rehearsal_runs_the_parts_and_ends_with_the_line_of_json(tmp_path: Path) -> None:
    parts = "kernel,slogdet,score,search,precision,layout,space"  # those that start no other program
    done = run("--rehearse", "--parts", parts, "--output", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures == json.loads((tmp_path / "gpu.json").read_text())
    assert figures["benchmark"] == "gpu rehearsal"
    assert figures["failures"] == {}
    assert figures["space_status"] == {"ok": 12, "singular": 0, "failed": 0}
    assert figures.keys() >= {
        "gpu",
        "copy_gb_per_s",
        "bandwidth_fraction",
        "dense_over_ours",
        "slogdet_batch_seconds",
        "ours_over_plain_forward",
        "paper_over_ours",
        "score_difference_to_cpu",
        "search_seconds",
        "tau_bfloat16",
        "channels_last_over_contiguous",
        "space_seconds",
        "machine",
    }


def run_part(gpu: ModuleType, part: Any, seconds: float = 20.0) -> tuple[dict[str, Any], list[str], str]:
    return gpu.run_part(part, gpu.TINY, "cpu", seconds)


def test_what_a_part_found_before_it_failed_is_kept(gpu: ModuleType) -> None:
    def part(bench: Any) -> None:
        bench.found(before=1)
        bench.check(2 > 3, "two is not more than three")
        raise ValueError("broken")

    assert run_part(gpu, part) == ({"before": 1}, ["two is not more than three", "ValueError: broken"], "")


def test_a_part_that_dies_is_a_failure(gpu: ModuleType) -> None:
    def part(bench: Any) -> None:
        bench.found(before=1)
        os.kill(os.getpid(), signal.SIGKILL)

    figures, failures, _ = run_part(gpu, part)
    assert figures == {"before": 1}
    assert failures == ["its process died with status -9"]


def test_a_part_that_hangs_is_ended_with_what_it_started(gpu: ModuleType) -> None:
    def part(bench: Any) -> None:
        bench.found(child=subprocess.Popen(["sleep", "600"]).pid)
        time.sleep(600)

    start = time.monotonic()
    figures, failures, _ = run_part(gpu, part, seconds=5)
    assert time.monotonic() - start < 120
    assert failures == ["not finished in 5 s"]
    while lives(figures["child"]):
        assert time.monotonic() - start < 120
        time.sleep(0.05)


def lives(process: int) -> bool:
    """Whether it is neither gone nor dead and waiting for its new parent."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_space_is_projected_where_there_is_no_time_for_all_of_it() -> None:
    # In another process: this one may have started threads of torch, which a fork would wait for.
    program = """
import dataclasses, json, gpu
sizes = dataclasses.replace(gpu.TINY, space=15_625, reserve=5.0, in_flight=(1,), processes=())
gpu.Bench.left = lambda bench: 8.0  # however long its process took to be warm
print(json.dumps(gpu.run_part(gpu.space, sizes, "cpu", 300.0)))
"""
    path = os.pathsep.join([str(PERF), str(REPOSITORY)])
    printed = subprocess.check_output([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": path}, text=True)
    figures, failures, _ = json.loads(printed.splitlines()[-1])
    assert failures == []
    assert "space_seconds" not in figures
    assert 6 <= figures["architectures"] < 15_625
    assert figures["space_seconds_projected"] > 10


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is measured then")
def test_the_operators_that_the_sanitizer_watches_run(gpu: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.operators("cpu")
    assert capsys.readouterr().out == "operators done\n"


def test_memory_is_measured_in_processes_of_their_own(scaling: ModuleType, tmp_path: Path) -> None:
    drawn = sample_architectures(15_625, 4, seed=0)
    found = scaling.by_memory(scaling.TINY, tmp_path, drawn)
    assert found["rss_mb_by_architectures"].keys() == {"2", "4"}
    assert -50 < found["rss_growth_mb"] < 50


def test_a_run_that_has_nothing_to_do_needs_nothing_scored(
    scaling: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "job_seconds", lambda folder, jobs: 1.0)
    found = scaling.by_shards(scaling.TINY, tmp_path, [])
    assert found["dry_run_seconds_by_shards"].keys() == {"3"}
    assert 0 < found["noop_seconds"] < 300
    assert (tmp_path / "shards-3/results/report.html").read_bytes() == b""


def test_a_line_gives_back_its_own_points(scaling: ModuleType) -> None:
    fit = scaling.line([1, 2, 4], [5.0, 7.0, 11.0])
    assert fit["slope"] == pytest.approx(2)
    assert fit["intercept"] == pytest.approx(3)
    assert fit["r2"] == pytest.approx(1)
    assert fit["residuals"] == {"1": 0, "2": 0, "4": 0}


def test_gpus_are_projected_from_a_measured_one_alone(
    scaling: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {
        "seconds_per_architecture": 0.2,
        "speedup_of_processes": 2.0,
        "dry_run_seconds": 3.0,
        "noop_seconds": 4.0,
        "job_seconds": 2.0,
        "seconds_per_shard_planned": 0.01,
    }
    measured = tmp_path / "gpu.json"
    monkeypatch.setattr(scaling, "GPU", measured)
    found = scaling.projections(figures, shard_size=250)
    assert found["space_seconds_projected"] == pytest.approx(1562.5)
    assert found["overhead_fraction"] == pytest.approx(7 / 1562.5)
    assert found["jobs_fraction"] == pytest.approx(63 * 2 / 1562.5)
    assert found["million_hours_projected"] == pytest.approx(1e5 / 3600)
    for other in ({"benchmark": "gpu rehearsal", "space_seconds": 1.0}, {"benchmark": "gpu", "score_seconds": 1.0}):
        measured.write_text(json.dumps(other))
        assert scaling.projections(figures, shard_size=250)["million_hours_on_4_gpus_projected"] is None
    measured.write_text(json.dumps({"benchmark": "gpu", "space_seconds": 90.0}))
    hours = scaling.projections(figures, shard_size=250)["million_hours_on_4_gpus_projected"]
    assert hours == pytest.approx(64 * 90 / 4 / 3600)
