"""The engine: many architectures, some proxies, one batch -> the score table; in order, resumable, nothing lost.

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from naswot_ext import devices
from naswot_ext.datasets import Batch, load_batch
from naswot_ext.errors import NaswotError, one_line
from naswot_ext.fingerprint import fingerprint
from naswot_ext.forward import read_device
from naswot_ext.ops import build_info, keep_freed_memory
from naswot_ext.partial import partial_file
from naswot_ext.precision import cast, numerics
from naswot_ext.provenance import read_provenance, read_table, software, write_table
from naswot_ext.proxies import Convert, Images, Proxy, Scored
from naswot_ext.proxy_names import digest_of, find, module_of
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
    proxy: str | Sequence[str],
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
        proxy: the score, by name; or several, which then share the building of each network and the images, and whose
            table has one row for each, in their order, with the name in a column `proxy` behind `arch`. A user's own is
            named "my_file.py:function".
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
        NaswotError: unknown names, an unreadable batch or one without the labels that a proxy needs, a device that is
            not there, a precision that it lacks, an `output` that cannot be written, and a device that fails and needs
            a new process.
    """
    output = Path(output)
    wanted = np.asarray(indices, np.int64)
    if in_flight is not None and in_flight < 1:
        raise NaswotError(f"in_flight is {in_flight}: at least 1 network must be under way.")
    read_device(device)
    search_space = SPACES.get(space) if isinstance(space, str) else space
    names = [proxy] if isinstance(proxy, str) else list(proxy)
    proxies, dtype = [find(name) for name in names], cast(precision, device)
    if twice := sorted({each.name for each in proxies if [other.name for other in proxies].count(each.name) > 1}):
        raise NaswotError(f"Several of the proxies are called {', '.join(twice)}. Give each once, under its own name.")
    prepare_process(threads)
    facts: dict[str, Any] = {
        "space": search_space.name,
        "network": search_space.network,
        "proxy": proxy if isinstance(proxy, str) else names,
        "titles": {each.name: each.axis_title for each in proxies},
        "seed": seed,
        "batch": hashlib.sha256(Path(batch_path).read_bytes()).hexdigest(),
        "architectures": _digest(search_space, wanted),
        "device": torch.device(device).type,
        "precision": precision,
        "threads": threads,
        "record_seconds": record_seconds,
        "code": fingerprint(__name__, *module_of(names), SPACES.module(search_space.name)),
        # A user's own code, which stands outside of the package.
        **({"files": files} if (files := digest_of(names)) else {}),
        **software(),
    }
    # A missing extension would fail each network in turn; say it once instead.
    build_info()
    label = "/".join(output.with_suffix("").parts[-5:])
    columns = COLUMNS if isinstance(proxy, str) else {"arch_index": "int32", "arch": "str", "proxy": "str", **COLUMNS}
    with numerics(precision), devices.running_on(device), partial_file(output, facts, len(names)) as partial:
        if partial is None:
            return
        batch = _read(batch_path, device, dtype)
        _check_labels(proxies, batch, batch_path)
        finished = partial.rows // len(names)
        done = _Progress(label, len(wanted), finished, progress)
        engine = Engine(search_space, proxies, batch, seed, device, dtype, label)
        for rows in engine.score(wanted[finished:], in_flight or in_flight_on(device)):
            if not record_seconds:
                rows = [{**row, "seconds": None} for row in rows]
            partial.append(rows)
            done.show(partial.rows // len(names))
        write_table(partial.table(columns), output, **facts)


def in_flight_on(device: str) -> int:
    """How many networks are under way at the same time on a device, unless somebody says otherwise."""
    return _IN_FLIGHT.get(device.partition(":")[0], 1)


def prepare_process(threads: int) -> None:
    """Make this process one that scores: `threads` threads of the CPU, and no time lost on memory or garbage.

    The memory of a network's maps is kept for the next network's, and Python's garbage collector no longer walks
    through what the imports left, which took 50 ms each time among networks that take 100.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    gc.freeze()


def gather(
    shards: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str], proxy: str | None = None
) -> dict[str, int]:
    """Concatenate the shards of one score table, sorted by architecture, and count its rows by status.

    `proxy` picks one of those that the shards hold, where they hold several. Raises NaswotError where the shards were
    not made alike (device, threads, versions, code), where an architecture stands in two of them, or where not one
    could be scored: the first reason is then everyone's.
    """
    facts = _facts_of_all(shards)
    table = pd.concat([_rows_of(shard, proxy) for shard in shards], ignore_index=True)
    if proxy is not None:
        facts |= {"proxy": proxy, "title": facts.pop("titles", {}).get(proxy, proxy)}
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


def _rows_of(shard: str | os.PathLike[str], proxy: str | None) -> pd.DataFrame:
    table = read_table(shard)
    if proxy is None or "proxy" not in table:
        return table
    if not (table["proxy"] == proxy).any() and len(table):
        raise NaswotError(f"{shard} holds no scores of {proxy}. Delete it, and score again.")
    return table[table["proxy"] == proxy].drop(columns="proxy")


def _check_labels(proxies: Sequence[Proxy], batch: Images, path: str | os.PathLike[str]) -> None:
    without = [proxy.name for proxy in proxies if proxy.needs_labels and batch.labels is None]
    if without:
        raise NaswotError(
            f"{', '.join(without)} needs the labels of the images, and the images of {path} have none. Give the data "
            "set labels (an array `labels` in its .npz file), or take the proxy out of `proxies`."
        )


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


def _read(batch_path: str | os.PathLike[str], device: str, dtype: torch.dtype | None) -> Images:
    batch = load_batch(batch_path)
    # Once here, so that no network need wait for the answer.
    if not np.isfinite(batch.images).all():
        raise NaswotError(f"The images of {batch_path} hold values that are NaN or infinite. Make the batch again.")
    return to_device(batch, device, dtype)


def to_device(batch: Batch, device: str, dtype: torch.dtype | None = None) -> Images:
    """The batch on a device, its images in a type (None: as they are)."""
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


# The score of one network by one proxy, or the reason why it has none.
_Outcome = Scored | str


@dataclass
class _UnderWay:
    """What one proxy has started of the networks of a chunk."""

    proxy: Proxy
    launched: list[Any] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)  # one a network, None where it was launched
    seconds: float = 0.0


class Engine:
    """Scores architectures in chunks, whose networks are under way at the same time."""

    def __init__(
        self,
        space: SearchSpace,
        proxies: Sequence[Proxy],
        batch: Images,
        seed: int,
        device: str,
        dtype: torch.dtype | None = None,
        label: str = "",
    ) -> None:
        self._space, self._proxies, self._batch = space, proxies, batch
        self._seed, self._device, self._dtype, self._label = seed, device, dtype, label
        names = {proxy.name for proxy in proxies}
        # What another proxy's value tells needs no computing of its own.
        self._computed = [p for p in proxies if p.converts is None or p.converts[0] not in names]

    def score(self, indices: npt.NDArray[np.int64], in_flight: int) -> Iterator[list[dict[str, Any]]]:
        """The rows of `indices`, in order and one for each proxy, a list a chunk."""
        size = in_flight if any(proxy.launch for proxy in self._computed) else 1
        position, tried_alone = 0, -1
        # Where the first chunk that did not fit ended, and the size until then.
        cut_until, size_before = 0, size
        while position < len(indices):
            chunk = [int(index) for index in indices[position : position + size]]
            rows = self._attempt(chunk)
            if isinstance(rows, str):
                devices.free_memory(self._device)
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
                reason = f"It does not fit into the memory of {self._device}, even alone: {rows}"
                rows = [self._row(chunk[0], proxy, reason, math.nan) for proxy in self._proxies]
            yield rows
            position += len(chunk)

    def _attempt(self, chunk: list[int]) -> list[dict[str, Any]] | str:
        """The rows of these networks, or why they do not fit into memory together."""
        try:
            return self._score_together(chunk)
        except _OutOfMemory as error:
            return str(error)
        except _DeviceLost as error:
            which = f"architecture {chunk[0]}" if len(chunk) == 1 else f"architectures {chunk}"
            raise NaswotError(
                f"{self._device} failed while {which} of {self._space.name} ran, and this process can use it no more: "
                f"{error}. Run again: what was finished before is kept. If it fails again, the environment variable "
                "CUDA_LAUNCH_BLOCKING=1 together with in_flight=1 finds the network."
            ) from error

    def _score_together(self, chunk: list[int]) -> list[dict[str, Any]]:
        under_way = [_UnderWay(proxy) for proxy in self._computed]
        building = sum(self._start(index, under_way) for index in chunk)
        outcomes: dict[str, list[_Outcome]] = {}
        seconds: dict[str, float] = {}
        for way in under_way:
            start = time.perf_counter()
            scored = iter(self._finish(way.proxy, way.launched))
            outcomes[way.proxy.name] = [next(scored) if reason is None else reason for reason in way.reasons]
            seconds[way.proxy.name] = (building + way.seconds + time.perf_counter() - start) / len(chunk)
        for proxy in self._proxies:
            if proxy.name not in outcomes:
                assert proxy.converts is not None
                base, convert = proxy.converts
                outcomes[proxy.name] = [self._converted(proxy, convert, outcome) for outcome in outcomes[base]]
                seconds[proxy.name] = seconds[base]
        return [
            self._row(index, proxy, outcomes[proxy.name][i], seconds[proxy.name])
            for i, index in enumerate(chunk)
            for proxy in self._proxies
        ]

    def _start(self, index: int, under_way: list[_UnderWay]) -> float:
        """Build one network and start all proxies on it, which keep nothing of it; the seconds of the building."""
        start = time.perf_counter()
        try:
            network = self._build(index)
        # Whatever one network raises is its row's reason, not the end of all the others.
        except Exception as error:
            reason = self._reason(error)
            for way in under_way:
                way.reasons.append(reason)
            return time.perf_counter() - start
        built = time.perf_counter()
        for way in under_way:
            begin = time.perf_counter()
            try:
                if way.proxy.launch:
                    way.launched.append(way.proxy.launch(network, self._batch))
                else:
                    way.launched.append(way.proxy.score(network, self._batch))
                way.reasons.append(None)
            except Exception as error:
                way.reasons.append(self._reason(error))
            way.seconds += time.perf_counter() - begin
        return built - start

    def _build(self, index: int) -> nn.Module:
        torch.manual_seed(derive(self._seed, "initialisation", index))
        with devices.building_on(self._device):
            network = self._space.build(self._space.architecture(index), self._batch.classes)
        return network if self._dtype is None else network.to(self._dtype)

    def _finish(self, proxy: Proxy, launched: list[Any]) -> list[_Outcome]:
        if proxy.finish is None or not launched:
            return launched
        try:
            finished = proxy.finish(launched)
            return [self._reason(x) if isinstance(x, Exception) else proxy.oriented(x) for x in finished]
        except Exception as error:
            if isinstance(error, _OutOfMemory | _DeviceLost):
                raise
            reason = self._reason(error)
        if len(launched) == 1:
            return [reason]
        # One of them may have spoilt it for all.
        return [outcome for one in launched for outcome in self._finish(proxy, [one])]

    def _converted(self, proxy: Proxy, convert: Convert, outcome: _Outcome) -> _Outcome:
        try:
            return outcome if isinstance(outcome, str) else proxy.oriented(convert(outcome, self._batch))
        except Exception as error:
            return self._reason(error)

    def _reason(self, error: Exception) -> str:
        """The reason for a row; raises what concerns not only one network."""
        text = one_line(error) or "no message"
        reason = text if isinstance(error, NaswotError) else f"{type(error).__name__}: {text}"
        if _is_out_of_memory(error):
            raise _OutOfMemory(reason) from error
        try:
            # A kernel that failed spoils all that comes after it, so the network that raised may not be the cause.
            devices.synchronise(self._device)
        except Exception:
            raise _DeviceLost(reason) from error
        return reason

    def _row(self, index: int, proxy: Proxy, outcome: _Outcome, seconds: float) -> dict[str, Any]:
        score, units = (math.nan, 0) if isinstance(outcome, str) else outcome
        row = {
            "arch_index": index,
            "arch": self._space.architecture(index),
            "proxy": proxy.name,
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
            f"{self._label}: {networks} networks at a time do not fit into the memory of {self._device}; going on with "
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
