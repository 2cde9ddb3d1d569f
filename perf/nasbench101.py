"""The converter of NAS-Bench-101's file: speed and memory on a file of the official format and full size.

All cells of the space are made here as the benchmark's authors made them: every graph with every operation, isomorphic
ones once. The accuracies mean nothing. The file of half a gigabyte is removed at the end; the cells take two minutes.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import multiprocessing
import random
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import google_crc32c
import numpy as np
from measure import report
from score import memory

from naswot_ext import benchmarks
from naswot_ext.spaces.nasbench101 import MAX_EDGES, MAX_VERTICES, OPERATIONS, Cell, cell_hash

RUNS = 3


def graphs(vertices: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    """The sources of each vertex, for every graph of the space in which all lie between input and output."""
    pairs = list(itertools.combinations(range(vertices), 2))
    masks = np.arange(1 << len(pairs))
    allowed = np.zeros(len(masks), dtype=int)
    for bit in range(len(pairs)):
        allowed += masks >> bit & 1
    kept = allowed <= MAX_EDGES
    for vertex in range(vertices):
        for end, spared in ((0, vertices - 1), (1, 0)):
            edges = sum(1 << bit for bit, pair in enumerate(pairs) if pair[end] == vertex)
            kept &= (masks & edges != 0) | (vertex == spared)
    for mask in masks[kept].tolist():
        edges = [pair for bit, pair in enumerate(pairs) if mask >> bit & 1]
        yield tuple(tuple(source for source, target in edges if target == vertex) for vertex in range(vertices))


def cells(vertices: int) -> Iterator[tuple[str, Cell]]:
    """(hash, cell) of each cell of `vertices` vertices."""
    alike = [OPERATIONS[0]] * (vertices - 2)
    shapes = {cell_hash(Cell(sources, ("input", *alike, "output"))): sources for sources in graphs(vertices)}
    named: set[str] = set()
    for sources, between in itertools.product(shapes.values(), itertools.product(OPERATIONS, repeat=vertices - 2)):
        cell = Cell(sources, ("input", *between, "output"))
        name = cell_hash(cell)
        if name not in named:
            named.add(name)
            yield name, cell


def metrics(rng: random.Random, params: int) -> str:
    """A `ModelMetrics` in base64: three evaluations, the parameters, the total time."""
    message = b""
    for epoch in (0.0, 54.0, 108.0):
        values = (epoch, rng.uniform(0, 4000), rng.random(), rng.random(), rng.random())
        evaluation = b"".join(struct.pack("<Bd", field << 3 | 1, value) for field, value in enumerate(values, 1))
        message += struct.pack("BB", 1 << 3 | 2, len(evaluation)) + evaluation
    # A number above 2^21 and below 2^28 takes four bytes.
    digits = [params >> shift & 0x7F | (0x80 if shift < 21 else 0) for shift in (0, 7, 14, 21)]
    message += bytes([2 << 3, *digits]) + struct.pack("<Bd", 3 << 3 | 1, rng.uniform(4000, 5000))
    return base64.b64encode(message).decode()


def masked_crc(data: bytes) -> bytes:
    """The four bytes that follow `data` in a TFRecord."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def write(path: Path, named: Iterable[tuple[str, Cell]]) -> int:
    """Write the runs of the cells, and give the number of cells."""
    rng, count = random.Random(0), 0
    with open(path, "wb") as file:
        for count, (name, cell) in enumerate(named, 1):  # noqa: B007
            params = rng.randrange(1 << 21, 1 << 26)
            adjacency, operations = str(cell).split()
            for _ in range(RUNS):
                data = json.dumps([name, 108, adjacency, operations, metrics(rng, params)]).encode()
                length = struct.pack("<Q", len(data))
                file.write(length + masked_crc(length) + data + masked_crc(data))
    return count


def converted(path: str, architectures_only: bool) -> tuple[int, float, float, float]:
    """Rows, seconds, seconds of the processor, and the peak memory of the process in MB, what it imports included."""
    options = {"source": "nasbench101", "path": path}
    start, start_cpu = time.perf_counter(), time.process_time()
    table = (benchmarks.architectures if architectures_only else benchmarks.convert)("nasbench101", options)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    return len(table), seconds, cpu_seconds, memory("VmHWM")


def main() -> None:
    """Print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vertices", type=int, default=MAX_VERTICES, help="leave out cells of more")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "nasbench_only108.tfrecord")
        count = write(path, itertools.chain.from_iterable(map(cells, range(2, options.vertices + 1))))
        size = path.stat().st_size
        # New interpreters, as a job of the workflow is.
        results = []
        for architectures_only in (False, True):
            with multiprocessing.get_context("spawn").Pool(1) as process:
                results.append(process.apply(converted, (str(path), architectures_only)))
    (rows, seconds, cpu_seconds, peak), (_, listing_seconds, _, listing_peak) = results
    report(
        "nasbench101",
        cells=count,
        rows=rows,
        file_mb=size / 1e6,
        convert_seconds=seconds,
        records_per_second=RUNS * count / seconds,
        convert_cpu_seconds=cpu_seconds,
        peak_mb=peak,
        listing_seconds=listing_seconds,
        listing_peak_mb=listing_peak,
    )


if __name__ == "__main__":
    main()
