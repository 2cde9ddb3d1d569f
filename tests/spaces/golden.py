"""The facts in tests/golden about the networks of the papers' code, and how the spaces agree with them.

``python -m tests.spaces.golden`` prints the table of agreement.
"""

from __future__ import annotations

import csv
import functools
import json
import math
from typing import NamedTuple

import numpy as np
import torch

import naswot_ext
from naswot_ext.activation import count_units
from naswot_ext.seeds import derive
from naswot_ext.spaces import SPACES
from tests.conftest import REPOSITORY

# Files, and the spaces of their rows where those do not name theirs.
FILES = {"nasbench101": "nasbench101", "nasbench201": "nasbench201", "nats_sss": "nats-sss", "nds": None}


class Fact(NamedTuple):
    """One network of the papers' code with one class."""

    space: str
    arch: str
    image_size: int
    params: int
    applications: int
    units: int
    score_mean: float
    score_std: float
    inits: int


@functools.cache
def facts(file: str) -> list[Fact]:
    """The rows of a file of tests/golden."""
    with open(REPOSITORY / f"tests/golden/{file}.csv", newline="") as opened:
        rows = list(csv.DictReader(opened))
    return [
        Fact(
            *_architecture(row, FILES[file]),
            int(row.get("image_size", 32)),
            int(row.get("params_1class") or row["params_1class_stem16"]),
            int(row["relu_calls"]),
            int(row["relu_units_per_image"]),
            float(row["score_mean"]),
            float(row["score_std"]),
            int(row["n_inits"]),
        )
        for row in rows
    ]


def _architecture(row: dict[str, str], space: str | None) -> tuple[str, str]:
    if "arch" in row:
        assert space is not None
        return space, row["arch"]
    if "adjacency" in row:
        assert space is not None
        return space, f'{{"adjacency": {row["adjacency"]}, "operations": {row["operations"]}}}'
    net = json.loads(row["net"])
    if row["space"] == "ResNeXt-A":
        # That code took the files' number of groups for their width; see golden/README.md.
        bottlenecks = [round(w * m) for w, m in zip(net["ws"], net["bot_muls"], strict=True)]
        net["num_gs"] = [width // group for width, group in zip(bottlenecks, net["num_gs"], strict=True)]
    return "nds-" + row["space"].lower() + ("-in" if row["family"] == "imagenet" else ""), json.dumps(net)


def counts(fact: Fact) -> tuple[int, int, int]:
    """Parameters, applications and units of our network."""
    network = SPACES.get(fact.space).build(fact.arch)
    counted = count_units(network, torch.randn(2, 3, fact.image_size, fact.image_size))
    return sum(p.numel() for p in network.parameters()), counted.applications, counted.units


def difference(fact: Fact) -> tuple[float, float]:
    """Our mean score less theirs, and the standard error of that (from a pooled deviation of at least 0.3)."""
    space = SPACES.get(fact.space)
    scores = []
    for init in range(fact.inits):
        torch.manual_seed(derive(20, space.canonical(fact.arch), init))
        batch = torch.randn(128, 3, fact.image_size, fact.image_size).contiguous(memory_format=torch.channels_last)
        scores.append(float(naswot_ext.score(space.build(fact.arch), batch)))
    pooled = max(math.sqrt((fact.score_std**2 + np.var(scores, ddof=1)) / 2), 0.3)
    return float(np.mean(scores)) - fact.score_mean, pooled * math.sqrt(2 / fact.inits)


def main() -> None:
    """Print the table of agreement."""
    print("| space | networks | params, applications, units equal | score: mean z | std of z | max abs z |")
    print("|---|---|---|---|---|---|")
    for file in FILES:
        for space in dict.fromkeys(fact.space for fact in facts(file)):
            of_space = [fact for fact in facts(file) if fact.space == space]
            equal = sum(counts(fact) == (fact.params, fact.applications, fact.units) for fact in of_space)
            z = np.array([np.divide(*difference(fact)) for fact in of_space])
            spread = f"{z.std(ddof=1):.2f}" if len(z) > 1 else ""
            cells = (space, len(of_space), equal, f"{z.mean():+.2f}", spread, f"{abs(z).max():.2f}")
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
