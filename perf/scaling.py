"""How the time and memory of scoring grow: with architectures, images, processes, and the workflow around them.

All scoring goes through the engine, one thread a process, on as many processes as said. By default up to 400
architectures, in a few minutes, and a line through them; `--whole` measures the whole search space, in an hour.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measure import report
from measure import seconds as timed
from score import memory

from naswot_ext.datasets import make_batch, save_batch
from naswot_ext.sampling import sample_architectures
from naswot_ext.scoring import score_architectures

ROOT = Path(__file__).resolve().parent.parent
GPU = Path(__file__).parent / "results" / "gpu.json"
SPACE = 15_625
MILLION = 1_000_000
# A new interpreter, as a job is.
PROCESSES = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    architectures: tuple[int, ...] = (25, 50, 100, 200, 400)
    batch: int = 128
    image: int = 32
    batches: tuple[int, ...] = (32, 64, 128, 256, 512)
    batch_architectures: int = 8
    processes: tuple[int, ...] = (1, 2)
    process_architectures: int = 40
    # On small images, so that what is kept of each architecture is not hidden behind its maps. In the first thousand,
    # the C library and Python fill what they keep for later.
    memory_architectures: tuple[int, ...] = (100, 1000, 3000)
    shards: tuple[int, ...] = (50, 200, 800)
    shards_run: int = 200
    jobs: int = 6
    repeats: int = 3


DEFAULT = Sizes()
WHOLE = Sizes(
    architectures=(100, 1000, 5000, SPACE),
    batch_architectures=60,
    process_architectures=400,
    memory_architectures=(100, 1000, SPACE),
    jobs=20,
)
TINY = Sizes((2, 3, 4), 4, 8, (2, 4), 2, (1, 2), 4, (2, 4), (3,), 3, 1, 1)


class Engine:
    """A process that scores as a job of the workflow does."""

    def __init__(self) -> None:
        self._pipe, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def start(self, indices: Iterable[int], batch: Path) -> None:
        """Let it score these on that batch."""
        self._pipe.send(([int(index) for index in indices], str(batch)))

    def wait(self) -> tuple[float, float]:
        """Seconds, and the peak of its resident memory in MB meanwhile."""
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise SystemExit(answer)
        return answer

    def score(self, indices: Iterable[int], batch: Path) -> tuple[float, float]:
        """Both."""
        self.start(indices, batch)
        return self.wait()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()


def _serve(pipe: Any) -> None:
    run = 0
    try:
        while True:
            indices, batch = pipe.recv()
            output = Path(batch).parent / f"{os.getpid()}-{run}.parquet"
            Path("/proc/self/clear_refs").write_text("5")  # forgets the last peak
            start = time.perf_counter()
            score_architectures("nasbench201", indices, "naswot", batch, 0, output, threads=1, progress=False)
            pipe.send((time.perf_counter() - start, memory("VmHWM")))
            run += 1
    except EOFError:
        pass
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def engine_of(batch: Path) -> Engine:
    """One that is warm."""
    engine = Engine()
    engine.score([5, 900], batch)
    return engine


def batch_file(folder: Path, batch: int, image: int) -> Path:
    """Standard-normal images."""
    path = folder / f"batch-{batch}-{image}.npz"
    save_batch(make_batch({"source": "gaussian", "image_size": image}, batch, seed=0), path)
    return path


def line(x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    """The least-squares line through points, R^2, and each point's distance from it as a fraction of the line."""
    slope, intercept = np.polyfit(x, y, 1)
    fitted = slope * np.asarray(x) + intercept
    rest = np.asarray(y) - fitted
    r2 = 1 - (rest**2).sum() / ((np.asarray(y) - np.mean(y)) ** 2).sum()
    return {
        "slope": float(slope),
        "intercept": float(intercept),
        "r2": float(r2),
        "residuals": {str(n): round(float(r / f), 4) for n, r, f in zip(x, rest, fitted, strict=True)},
    }


def by_architectures(sizes: Sizes, folder: Path, drawn: Sequence[int]) -> dict[str, Any]:
    """Seconds and peak memory of one process for ever more architectures."""
    batch = batch_file(folder, sizes.batch, sizes.image)
    engine = engine_of(batch)
    seconds, peaks = {}, {}
    for count in sizes.architectures:
        seconds[count], peaks[count] = engine.score(drawn[:count], batch)
        say(f"{count} architectures: {seconds[count]:.1f} s, {peaks[count]:.0f} MB at most")
    engine.close()
    fit = line(list(seconds), list(seconds.values()))
    return {
        "seconds_per_architecture": fit["slope"],
        "seconds_before_the_first": fit["intercept"],
        "linear_r2": fit["r2"],
        "residuals": fit["residuals"],
        "seconds_by_architectures": rounded(seconds),
        "peak_mb_by_architectures": rounded(peaks),
    }


def by_batch(sizes: Sizes, folder: Path, drawn: Sequence[int]) -> dict[str, Any]:
    """Seconds for one architecture, by images of a batch."""
    seconds: dict[int, float] = {}
    engine = None
    for size in sizes.batches:
        batch = batch_file(folder, size, sizes.image)
        engine = engine or engine_of(batch)
        times = [
            engine.score(drawn[: sizes.batch_architectures], batch)[0] / sizes.batch_architectures
            for _ in range(sizes.repeats)
        ]
        seconds[size] = statistics.median(times)
        say(f"{size} images: {seconds[size]:.4f} s an architecture")
    if engine:
        engine.close()
    fit = line(list(seconds), list(seconds.values()))
    return {"by_batch": rounded(seconds), "by_batch_r2": fit["r2"], "seconds_per_image": fit["slope"]}


def by_processes(sizes: Sizes, folder: Path, drawn: Sequence[int]) -> dict[str, Any]:
    """Seconds for one architecture, by processes side by side; they take turns, so that all meet the same noise."""
    batch = batch_file(folder, sizes.batch, sizes.image)
    engines = [engine_of(batch) for _ in range(max(sizes.processes))]
    times: dict[int, list[float]] = {count: [] for count in sizes.processes}
    for _ in range(sizes.repeats):
        for count in sizes.processes:
            start = time.perf_counter()
            for k, engine in enumerate(engines[:count]):
                engine.start(drawn[k : sizes.process_architectures : count], batch)
            for engine in engines[:count]:
                engine.wait()
            times[count].append((time.perf_counter() - start) / sizes.process_architectures)
    for engine in engines:
        engine.close()
    seconds = {count: statistics.median(each) for count, each in times.items()}
    for count, each in seconds.items():
        say(f"{count} processes: {each:.4f} s an architecture")
    first, last = sizes.processes[0], sizes.processes[-1]
    return {"by_processes": rounded(seconds), "speedup_of_processes": seconds[first] / seconds[last]}


def by_memory(sizes: Sizes, folder: Path, drawn: Sequence[int]) -> dict[str, Any]:
    """The peak of a new process for ever more architectures, on a few small images."""
    batch = batch_file(folder, 4, 8)
    engines = {count: Engine() for count in sizes.memory_architectures}
    for count, engine in engines.items():
        engine.start(drawn[:count], batch)
    peaks = {count: engine.wait()[1] for count, engine in engines.items()}
    for count, engine in engines.items():
        engine.close()
        say(f"{count} architectures on small images: {peaks[count]:.1f} MB at most")
    *_, fewer, most = peaks.values()
    return {"rss_mb_by_architectures": rounded(peaks), "rss_growth_mb": most - fewer}


def by_shards(sizes: Sizes, folder: Path, _: Sequence[int]) -> dict[str, Any]:
    """The workflow's own seconds: to plan a run of so many shards, to find nothing to do, and for a scoring job."""
    dry = {shards: 0.0 for shards in sizes.shards}
    for shards in sizes.shards:
        project = workflow_folder(folder / f"shards-{shards}", shards)
        dry[shards] = timed(lambda project=project: snakemake(project, "--dry-run"), sizes.repeats, warm_up=False)
        say(f"{shards} shards: dry run {dry[shards]:.2f} s")

    project = workflow_folder(folder / f"shards-{sizes.shards_run}", sizes.shards_run)
    # Nothing is scored: empty files stand for the results, and Snakemake is told that it has made them.
    for row in snakemake(project, "--summary").splitlines():
        if row.startswith("results/"):
            file = project / row.split("\t")[0]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    snakemake(project, "results/report.html", "--touch", "--forceall")

    def nothing() -> None:
        printed = snakemake(project)
        if "Nothing to be done" not in printed or "missing provenance" in printed:
            raise SystemExit(f"The run was not to find anything to do, but printed:\n{printed}")

    noop = timed(nothing, sizes.repeats, warm_up=False)
    say(f"{sizes.shards_run} shards: a run that has nothing to do {noop:.2f} s")
    job = job_seconds(folder / "jobs", sizes.jobs)
    say(f"a scoring job beside another: {job:.2f} s more than its scoring")
    fit = line(list(dry), list(dry.values())) if len(dry) > 1 else {"slope": 0.0}
    return {
        "dry_run_seconds": dry[sizes.shards_run],
        "dry_run_seconds_by_shards": rounded(dry),
        "seconds_per_shard_planned": fit["slope"],
        "noop_seconds": noop,
        "job_seconds": job,
    }


def job_seconds(folder: Path, jobs: int) -> float:
    """What each scoring job adds to a run: wall time, of jobs side by side whose scoring is next to nothing."""
    table = "results/scores/nasbench201/noise/naswot/seed-0.parquet"
    snakemake(workflow_folder(folder, 1, 1), table)
    project = workflow_folder(folder, 1 + jobs, 1)
    planned = timed(lambda: snakemake(project, table, "--dry-run"), 1, warm_up=False)
    return (timed(lambda: snakemake(project, table), 1, warm_up=False) - planned) / jobs


def workflow_folder(folder: Path, shards: int, shard_size: int | None = None) -> Path:
    """A working directory of the workflow with so many shards: of nearly all of NAS-Bench-201, or of this size."""
    size = shard_size or SPACE // shards
    folder.mkdir(exist_ok=True)
    config = {
        "batch_size": 4,
        "spaces": {"nasbench201": {"architectures": shards * size, "benchmark": {"source": "analog-nasbench"}}},
        "datasets": {"noise": {"source": "gaussian", "image_size": 8}},
        "proxies": ["naswot"],
        "searches": {"runs": 2, "algorithms": {"naswot": {"n_samples": [1]}}},
        "statistics": {"bootstrap": 20},
        "scoring": {"shard_size": size},
    }
    # JSON is YAML.
    (folder / "config.yaml").write_text(json.dumps(config))
    return folder


def snakemake(folder: Path, *arguments: str) -> str:
    """Run it in that folder; what it printed."""
    command = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", str(ROOT / "Snakefile")]
    command += ["--cores", str(cores()), "--configfile", "config.yaml"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def rounded(values: dict[int, float]) -> dict[str, float]:
    """For JSON."""
    return {str(key): float(f"{value:.5g}") for key, value in values.items()}


def say(text: str) -> None:
    """Print it at once."""
    print(text, flush=True)


def gpu_space_seconds() -> float | None:
    """The whole of NAS-Bench-201 on one GPU, where perf/gpu.py measured it."""
    if not GPU.is_file():
        return None
    measured = json.loads(GPU.read_text())
    return measured.get("space_seconds") if measured.get("benchmark") == "gpu" else None


def projections(figures: dict[str, Any], shard_size: int) -> dict[str, Any]:
    """To the whole of NAS-Bench-201 and to a million architectures of its kind, from what was measured.

    Scoring is taken to be linear in the number of architectures, at the speed-up of the processes that was measured;
    planning, linear in the number of shards; a job, to cost the same however many there are.
    """
    each = figures["seconds_per_architecture"] / figures["speedup_of_processes"]
    scoring = SPACE * each
    shards = -(-SPACE // shard_size)
    gpu = gpu_space_seconds()
    return {
        "space_seconds_projected": scoring,
        "overhead_fraction": (figures["dry_run_seconds"] + figures["noop_seconds"]) / scoring,
        "jobs_fraction": shards * figures["job_seconds"] / scoring,
        "jobs_fraction_of_200_shards": 200 * figures["job_seconds"] / scoring,
        "million_hours_projected": MILLION * each / 3600,
        "million_hours_of_jobs_projected": -(-MILLION // shard_size) * figures["job_seconds"] / 3600,
        "million_plan_seconds_projected": -(-MILLION // shard_size) * figures["seconds_per_shard_planned"],
        "million_hours_on_4_gpus_projected": None if gpu is None else MILLION / SPACE * gpu / 4 / 3600,
    }


PARTS = (by_architectures, by_batch, by_processes, by_memory, by_shards)


def main() -> None:
    """Print a line a measurement, then the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--whole", action="store_true", help="up to all 15,625 architectures")
    parser.add_argument("--rehearse", action="store_true", help="everything in tiny: measures nothing")
    parser.add_argument("--output", type=Path, help="write the JSON line there too")
    options = parser.parse_args()
    sizes = TINY if options.rehearse else WHOLE if options.whole else DEFAULT
    drawn = sample_architectures(SPACE, "all", seed=0)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            figures |= part(sizes, Path(folder), drawn)
    figures |= projections(figures, shard_size=250)
    name = "scaling rehearsal" if options.rehearse else "scaling"
    text = report(name, processes=max(sizes.processes), cores=cores(), **figures)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
