"""The engine: many architectures, one proxy, one batch -> the score table; in order, resumable, nothing lost.

Every architecture starts from its own seed, derived from (seed, index), so its score is the same alone, in any
shard, in any order and any company, on the same device type and number of threads and in the same precision.
"""

from __future__ import annotations

import gc
import hashlib
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from naswot_ext import devices
from naswot_ext.datasets import load_batch
from naswot_ext.errors import NaswotError
from naswot_ext.fingerprint import fingerprint
from naswot_ext.forward import read_device
from naswot_ext.ops import build_info, keep_freed_memory
from naswot_ext.partial import partial_file
from naswot_ext.precision import cast, numerics
from naswot_ext.provenance import read_provenance, read_table, software, write_table
from naswot_ext.proxies import PROXIES, Images, Proxy, Scored
from naswot_ext.seeds import derive
from naswot_ext.spaces import SPACES, SearchSpace

# Networks under way at the same time, so many that launching them hides the wait for their scores.
_IN_FLIGHT = {"cpu": 1, "cuda": 64}
_NO_MEMORY = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
COLUMNS: dict[str, str] = {
    "arch_index": "int32",
    "arch": "str",
    "score": "float64",
    "status": "str",
    "error": "str",
    "units": "int64",
    "seconds": "float64",
}


def score_architectures(
    space: str | SearchSpace,
    indices: Sequence[int] | npt.NDArray[np.integer],
    proxy: str,
    batch_path: str | os.PathLike[str],
    seed: int,
    output: str | os.PathLike[str],
    *,
    device: str = "cpu",
    threads: int = 1,
    precision: str = "float32",
    in_flight: int | None = None,
    record_seconds: bool = True,
    progress: bool = True,
) -> None:
    """Score architectures and write their table, a row each in the order of `indices`, to the Parquet file `output`.

    What is finished stands in ``output + ".partial"`` at once; a later call with the same arguments and code goes
    on from there. A network that cannot be built or scored has the status "failed" and the reason; a score of -inf
    is "singular". The process is prepared for it for good: see `prepare_process`.

    Args:
        space: the search space, by name, or opened with network options and a listing (`spaces.open_space`).
        indices: which of its architectures.
        proxy: the score, by name.
        batch_path: the images, a file that `datasets.save_batch` wrote.
        seed: seed of the initialisation.
        output: the table.
        device: where networks are built and scored: "cpu", "cuda", "cuda:1", ...
        threads: threads of the CPU.
        precision: "float32" (exact, the reference), "tf32" (a GPU's convolutions round their inputs), or "bfloat16"
            (network and images).
        in_flight: how many networks a proxy that can (`Proxy.launch`) has under way before it waits for their scores;
            1 on the CPU and 64 on a GPU by default. Scores do not depend on it. Where they do not fit into the
            device's memory, the number is halved until they do.
        record_seconds: whether the column `seconds` holds the wall time of building and scoring a network, which
            networks that were under way together share equally; else it is NaN.
        progress: whether to say on standard error now and then how far it is.

    Raises:
        NaswotError: unknown names, an unreadable batch, a device that is not there, a precision that it lacks, an
            `output` that cannot be written, and a device that fails and needs a new process.
    """
    output = Path(output)
    wanted = np.asarray(indices, np.int64)
    if in_flight is not None and in_flight < 1:
        raise NaswotError(f"in_flight is {in_flight}: at least 1 network must be under way.")
    read_device(device)
    search_space = SPACES.get(space) if isinstance(space, str) else space
    scorer, dtype = PROXIES.get(proxy), cast(precision, device)
    prepare_process(threads)
    facts: dict[str, Any] = {
        "space": search_space.name,
        "network": search_space.network,
        "proxy": proxy,
        "seed": seed,
        "batch": hashlib.sha256(Path(batch_path).read_bytes()).hexdigest(),
        "architectures": _digest(search_space, wanted),
        "device": torch.device(device).type,
        "precision": precision,
        "threads": threads,
        "record_seconds": record_seconds,
        "code": fingerprint(__name__, PROXIES.module(proxy), SPACES.module(search_space.name)),
        **software(),
    }
    # A missing extension would fail each network in turn; say it once instead.
    build_info()
    label = "/".join(output.with_suffix("").parts[-5:])
    with numerics(precision), devices.running_on(device), partial_file(output, facts) as partial:
        if partial is None:
            return
        done = _Progress(label, len(wanted), partial.rows, progress)
        engine = _Engine(search_space, scorer, _to_device(batch_path, device, dtype), seed, device, dtype, label)
        for rows in engine.score(wanted[partial.rows :], in_flight or _IN_FLIGHT.get(facts["device"], 1)):
            if not record_seconds:
                rows = [{**row, "seconds": None} for row in rows]
            partial.append(rows)
            done.show(partial.rows)
        write_table(partial.table(COLUMNS), output, **facts)


def prepare_process(threads: int) -> None:
    """Make this process one that scores: `threads` threads of the CPU, and no time lost on memory or garbage.

    The memory of a network's maps is kept for the next network's, and Python's garbage collector no longer walks
    through what the imports left, which took 50 ms each time among networks that take 100.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    gc.freeze()


def gather(shards: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str]) -> dict[str, int]:
    """Concatenate the shards of one score table, sorted by architecture, and count its rows by status.

    Raises NaswotError where the shards were not made alike (device, threads, versions, code), where an architecture
    stands in two of them, or where not one could be scored: the first reason is then everyone's.
    """
    facts = _facts_of_all(shards)
    table = pd.concat([read_table(shard) for shard in shards], ignore_index=True)
    twice = table[table["arch_index"].duplicated()]
    if len(twice):
        raise NaswotError(f"Architecture {twice['arch_index'].iloc[0]} stands in two shards of {output}. Delete them.")
    counts = {status: int((table["status"] == status).sum()) for status in ("ok", "singular", "failed")}
    if counts["failed"] == len(table):
        raise NaswotError(
            f"None of the {len(table)} architectures of {output} could be scored. The first: {table['arch'].iloc[0]}: "
            f"{table['error'].iloc[0]}"
        )
    write_table(table.sort_values("arch_index", ignore_index=True), output, **facts)
    return counts


def _digest(space: SearchSpace, indices: npt.NDArray[np.int64]) -> str:
    """Of the indices, which seed the networks, and of the architectures, which a listing may have changed."""
    names = "\n".join(f"{index} {space.architecture(int(index))}" for index in indices)
    return hashlib.sha256(names.encode()).hexdigest()


def _facts_of_all(shards: Sequence[str | os.PathLike[str]]) -> dict[str, Any]:
    """How the shards were made, but for which architectures they hold."""
    first: dict[str, Any] = {}
    for shard in shards:
        facts = {key: value for key, value in read_provenance(shard).items() if key != "architectures"}
        first = first or facts
        for key in sorted({*first, *facts}):
            if first.get(key) != facts.get(key):
                raise NaswotError(
                    f"Shards cannot be joined: {key} is {first.get(key)} in {shards[0]} but {facts.get(key)} in "
                    f"{shard}. Delete the shards of one kind and score them again."
                )
    return first


def _to_device(batch_path: str | os.PathLike[str], device: str, dtype: torch.dtype | None) -> Images:
    batch = load_batch(batch_path)
    # Once here, so that no network need wait for the answer.
    if not np.isfinite(batch.images).all():
        raise NaswotError(f"The images of {batch_path} hold values that are NaN or infinite. Make the batch again.")
    images = torch.from_numpy(batch.images)
    if device == "cpu":
        # The same function in a layout that the CPU's convolutions and poolings run about twice as fast in.
        images = images.contiguous(memory_format=torch.channels_last)
    labels = None if batch.labels is None else torch.from_numpy(batch.labels).to(device)
    return Images(images.to(device, dtype), labels, batch.classes)


class _OutOfMemory(Exception):
    """What was under way does not fit into the device's memory."""


class _DeviceLost(Exception):
    """The device does nothing more for this process."""


@dataclass(frozen=True)
class _Engine:
    """Scores architectures in chunks, whose networks are under way at the same time."""

    space: SearchSpace
    proxy: Proxy
    batch: Images
    seed: int
    device: str
    dtype: torch.dtype | None
    label: str

    def score(self, indices: npt.NDArray[np.int64], in_flight: int) -> Iterator[list[dict[str, Any]]]:
        """The rows of `indices`, in order, a list a chunk."""
        size = in_flight if self.proxy.launch else 1
        position, tried_alone = 0, -1
        # Where the first chunk that did not fit ended, and the size until then.
        cut_until, size_before = 0, size
        while position < len(indices):
            chunk = [int(index) for index in indices[position : position + size]]
            start = time.perf_counter()
            outcomes = self._attempt(chunk)
            seconds = (time.perf_counter() - start) / len(chunk)
            if isinstance(outcomes, str):
                devices.free_memory(self.device)
                if len(chunk) > 1:
                    if position >= cut_until:
                        cut_until, size_before = position + len(chunk), size
                    size = len(chunk) // 2
                    self._say_smaller(len(chunk), size)
                    continue
                if tried_alone != position:
                    tried_alone = position  # once more, now that nothing else is left in memory
                    continue
                if position < cut_until:
                    # It was this network, not their number.
                    size, cut_until = size_before, 0
                outcomes = [f"It does not fit into the memory of {self.device}, even alone: {outcomes}"]
            yield [self._row(index, outcome, seconds) for index, outcome in zip(chunk, outcomes, strict=True)]
            position += len(chunk)

    def _attempt(self, chunk: list[int]) -> list[Scored | str] | str:
        """For each network its score or the reason why it has none; or why they do not fit into memory together."""
        try:
            return self._score_together(chunk)
        except _OutOfMemory as error:
            return str(error)
        except _DeviceLost as error:
            which = f"architecture {chunk[0]}" if len(chunk) == 1 else f"architectures {chunk}"
            raise NaswotError(
                f"{self.device} failed while {which} of {self.space.name} ran, and this process can use it no more: "
                f"{error}. Run again: what was finished before is kept. If it fails again, the environment variable "
                "CUDA_LAUNCH_BLOCKING=1 together with in_flight=1 finds the network."
            ) from error

    def _score_together(self, chunk: list[int]) -> list[Scored | str]:
        launched: list[Any] = []
        reasons: list[str | None] = []
        for index in chunk:
            try:
                # No name for the network, so that it is gone before the next one is built.
                if self.proxy.launch:
                    launched.append(self.proxy.launch(self._build(index), self.batch))
                else:
                    launched.append(self.proxy.score(self._build(index), self.batch))
                reasons.append(None)
            # Whatever one network raises is its row's reason, not the end of all the others.
            except Exception as error:
                reasons.append(self._reason(error))
        scored = iter(self._finish(launched))
        return [next(scored) if reason is None else reason for reason in reasons]

    def _build(self, index: int) -> nn.Module:
        torch.manual_seed(derive(self.seed, "initialisation", index))
        with devices.building_on(self.device):
            network = self.space.build(self.space.architecture(index), self.batch.classes)
        return network if self.dtype is None else network.to(self.dtype)

    def _finish(self, launched: list[Any]) -> list[Scored | str]:
        if self.proxy.finish is None or not launched:
            return launched
        try:
            finished = self.proxy.finish(launched)
            return [self._reason(x) if isinstance(x, Exception) else self.proxy.oriented(x) for x in finished]
        except Exception as error:
            if isinstance(error, _OutOfMemory | _DeviceLost):
                raise
            reason = self._reason(error)
        if len(launched) == 1:
            return [reason]
        # One of them may have spoilt it for all.
        return [outcome for one in launched for outcome in self._finish([one])]

    def _reason(self, error: Exception) -> str:
        """The reason for a row; raises what concerns not only one network."""
        text = str(error) or "no message"
        reason = text if isinstance(error, NaswotError) else f"{type(error).__name__}: {text}"
        if _is_out_of_memory(error):
            raise _OutOfMemory(reason) from error
        try:
            # A kernel that failed spoils all that comes after it, so the network that raised may not be the cause.
            devices.synchronise(self.device)
        except Exception:
            raise _DeviceLost(reason) from error
        return reason

    def _row(self, index: int, outcome: Scored | str, seconds: float) -> dict[str, Any]:
        score, units = (math.nan, 0) if isinstance(outcome, str) else outcome
        row = {
            "arch_index": index,
            "arch": self.space.architecture(index),
            "score": score,
            "status": "failed",
            "error": "",
            "units": units,
            "seconds": seconds,
        }
        if isinstance(outcome, str):
            row["error"] = outcome
        elif score == -math.inf:
            row["status"] = "singular"
        elif math.isfinite(score):
            row["status"] = "ok"
        else:
            row["error"] = f"the score is {score}"
        return row

    def _say_smaller(self, networks: int, size: int) -> None:
        print(
            f"{self.label}: {networks} networks at a time do not fit into the memory of {self.device}; going on with "
            f"{size}",
            file=sys.stderr,
            flush=True,
        )


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error is, or was raised for, a lack of the device's memory."""
    while error is not None:
        # The second line: what CUDA and its libraries take for themselves.
        if isinstance(error, torch.OutOfMemoryError) or (
            isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)
        ):
            return True
        error = error.__cause__
    return False


class _Progress:
    """A line on standard error now and then: it reads well in a terminal, in a log and beside other jobs' lines."""

    _EVERY_SECONDS = 10.0

    def __init__(self, label: str, total: int, resumed: int, enabled: bool) -> None:
        self._label, self._total, self._resumed, self._enabled = label, total, resumed, enabled
        self._start = self._last = time.monotonic()
        if enabled and resumed:
            print(f"{label}: {resumed} of {total} are there already, going on", file=sys.stderr, flush=True)

    def show(self, done: int) -> None:
        now = time.monotonic()
        if not self._enabled or (done < self._total and now - self._last < self._EVERY_SECONDS):
            return
        self._last = now
        bar = "#" * round(20 * done / self._total)
        left = (now - self._start) / (done - self._resumed) * (self._total - done)
        line = f"{self._label}: [{bar:.<20}] {done}/{self._total}"
        print(f"{line}, about {left:.0f} s left" if done < self._total else line, file=sys.stderr, flush=True)
