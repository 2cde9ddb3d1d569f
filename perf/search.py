"""A live NASWOT(100) search on NAS-Bench-201: draw, build, score, choose; one process a core."""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor

import torch
from measure import report

import naswot_ext
from naswot_ext.sampling import sample_architectures
from naswot_ext.scoring import prepare_process
from naswot_ext.seeds import derive
from naswot_ext.spaces import SPACES

BATCH: list[torch.Tensor] = []


def start_worker() -> None:
    """As a job of the workflow: one thread a process, so that they do not wait for each other, and one batch."""
    prepare_process(1)
    batch = torch.randn(128, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    BATCH.append(batch.contiguous(memory_format=torch.channels_last))


def score(index: int) -> tuple[float, int]:
    """Build and score one architecture on the search's batch."""
    space = SPACES.get("nasbench201")
    torch.manual_seed(derive(0, "initialisation", index))
    return float(naswot_ext.score(space.build(space.architecture(index)), BATCH[0])), index


def main() -> None:
    """Print what was found and the JSON line. Starting the processes, which import torch, is not counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100)
    options = parser.parse_args()
    drawn = [int(index) for index in sample_architectures(len(SPACES.get("nasbench201")), options.samples, seed=0)]
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, initializer=start_worker) as pool:
        list(pool.map(score, drawn[:cores]))
        start = time.perf_counter()
        best, index = max(pool.map(score, drawn))
        elapsed = time.perf_counter() - start
    print(f"{SPACES.get('nasbench201').architecture(index)} has the highest score, {best:.2f}")
    report("search", search_seconds=elapsed, samples=options.samples, processes=cores)


if __name__ == "__main__":
    main()
