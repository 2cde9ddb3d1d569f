"""Scoring NAS-Bench-201 networks: ours, the plain forward pass, and the paper's way, in turn on each architecture."""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import report
from torch import nn

import naswot_ext
from naswot_ext.spaces import SPACES

SPACE = SPACES.get("nasbench201")
GOLDEN = Path(__file__).parent.parent / "tests/golden/nasbench201.csv"

# Linux keeps the peak of the resident memory; "5" resets it to what is resident now, so that the import's own peak
# does not hide that of scoring.
MEMORY = """
import re
from pathlib import Path
import torch
import naswot_ext.ops
from naswot_ext.spaces import SPACES
megabytes = lambda name: int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
Path("/proc/self/clear_refs").write_text("5")
imported = megabytes("VmRSS")
space = SPACES.get("nasbench201")
batch = torch.randn(128, 3, 32, 32).contiguous(memory_format=torch.channels_last)
import naswot_ext
naswot_ext.score(space.build(space.architecture(572)), batch)
print(megabytes("VmHWM") - imported)
"""


def ours(architecture: str, batch: torch.Tensor) -> float:
    """Build and score, as the engine does."""
    images = batch.contiguous(memory_format=torch.channels_last)
    return float(naswot_ext.score(SPACE.build(architecture), images))


def paper(architecture: str, batch: torch.Tensor) -> float:
    """Build, forward and backward, a second forward with two dense products a rectifier, slogdet by numpy."""
    network = SPACE.build(architecture).train()
    kernel = np.zeros((len(batch), len(batch)))

    def add(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal kernel
        codes = (inputs[0].detach().reshape(len(batch), -1) > 0).float()
        active, inactive = codes @ codes.T, (1 - codes) @ (1 - codes).T
        kernel = kernel + active.numpy() + inactive.numpy()

    network(batch).sum().backward()
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(add)
    network(batch)
    return float(np.linalg.slogdet(kernel)[1])


def timed(run: Callable[[], object]) -> float:
    """One wall time."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Print one line an architecture, then the JSON line: medians over the architectures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with open(GOLDEN, newline="") as file:
        architectures = [row["arch"] for row in csv.DictReader(file)][: options.architectures]
    torch.manual_seed(0)
    batch = torch.randn(128, 3, 32, 32)
    ours(architectures[0], batch), paper(architectures[0], batch)
    over_plain, over_ours, own = [], [], []
    for architecture in architectures:
        network = SPACE.build(architecture).train()
        plain_s, ours_s, paper_s = [], [], []
        with torch.no_grad():
            network(batch)
        for _ in range(options.repeats):
            with torch.no_grad():
                plain_s.append(timed(lambda network=network: network(batch)))
            ours_s.append(timed(lambda architecture=architecture: ours(architecture, batch)))
            paper_s.append(timed(lambda architecture=architecture: paper(architecture, batch)))
        a, b, c = map(statistics.median, (plain_s, ours_s, paper_s))
        over_plain.append(b / a)
        over_ours.append(c / b)
        own.append(b)
        print(f"{architecture}: plain forward {a:.3f} s, ours {b:.3f} s, the paper's way {c:.3f} s", flush=True)
    memory = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    report(
        "score",
        ours_over_plain_forward=statistics.median(over_plain),
        paper_over_ours=statistics.median(over_ours),
        seconds=statistics.median(own),
        architectures=len(architectures),
        peak_mb=float(memory.stdout),
    )


if __name__ == "__main__":
    main()
