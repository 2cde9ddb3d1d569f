"""The engine: many architectures, one proxy, one batch -> the score table; in order, resumable, nothing lost.

Every architecture starts from its own seed, derived from (seed, index), so its score is the same alone, in any
shard and in any order, on the same device type and number of threads.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from naswot_ext.datasets import load_batch
from naswot_ext.errors import NaswotError
from naswot_ext.files import write_errors
from naswot_ext.fingerprint import fingerprint
from naswot_ext.ops import build_info
from naswot_ext.provenance import read_provenance, read_table, software, write_table
from naswot_ext.proxies import PROXIES, Images, Proxy
from naswot_ext.seeds import derive
from naswot_ext.spaces import SPACES, SearchSpace

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
    space: str,
    indices: Sequence[int] | npt.NDArray[np.integer],
    proxy: str,
    batch_path: str | os.PathLike[str],
    seed: int,
    output: str | os.PathLike[str],
    *,
    device: str = "cpu",
    threads: int = 1,
    record_seconds: bool = True,
    progress: bool = True,
) -> None:
    """Score architectures and write their table, a row each in the order of `indices`, to the Parquet file `output`.

    What is finished stands in ``output + ".partial"`` at once; a later call with the same arguments and code goes
    on from there. `seconds` is the wall time of building and scoring one network (NaN unless `record_seconds`).
    A network that cannot be built or scored has the status "failed" and the reason; a score of -inf is "singular".
    Raises NaswotError for unknown names, an unreadable batch, or where `output` cannot be written.
    """
    output = Path(output)
    search_space, scorer = SPACES.get(space), PROXIES.get(proxy)
    torch.set_num_threads(threads)
    facts: dict[str, Any] = {
        "space": space,
        "proxy": proxy,
        "seed": seed,
        "batch": hashlib.sha256(Path(batch_path).read_bytes()).hexdigest(),
        "architectures": hashlib.sha256(np.asarray(indices, np.int64).tobytes()).hexdigest(),
        "device": torch.device(device).type,
        "threads": threads,
        "record_seconds": record_seconds,
        "code": fingerprint(__name__, PROXIES.module(proxy), SPACES.module(space)),
        **software(),
    }
    # A missing extension would fail each network in turn; say it once instead.
    build_info()
    images = _to_device(batch_path, device)
    with _partial_file(output, facts) as (partial, rows):
        if partial is None:
            return
        done = _Progress("/".join(output.with_suffix("").parts[-5:]), len(indices), len(rows), progress)
        for index in list(indices)[len(rows) :]:
            row = _score_one(search_space, int(index), scorer, images, seed, device)
            if not record_seconds:
                row["seconds"] = None
            _append(partial, json.dumps(row) + "\n", output)
            rows.append(row)
            done.show(len(rows))
        write_table(pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS), output, **facts)


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


def _to_device(batch_path: str | os.PathLike[str], device: str) -> Images:
    batch = load_batch(batch_path)
    images = torch.from_numpy(batch.images)
    if device == "cpu":
        # The same function in a layout that the CPU's convolutions and poolings run about twice as fast in.
        images = images.contiguous(memory_format=torch.channels_last)
    labels = None if batch.labels is None else torch.from_numpy(batch.labels).to(device)
    return Images(images.to(device), labels, batch.classes)


def _score_one(space: SearchSpace, index: int, proxy: Proxy, batch: Images, seed: int, device: str) -> dict[str, Any]:
    architecture = space.architecture(index)
    row: dict[str, Any] = {
        "arch_index": index,
        "arch": architecture,
        "score": math.nan,
        "status": "failed",
        "error": "",
        "units": 0,
    }
    start = time.perf_counter()
    try:
        torch.manual_seed(derive(seed, "initialisation", index))
        with torch.device(device):
            network = space.build(architecture, batch.classes)
        score, row["units"] = proxy.compute(network, batch)
        row["score"] = float(score)
    # Whatever one network raises is its row's reason, not the end of all the others.
    except Exception as error:
        reason = str(error) or "no message"
        row["error"] = reason if isinstance(error, NaswotError) else f"{type(error).__name__}: {reason}"
    else:
        if row["score"] == -math.inf:
            row["status"] = "singular"
        elif math.isfinite(row["score"]):
            row["status"] = "ok"
        else:
            row["error"] = f"the score is {row['score']}"
    row["seconds"] = time.perf_counter() - start
    return row


@contextmanager
def _partial_file(output: Path, facts: dict[str, Any]) -> Iterator[tuple[FileIO | None, list[dict[str, Any]]]]:
    """The open partial file, locked, and the rows that it holds; (None, []) where another process made `output`.

    The lock is the operating system's: a killed process frees it, one that outlived its Snakemake keeps it and
    is waited for.
    """
    path = output.with_name(output.name + ".partial")
    with write_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        while True:
            # Unbuffered: a row is in the file or it is not, and closing has nothing left to write.
            partial = open(path, "ab+", buffering=0)  # noqa: SIM115 (closed below)
            fcntl.flock(partial, fcntl.LOCK_EX)
            # Between opening and locking, the holder before us may have finished and removed the file.
            if path.exists() and os.path.samestat(os.fstat(partial.fileno()), path.stat()):
                break
            partial.close()
    try:
        if output.exists() and _made_by(output) == facts:
            yield None, []
        else:
            yield partial, _resume(partial, facts, output)
        path.unlink()
    finally:
        partial.close()


def _made_by(output: Path) -> dict[str, Any]:
    try:
        return read_provenance(output)
    except NaswotError:
        return {}


def _append(partial: FileIO, text: str, output: Path) -> None:
    left = text.encode()
    with write_errors(output):
        while left:
            left = left[partial.write(left) :]


def _resume(partial: FileIO, facts: dict[str, Any], output: Path) -> list[dict[str, Any]]:
    """The whole rows of a partial file made with the same facts; anything else in it is cut off."""
    partial.seek(0)
    header = (json.dumps(facts, sort_keys=True) + "\n").encode()
    rows: list[dict[str, Any]] = []
    whole = 0
    for line in partial:
        if not line.endswith(b"\n"):
            break
        if whole == 0:
            if line != header:
                break
        else:
            rows.append(json.loads(line))
        whole += len(line)
    with write_errors(output):
        partial.truncate(whole)
    if whole == 0:
        _append(partial, header.decode(), output)
    return rows


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
