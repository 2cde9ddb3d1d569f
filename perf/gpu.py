"""Every check and benchmark of a GPU, in one command of less than 8 minutes on one H200: `python perf/gpu.py`.

Each part runs in a process of its own and hands over each figure as soon as it has it: one that fails, hangs or loses
the device costs the others nothing. The last line is JSON; what went wrong stands in it under `failures`, and the exit
status is then 1. Without a GPU nothing is measured. `--rehearse` runs all parts on the CPU, on tiny sizes: it proves
the script, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import multiprocessing
import multiprocessing.connection
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import hamming
import numpy as np
import torch
from measure import report
from score import GOLDEN, SPACE, paper_score
from torch import Tensor, nn

from naswot_ext import activation, build_info, devices, fused, ops
from naswot_ext.datasets import load_batch, make_batch, save_batch
from naswot_ext.precision import numerics
from naswot_ext.provenance import read_table
from naswot_ext.proxies import PROXIES, Images
from naswot_ext.sampling import sample_architectures
from naswot_ext.scoring import prepare_process, score_architectures
from naswot_ext.spaces import SPACES

ROOT = Path(__file__).resolve().parent.parent
# Forked, so that no part has to import torch again: this process never starts CUDA, nor threads of torch.
PROCESSES = multiprocessing.get_context("fork")
PROXY = PROXIES.get("naswot")
# Scores of two devices, or of the fused pass and the plain modules, on the same weights differ where a pre-activation
# is zero to within rounding. This is about half of what two initialisations differ by.
TOLERANCE = 0.5
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Sizes:
    """How much each part does."""

    batch: int = 128
    image: int = 32
    copy_bytes: int = 2**32
    units: tuple[int, ...] = (2**20, 2**22)
    buffers_bytes: int = 3 * 2**31
    rounds: int = 15
    kernels: int = 1024
    architectures: int = 40
    turns: int = 5
    compared: int = 8
    sample: int = 500
    space: int = 15_625
    in_flight: tuple[int, ...] = (16, 64, 256)
    processes: tuple[int, ...] = (2, 4, 8)
    search: int = 100
    precisions: tuple[str, ...] = ("float32", "tf32", "bfloat16")
    # Seconds that are kept for the parts after the whole space.
    reserve: float = 75.0


FULL = Sizes()
TINY = Sizes(
    batch=8,
    image=8,
    copy_bytes=2**20,
    units=(2**10, 2**12),
    buffers_bytes=2**20,
    rounds=2,
    kernels=3,
    architectures=2,
    turns=2,
    compared=2,
    sample=6,
    space=12,
    in_flight=(1, 2),
    processes=(2,),
    search=4,
    precisions=("float32", "bfloat16"),
    reserve=1.0,
)


@dataclass(frozen=True)
class Bench:
    """What a part is given: how much to do, where, until when, and a way to hand over what it finds."""

    sizes: Sizes
    device: str
    deadline: float
    hand_over: Callable[[str, Any], None]

    @property
    def cuda(self) -> bool:
        """Whether this is the real thing."""
        return self.device != "cpu"

    def left(self) -> float:
        """Seconds until this part has to be done."""
        return self.deadline - time.monotonic()

    def found(self, **figures: Any) -> None:
        """Hand over figures."""
        for name, figure in figures.items():
            print(f"  {name}: {figure:.5g}" if isinstance(figure, float) else f"  {name}: {figure}", flush=True)
        self.hand_over("figures", figures)

    def check(self, holds: bool, otherwise: str) -> None:
        """Record a failure unless this holds, and go on."""
        if not holds:
            print(f"  FAILED: {otherwise}", flush=True)
            self.hand_over("failure", otherwise)

    def wait(self) -> None:
        """Until the device has done all that was launched."""
        devices.synchronise(self.device)

    def seconds_per_call(self, calls: Sequence[Callable[[], object]]) -> float:
        """The device's seconds for one of `calls`: the median over rounds in which they follow one another."""
        rounds = []
        for _ in range(self.sizes.rounds + 1):
            if self.cuda:
                start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                start.record()
                for call in calls:
                    call()
                end.record()
                end.synchronize()
                rounds.append(start.elapsed_time(end) / 1000 / len(calls))
            else:
                begin = time.perf_counter()
                for call in calls:
                    call()
                rounds.append((time.perf_counter() - begin) / len(calls))
        return statistics.median(rounds[1:])

    def timed(self, run: Callable[[], object]) -> float:
        """Wall seconds of one run, from an idle device to an idle device."""
        self.wait()
        start = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - start

    @contextmanager
    def no_waiting(self) -> Iterator[None]:
        """Inside, an operation that waits for the device raises."""
        if not self.cuda:
            yield
            return
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    @contextmanager
    def batch_file(self) -> Iterator[Path]:
        """The images that all parts score on, as the engine reads them; the folder is for tables."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "batch.npz")
            options = {"source": "gaussian", "image_size": self.sizes.image}
            save_batch(make_batch(options, self.sizes.batch, seed=0), path)
            yield path

    def images(self, device: str) -> Tensor:
        """The same images, contiguous on a device."""
        with self.batch_file() as path:
            return torch.from_numpy(load_batch(path).images).to(device)


def machine(bench: Bench) -> None:
    """The GPU, its driver, and the libraries; nothing where there is no GPU, or no operators for it."""
    if not bench.cuda:
        bench.found(gpu={"name": "none: a rehearsal on the CPU"})
        return
    if not torch.cuda.is_available():
        bench.hand_over("stop", f"torch {torch.__version__} sees no GPU")
        return
    if not build_info()["cuda"]:
        bench.hand_over("stop", "naswot's library was built without CUDA")
        return
    properties = torch.cuda.get_device_properties(bench.device)
    wanted = "driver_version,power.limit,clocks.max.sm,clocks.max.mem"
    query = ["nvidia-smi", f"--query-gpu={wanted}", "--format=csv,noheader"]
    told = subprocess.run(query, capture_output=True, text=True, check=False).stdout if shutil.which(query[0]) else ""
    driver, *limits = told.splitlines()[0].split(", ") if told else ["unknown"]
    bench.found(
        gpu={
            "name": properties.name,
            "memory_gb": round(properties.total_memory / 1e9, 1),
            "multiprocessors": properties.multi_processor_count,
            "l2_mb": round(getattr(properties, "L2_cache_size", 0) / 2**20),
            "capability": f"{properties.major}.{properties.minor}",
            "driver": driver,
            "power_and_clock_limits": limits,
            "cuda_of_torch": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "torch": torch.__version__,
            "cpu_cores": len(os.sched_getaffinity(0)),
        }
    )


def tests(bench: Bench) -> None:
    """The tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["tests/ops/test_cuda.py", "tests/scoring/test_cuda.py"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines() or [""]
    counts = {kind: int(number) for number, kind in re.findall(r"(\d+) (passed|failed|skipped|error)", lines[-1])}
    bench.found(
        tests_passed=counts.get("passed", 0),
        tests_failed=counts.get("failed", 0) + counts.get("error", 0),
        tests_skipped=counts.get("skipped", 0),
    )
    bad = [line for line in lines if line.startswith(("FAILED", "ERROR"))][:20]
    if bad or done.returncode != 0:
        print(done.stdout[-20_000:], flush=True)
    bench.check(done.returncode == 0, f"pytest ended with {done.returncode}: {'; '.join(bad) or lines[-1]}")
    bench.check(not bench.cuda or counts.get("passed", 0) > 0, f"no test of the GPU ran: {lines[-1]}")


def kernel(bench: Bench) -> None:
    """`hamming_accumulate_`: its bits against the CPU's, its speed against a copy and against dense products."""
    sizes, device = bench.sizes, bench.device
    for dtype in DTYPES:
        for units in (33, 40_001, 2**16):
            x = torch.randn(sizes.batch, units, device=device).to(dtype)
            x[0, 0], x[-1, -1] = torch.nan, torch.inf
            _check_as_on_the_cpu(bench, x)

    source = torch.randn(sizes.copy_bytes // 4, device=device)
    target = torch.empty_like(source)
    copy_rate = 2 * source.nbytes / bench.seconds_per_call([functools.partial(target.copy_, source)] * 4)
    bench.found(copy_gb_per_s=copy_rate / 1e9)
    del source, target

    by_units: dict[str, dict[str, float]] = {}
    for units in sizes.units:
        # So many that together they are far larger than any cache.
        count = max(2, sizes.buffers_bytes // (4 * sizes.batch * units))
        buffers = [torch.randn(sizes.batch, units, device=device) for _ in range(count)]
        _check_as_on_the_cpu(bench, buffers[0])
        total = torch.zeros(sizes.batch, sizes.batch, dtype=torch.int64, device=device)
        nonfinite = torch.zeros(1, dtype=torch.int64, device=device)
        on_host = np.zeros((sizes.batch, sizes.batch))
        calls = [lambda x=x, k=total, n=nonfinite: ops.hamming_accumulate_(k, x, n) for x in buffers]
        rate = buffers[0].nbytes / bench.seconds_per_call(calls * max(1, 16 // count))

        def ours(x: Tensor, k: Tensor = total, n: Tensor = nonfinite) -> None:
            ops.hamming_accumulate_(k, x, n)
            bench.wait()

        def dense(x: Tensor, on_host: np.ndarray = on_host) -> None:
            hamming.dense(on_host, x)

        seconds = hamming.medians({"ours": ours, "dense": dense}, buffers[:2], min(5, sizes.rounds))
        by_units[str(units)] = {
            "read_gb_per_s": round(rate / 1e9, 2),
            "bandwidth_fraction": round(rate / copy_rate, 4),
            "dense_over_ours": round(seconds["dense"] / seconds["ours"], 2),
        }
        bench.found(kernel_by_units=by_units)
        del buffers, calls
    bench.found(
        bandwidth_fraction=min(x["bandwidth_fraction"] for x in by_units.values()),
        dense_over_ours=statistics.median(x["dense_over_ours"] for x in by_units.values()),
    )


def _check_as_on_the_cpu(bench: Bench, x: Tensor) -> None:
    results = []
    for activations in (x, x.cpu()):
        total = torch.zeros(len(x), len(x), dtype=torch.int64, device=activations.device)
        nonfinite = torch.zeros(1, dtype=torch.int64, device=activations.device)
        ops.hamming_accumulate_(total, activations, nonfinite)
        results.append((total.cpu(), nonfinite.cpu()))
    same = all(torch.equal(ours, expected) for ours, expected in zip(*results, strict=True))
    bench.check(same, f"hamming_accumulate_ on {tuple(x.shape)} {x.dtype} is not the CPU's")


def slogdet(bench: Bench) -> None:
    """The determinants of many kernels in one call."""
    sizes = bench.sizes
    codes = (torch.randn(sizes.kernels, sizes.batch, 700, device=bench.device) > 0).float()
    kernels = (codes @ codes.mT + (1 - codes) @ (1 - codes).mT).long()
    bench.found(slogdet_batch_seconds=bench.seconds_per_call([lambda: ops.slogdet(kernels)]))
    sign, logabsdet = ops.slogdet(kernels)
    expected_sign, expected = ops.slogdet(kernels.cpu())
    # The pivots are the same bits; the devices' logarithms may differ in the last one.
    same = torch.equal(sign.cpu(), expected_sign) and torch.allclose(logabsdet.cpu(), expected, rtol=4e-16, atol=1e-15)
    bench.check(same, f"slogdet of {sizes.kernels} kernels is not the CPU's")
    with bench.no_waiting():
        ops.slogdet(kernels)


def _golden(bench: Bench) -> list[str]:
    with open(GOLDEN, newline="") as file:
        return [row["arch"] for row in csv.DictReader(file)][: bench.sizes.architectures]


def _build(architecture: str, device: str) -> nn.Module:
    with devices.building_on(device):
        return SPACE.build(architecture)


def _score(architectures: Sequence[str], images: Images) -> list[float]:
    """As the engine does: build and launch all of them, then wait once."""
    assert PROXY.launch is not None
    assert PROXY.finish is not None
    device = str(images.images.device)
    results = PROXY.finish([PROXY.launch(_build(each, device), images) for each in architectures])
    for result in results:
        if isinstance(result, Exception):
            raise result
    return [result.score for result in results]


def score(bench: Bench) -> None:
    """Scoring against the plain forward pass and the paper's way, in turn; and its agreement with other ways."""
    architectures, batch = _golden(bench), bench.images(bench.device)
    images = Images(batch, None, 1)
    prepare_process(1)
    with numerics("float32"):
        _compare_scores(bench, architectures[: bench.sizes.compared], batch)
        plain = [_build(each, bench.device).train() for each in architectures]

        @torch.no_grad()
        def run_plain() -> None:
            for network in plain:
                network(batch)

        ways: dict[str, Callable[[], object]] = {
            "plain": run_plain,
            "ours": lambda: _score(architectures, images),
            "alone": lambda: [_score([each], images) for each in architectures],
            "paper": lambda: [paper_score(_build(each, bench.device).train(), batch) for each in architectures],
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(bench.sizes.turns + 1):
            for way, run in ways.items():
                elapsed = bench.timed(run)
                if turn:  # the first one warms up
                    seconds[way].append(elapsed / len(architectures))
            if turn:
                ratio: Callable[[str, str], float] = lambda a, b: statistics.median(  # noqa: E731
                    x / y for x, y in zip(seconds[a], seconds[b], strict=True)
                )
                # At each turn, so that a later one that fails loses nothing.
                bench.found(
                    ours_over_plain_forward=ratio("ours", "plain"),
                    ours_alone_over_plain_forward=ratio("alone", "plain"),
                    paper_over_ours=ratio("paper", "ours"),
                    seconds={way: float(f"{statistics.median(times):.5g}") for way, times in seconds.items()},
                )


def _compare_scores(bench: Bench, architectures: Sequence[str], batch: Tensor) -> None:
    """On the same weights: this device, the CPU, and this device's plain modules."""
    on_cpu = batch.cpu().contiguous(memory_format=torch.channels_last)
    differences: dict[str, list[float]] = {"cpu": [], "plain_modules": []}
    for architecture in architectures:
        torch.manual_seed(0)
        network = SPACE.build(architecture)
        elsewhere = float(activation.score(network, on_cpu))
        network = network.to(bench.device)
        ours = float(activation.score(network, batch))
        # A network with a hook runs by its modules.
        network.register_forward_hook(lambda *_: None)
        plain = float(activation.score(network, batch))
        differences["cpu"].append(abs(ours - elsewhere))
        differences["plain_modules"].append(abs(ours - plain))
    for other, found in differences.items():
        bench.found(**{f"score_difference_to_{other}": max(found)})
        bench.check(max(found) <= TOLERANCE, f"scores differ by {max(found)} from those of {other}")


def layout(bench: Bench) -> None:
    """The fused pass on maps in the other layout: what `fused` calls contiguous is made channels_last."""
    architectures, images = _golden(bench), Images(bench.images(bench.device), None, 1)
    other = _OtherLayout()
    prepare_process(1)
    ratios = []
    with numerics("float32"):
        for turn in range(bench.sizes.turns + 1):
            contiguous = bench.timed(lambda: _score(architectures, images))
            with mock.patch.object(fused, "torch", other):
                channels_last = bench.timed(lambda: _score(architectures, images))
            if turn:
                ratios.append(channels_last / contiguous)
    if bench.cuda and not other.asked:
        bench.check(False, "fused asks for torch.contiguous_format no more, so the layouts cannot be compared this way")
        return
    bench.found(channels_last_over_contiguous=statistics.median(ratios))


class _OtherLayout:
    """The module torch, with another name for contiguous."""

    asked = False

    def __getattr__(self, name: str) -> Any:
        if name == "contiguous_format":
            self.asked = True
            return torch.channels_last
        return getattr(torch, name)


def search(bench: Bench) -> None:
    """A live search: draw, build, score, choose. The process is warm."""
    with bench.batch_file() as batch:
        times = []
        for turn in range(4):
            start = time.perf_counter()
            drawn = sample_architectures(len(SPACES.get("nasbench201")), bench.sizes.search, seed=turn)
            table = _score_to_table(bench, drawn, batch, f"search-{turn}")
            best = table.loc[table["score"].idxmax(), "arch"]
            times.append(time.perf_counter() - start)
        print(f"  the last search chose {best}")
        bench.found(search_seconds=statistics.median(times[1:]), search_samples=bench.sizes.search)


def _score_to_table(bench: Bench, indices: Sequence[int], batch: Path, name: str, **options: Any) -> Any:
    output = batch.with_name(f"{name}.parquet")
    settings = {"device": bench.device, "progress": False, **options}
    score_architectures("nasbench201", indices, "naswot", batch, 0, output, **settings)
    return read_table(output)


def precision(bench: Bench) -> None:
    """Faster arithmetic: its seconds, and whether it ranks architectures as float32 does."""
    drawn = sample_architectures(len(SPACES.get("nasbench201")), bench.sizes.sample, seed=1)
    with bench.batch_file() as batch:
        scores, seconds = {}, {}
        for name in bench.sizes.precisions:
            _score_to_table(bench, drawn[:2], batch, f"{name}-warm", precision=name)
            start = time.perf_counter()
            scores[name] = _score_to_table(bench, drawn, batch, name, precision=name)["score"]
            seconds[name] = float(f"{time.perf_counter() - start:.5g}")
            bench.found(precision_seconds=seconds, precision_sample=len(drawn))
            if name == "float32":
                continue
            # Here, because it needs scipy, which the rest does without.
            from naswot_ext.statistics import kendall

            exact, rounded = scores["float32"].to_numpy(), scores[name].to_numpy()
            scored = ~(np.isnan(exact) | np.isnan(rounded))
            bench.found(**{f"tau_{name}": kendall(exact[scored], rounded[scored])})


class Feeder:
    """A process that scores what it is told to, and is warm before the first time."""

    def __init__(self, bench: Bench, batch: Path, number: int) -> None:
        self.pipe, theirs = PROCESSES.Pipe()
        self.process = PROCESSES.Process(target=self._work, args=(bench, batch, number, theirs), daemon=True)
        self.process.start()
        theirs.close()

    @staticmethod
    def _work(bench: Bench, batch: Path, number: int, pipe: Any) -> None:
        try:
            indices: Sequence[int] = [5, 900]
            for run in range(10**6):
                if run:
                    indices, in_flight = pipe.recv()
                else:
                    in_flight = 2
                table = _score_to_table(bench, indices, batch, f"space-{number}-{run}", in_flight=in_flight)
                peak = torch.cuda.max_memory_allocated(bench.device) / 2**20 if bench.cuda else 0.0
                counts = {status: int((table["status"] == status).sum()) for status in ("ok", "singular", "failed")}
                pipe.send((counts, peak, next(iter(table.loc[table["status"] == "failed", "error"]), "")))
        except EOFError:
            pass
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}")

    def answer(self) -> tuple[dict[str, int], float, str]:
        """Wait for what it was told last (at first: for it to be warm)."""
        answer = self.pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer


def space(bench: Bench) -> None:
    """The whole search space through the engine, the way that was fastest on a sample.

    Processes that feed the device take the place of its idle time on the host; they are started and warm before.
    """
    sizes = bench.sizes
    drawn = sample_architectures(len(SPACES.get("nasbench201")), sizes.space, seed=0)
    with bench.batch_file() as batch:
        feeders = []

        def run(indices: Any, in_flight: int, processes: int) -> tuple[float, dict[str, int], float, str]:
            while len(feeders) < processes:
                feeders.append(Feeder(bench, batch, len(feeders)))
                feeders[-1].answer()
            start = time.perf_counter()
            for k, feeder in enumerate(feeders[:processes]):
                feeder.pipe.send((indices[k::processes], in_flight))
            answers = [feeder.answer() for feeder in feeders[:processes]]
            elapsed = time.perf_counter() - start
            counts = {key: sum(each[0][key] for each in answers) for key in answers[0][0]}
            return elapsed, counts, sum(each[1] for each in answers), max(each[2] for each in answers)

        by_setting: dict[tuple[int, int], float] = {}

        def try_setting(in_flight: int, processes: int) -> float:
            by_setting[processes, in_flight] = run(drawn[: sizes.sample], in_flight, processes)[0] / sizes.sample
            rates = {f"{p} x {n}": round(1 / s, 1) for (p, n), s in by_setting.items()}
            bench.found(architectures_per_second_by_processes_and_in_flight=rates)
            return by_setting[processes, in_flight]

        for in_flight in sizes.in_flight:
            # A try costs no more than a twentieth of what is left.
            if not by_setting or min(by_setting.values()) * sizes.sample < bench.left() / 20:
                try_setting(in_flight, 1)
        alone = min(by_setting.values())
        _, in_flight = min(by_setting, key=by_setting.__getitem__)
        bench.found(space_seconds_one_process_projected=alone * sizes.space)
        for processes in sizes.processes:
            before = min(by_setting.values())
            # The first figure, of one process, is noisier than 3%.
            if before * sizes.sample > bench.left() / 20 or try_setting(in_flight, processes) > 0.97 * before:
                break
        processes, in_flight = min(by_setting, key=by_setting.__getitem__)
        each = by_setting[processes, in_flight]
        # A tenth more, as a sample is one.
        count = min(sizes.space, int((bench.left() - sizes.reserve) / (1.1 * each)))
        bench.found(space_processes=processes, space_in_flight=in_flight, space_seconds_projected=each * sizes.space)
        if count < sizes.sample:
            bench.check(False, f"{bench.left():.0f} s are left: too few for more than the sample")
            return
        elapsed, counts, peak, reason = run(drawn[:count], in_flight, processes)
        bench.found(architectures=count, space_status=counts, device_peak_mb=peak)
        if count == sizes.space:
            bench.found(space_seconds=elapsed)
        bench.found(space_seconds_projected=elapsed / count * sizes.space)
        bench.check(counts["failed"] == 0, f"{counts['failed']} architectures failed, such as: {reason}")


def sanitizer(bench: Bench) -> None:
    """compute-sanitizer on small calls of each operator."""
    tool = shutil.which("compute-sanitizer") or next(
        (str(p) for p in sorted(Path("/usr/local").glob("cuda*/bin/compute-sanitizer"))), None
    )
    found: dict[str, str] = {}
    for check in ("memcheck", "racecheck"):
        if tool is None and bench.cuda:
            found[check] = "not available: no compute-sanitizer in PATH or /usr/local/cuda*/bin"
            continue
        script = [sys.executable, __file__, "--operators", bench.device]
        prefix = [tool, "--tool", check, "--error-exitcode", "86"] if tool and bench.cuda else []
        limit = max(1.0, (bench.left() - 3) / (2 if check == "memcheck" else 1))
        try:
            done = subprocess.run(
                [*prefix, *script],
                # Each tensor in memory of its own, so that what is read beside it is seen.
                env=os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            found[check] = f"not finished in {limit:.0f} s"
            bench.check(False, f"{check}: {found[check]}")
            continue
        summaries = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", done.stdout)
        if "Device not supported" in done.stdout:
            found[check] = "not available: the device is not supported here"
        elif done.returncode == 0 and "operators done" in done.stdout and (summaries or not prefix):
            found[check] = summaries[-1] if prefix else "rehearsed without the tool"
        else:
            found[check] = (summaries or ["no summary"])[-1]
            print(done.stdout[-10_000:], flush=True)
            bench.check(False, f"{check} ended with {done.returncode}: {done.stdout[-500:]}")
    bench.found(sanitizer=found)


def operators(device: str) -> None:
    """Small calls of each operator, on shapes that take all ways through the kernels."""
    normal: Callable[..., Tensor] = lambda *shape: torch.randn(*shape).to(device)  # noqa: E731
    integers = {"dtype": torch.int64, "device": device}
    for images, units in ((5, 33), (17, 2600), (128, 1024), (128, 40_001), (130, 512)):
        k, nonfinite = torch.zeros(images, images, **integers), torch.zeros(1, **integers)
        for dtype in DTYPES:
            ops.hamming_accumulate_(k, normal(images, units).to(dtype), nonfinite)
        words = torch.randint(-(2**62), 2**62, (images, 48)).to(device)[:, 8:32]
        ops.hamming_words_(k, words, 64 * 24, 3)
    for images in (1, 31, 128, 200):
        ops.slogdet(torch.randint(0, 99, (3, images, images)).to(device))
    formats = (torch.channels_last,) if device == "cpu" else (torch.contiguous_format, torch.channels_last)
    dtypes = (torch.float32,) if device == "cpu" else (torch.float32, torch.bfloat16)
    for shape in ((9, 16, 8, 8), (3, 5, 7, 9)):
        for form in formats:
            for dtype in dtypes:
                x, y = (normal(*shape).to(dtype).contiguous(memory_format=form) for _ in range(2))
                affine = ops.batch_norm_affine(x, None, None, 1e-5)
                columns = -(-x[0].numel() // 512) * 8
                words, nonfinite = torch.empty(len(x), columns, **integers), torch.zeros(1, **integers)
                total, rectified = torch.empty_like(x), torch.empty_like(x)
                pools = [(0, 0, 0, 0), (3, 1, 1, 0)]
                ops.combine([x, y], [affine, None], pools, total, rectified, words, nonfinite)
                ops.combine([x, y], [affine, None], [(0, 0, 0, 0)] * 2, x, y, None, None)
    devices.synchronise(device)
    print("operators done")


# In this order: what is correct, what is fast, and last what needs most of the time.
PARTS: dict[str, Callable[[Bench], None]] = {
    part.__name__: part for part in (tests, kernel, slogdet, score, search, precision, layout, space, sanitizer)
}
# No part but the last two may take longer, so that one that hangs leaves time for the others.
LONGEST = 150.0


def run_part(
    part: Callable[[Bench], None], sizes: Sizes, device: str, seconds: float
) -> tuple[dict[str, Any], list[str], str]:
    """The figures and failures of one part, run in a process of its own, and why nothing can be measured here, if so.

    What the process has started ends with it.
    """
    figures: dict[str, Any] = {}
    failures: list[str] = []
    stop = ""
    deadline = time.monotonic() + seconds
    ours, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_work, args=(part, sizes, device, deadline, theirs))
    process.start()
    theirs.close()
    try:
        ended = False
        while not ended:
            ready = multiprocessing.connection.wait([ours, process.sentinel], max(0.0, deadline - time.monotonic()))
            if not ready:
                failures.append(f"not finished in {seconds:.0f} s")
                break
            if ours not in ready:
                process.join()
                failures.append(f"its process died with status {process.exitcode}")
                break
            try:
                kind, content = ours.recv()
            except EOFError:
                process.join()
                failures.append(f"its process died with status {process.exitcode}")
                break
            if kind == "figures":
                figures |= content
            elif kind == "failure":
                failures.append(content)
            elif kind == "stop":
                stop = content
            ended = kind == "end"
    finally:
        try:
            os.killpg(process.pid or 0, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.join()
    return figures, failures, stop


def _work(part: Callable[[Bench], None], sizes: Sizes, device: str, deadline: float, pipe: Any) -> None:
    os.setsid()
    try:
        # Not in devices.running_on, which would start CUDA in a part of which only the children need it.
        part(Bench(sizes, device, deadline, lambda kind, content: pipe.send((kind, content))))
    except Exception as error:
        traceback.print_exc(file=sys.stdout)
        pipe.send(("failure", f"{type(error).__name__}: {error}"[:1000]))
    sys.stdout.flush()
    pipe.send(("end", None))


def main() -> None:
    """Run the parts and print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="write the JSON line there too, after each part")
    parser.add_argument("--minutes", type=float, default=7.5, help="for all parts together")
    parser.add_argument("--parts", default=",".join(PARTS), help="by default: %(default)s")
    parser.add_argument("--rehearse", action="store_true", help="run everything on the CPU, in tiny: measures nothing")
    parser.add_argument("--operators", metavar="DEVICE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.operators:
        operators(options.operators)
        return
    wanted = options.parts.split(",")
    if unknown := sorted(set(wanted) - set(PARTS)):
        parser.error(f"no part is called {', '.join(unknown)}. There are: {', '.join(PARTS)}")
    sizes, device = (TINY, "cpu") if options.rehearse else (FULL, "cuda:0")
    started = time.monotonic()
    deadline = started + 60 * options.minutes
    figures, failed, stop = run_part(machine, sizes, device, 60.0)
    if stop:
        raise SystemExit(f"perf/gpu.py measures a GPU, and there is none to use: {stop}.")
    failures = {"machine": failed} if failed else {}
    part_seconds: dict[str, float] = {}
    for name in wanted:
        seconds = deadline - time.monotonic()
        print(f"{name}, {seconds:.0f} s left", flush=True)
        begin = time.monotonic()
        if seconds < 1:
            found, failed = {}, ["not run: no time left"]
        else:
            limit = seconds if name in ("space", "sanitizer") else min(seconds, LONGEST)
            found, failed, _ = run_part(PARTS[name], sizes, device, limit)
        figures |= found
        if failed:
            failures[name] = failed
            print(f"{name} FAILED: {'; '.join(failed)}", flush=True)
        part_seconds[name] = round(time.monotonic() - begin, 1)
        if options.output:
            unfinished = {**figures, "failures": failures, "part_seconds": part_seconds, "unfinished": True}
            options.output.write_text(json.dumps(unfinished) + "\n")
    line = report(
        "gpu rehearsal" if options.rehearse else "gpu",
        **figures,
        failures=failures,
        part_seconds=part_seconds,
        total_seconds=time.monotonic() - started,
    )
    if options.output:
        options.output.write_text(line + "\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
