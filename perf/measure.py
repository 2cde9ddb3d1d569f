"""What the benchmarks share: timing, the machine's facts, the closing line."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from naswot_ext import build_info


def seconds(run: Callable[[], Any], repeats: int = 5, warm_up: bool = True) -> float:
    """The median wall time of `repeats` runs, after one that warms up."""
    if warm_up:
        run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def report(name: str, **figures: Any) -> str:
    """Print and give the closing JSON line: the figures, and the machine and build that they were measured on."""
    cpu = platform.processor() or platform.machine()
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        cpu = next((line.split(":")[1].strip() for line in facts.read_text().splitlines() if "model name" in line), cpu)
    rounded = {key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in figures.items()}
    machine = {"cpu": cpu, "threads": torch.get_num_threads(), "build": build_info()}
    line = json.dumps({"benchmark": name, **rounded, "machine": machine})
    print(line)
    return line
