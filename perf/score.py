"""Scoring NAS-Bench-201 networks: ours, the plain forward pass, and the paper's way, in turn on each architecture.

Each of the three lives in a process of its own, with the same threads, so that none runs in what another has set up or
left behind; they never run at the same time.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from measure import report
from torch import nn

from naswot_ext import activation, capture, forward, fused, rectifiers
from naswot_ext.scoring import prepare_process
from naswot_ext.spaces import SPACES

SPACE = SPACES.get("nasbench201")
GOLDEN = Path(__file__).parent.parent / "tests/golden/nasbench201.csv"
BATCH, SIZE = 128, 32


def images() -> torch.Tensor:
    """The batch, the same in all processes."""
    return torch.randn(BATCH, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def ours(architecture: str, batch: forward.Inputs) -> float:
    """Build and score, as the engine does, which reads its batch once."""
    (score,) = activation.finish([activation.launch(SPACE.build(architecture), batch)])
    return float(score)


def paper(architecture: str, batch: torch.Tensor) -> float:
    """Build, and score the paper's way."""
    return paper_score(SPACE.build(architecture).train(), batch)


def paper_score(network: nn.Module, batch: torch.Tensor) -> float:
    """Forward and backward, a second forward with two dense products a rectifier, slogdet by numpy, on any device."""
    kernel = np.zeros((len(batch), len(batch)))

    def add(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal kernel
        codes = (inputs[0].detach().reshape(len(batch), -1) > 0).float()
        active, inactive = codes @ codes.T, (1 - codes) @ (1 - codes).T
        kernel = kernel + active.cpu().numpy() + inactive.cpu().numpy()

    network(batch).sum().backward()
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(add)
    network(batch)
    return float(np.linalg.slogdet(kernel)[1])


def memory(name: str) -> float:
    """A line of the process' status, in MB."""
    found = re.search(name + r":\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def work(way: str, threads: int, pipe: Connection) -> None:
    """A process of one way: the median time of each architecture that it is asked for; at last its peak memory."""
    torch.set_num_threads(threads)
    batch = images()
    # Linux keeps the peak of the resident memory; "5" resets it to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    imported = memory("VmRSS")
    if way == "ours":
        prepare_process(threads)
        # As the engine keeps its batch.
        inputs = forward.read_batch(batch.contiguous(memory_format=torch.channels_last))
    while (asked := pipe.recv()) is not None:
        architecture, repeats = asked
        times = []
        # The first run, which finds the caches as another way has left them, is not counted.
        for _ in range(1 + repeats):
            torch.manual_seed(0)
            if way == "plain":
                network = SPACE.build(architecture).train()
            start = time.perf_counter()
            if way == "plain":
                with torch.no_grad():
                    network(batch)
            elif way == "ours":
                ours(architecture, inputs)
            else:
                paper(architecture, batch)
            times.append(time.perf_counter() - start)
        pipe.send(statistics.median(times[1:]))
    pipe.send(memory("VmHWM") - imported)


class Codes(capture.LayerKernels):
    """Keeps what is rectified instead of counting it."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.seen: list[torch.Tensor] = []

    def add(self, activations: torch.Tensor) -> None:
        """In the order of memory of `Plan.codes`."""
        pixels = activations if activations.dim() == 4 else activations[:, :, None, None]
        self.seen.append(pixels.permute(0, 2, 3, 1).clone())


def plain_activations(network: nn.Module, batch: torch.Tensor) -> list[torch.Tensor]:
    """The pre-activations of the plain modules, [B, H, W, C] each."""
    codes = Codes(len(batch))
    with forward.undisturbed(network), capture.Capture(network, len(batch), rectifiers.NAMES, (), codes):
        network(batch)
    return codes.seen


def different_bits(architecture: str) -> dict[str, float]:
    """Bits of the codes that differ between the fused pass, the plain modules and the plain modules in float64.

    `largest` is the largest pre-activation (float64, in standard deviations of its layer) whose fused bit differs from
    the plain one: how far from zero rounding reached.
    """
    torch.manual_seed(0)
    network, batch = SPACE.build(architecture), images()
    plan = fused.trace(network, batch)
    if plan is None:
        raise SystemExit(f"{architecture} is not fused")
    single = plain_activations(network, batch)
    double = plain_activations(network.double(), batch.double())
    network.float()
    counts = {"bits": 0.0, "fused_plain": 0.0, "fused_float64": 0.0, "plain_float64": 0.0, "largest": 0.0}
    for code, x, exact in zip(plan.codes(batch), single, double, strict=True):
        differs = code != (x > 0)
        counts["bits"] += code.numel()
        counts["fused_plain"] += int(differs.sum())
        counts["fused_float64"] += int((code != (exact > 0)).sum())
        counts["plain_float64"] += int(((x > 0) != (exact > 0)).sum())
        if differs.any():
            counts["largest"] = max(counts["largest"], float(exact[differs].abs().max() / exact.std()))
    return counts


def main() -> None:
    """Print one line an architecture, then the JSON line: medians over the architectures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with open(GOLDEN, newline="") as file:
        architectures = [row["arch"] for row in csv.DictReader(file)][: options.architectures]
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    for way in ("plain", "ours", "paper"):
        pipes[way], theirs = context.Pipe()
        context.Process(target=work, args=(way, torch.get_num_threads(), theirs), daemon=True).start()

    def ask(way: str, what: tuple[str, int] | None) -> float:
        pipes[way].send(what)
        return float(pipes[way].recv())

    medians: dict[str, list[float]] = {way: [] for way in pipes}
    for architecture in architectures:
        for way in pipes:
            medians[way].append(ask(way, (architecture, options.repeats)))
        plain_s, ours_s, paper_s = (medians[way][-1] for way in ("plain", "ours", "paper"))
        print(
            f"{architecture}: plain forward {plain_s:.3f} s, ours {ours_s:.3f} s, the paper's way {paper_s:.3f} s",
            flush=True,
        )
    peaks = {way: ask(way, None) for way in pipes}
    ratio: Callable[[str, str], float] = lambda a, b: statistics.median(  # noqa: E731
        x / y for x, y in zip(medians[a], medians[b], strict=True)
    )
    bits = [different_bits(architecture) for architecture in architectures]
    total = {key: sum(count[key] for count in bits) for key in bits[0]}
    report(
        "score",
        ours_over_plain_forward=ratio("ours", "plain"),
        paper_over_ours=ratio("paper", "ours"),
        seconds=statistics.median(medians["ours"]),
        plain_forward_seconds=statistics.median(medians["plain"]),
        paper_seconds=statistics.median(medians["paper"]),
        architectures=len(architectures),
        peak_mb=peaks["ours"],
        paper_peak_mb=peaks["paper"],
        bits=total["bits"],
        bits_fused_unlike_plain=total["fused_plain"],
        bits_fused_unlike_float64=total["fused_float64"],
        bits_plain_unlike_float64=total["plain_float64"],
        largest_unlike_in_deviations=max(count["largest"] for count in bits),
    )


if __name__ == "__main__":
    main()
