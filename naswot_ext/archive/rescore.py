"""Scores a random sample of architectures again, from the archived images, as their score table says they were."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from naswot_ext.archive.container import sha256
from naswot_ext.archive.jobs import machine
from naswot_ext.errors import NaswotError
from naswot_ext.provenance import read_provenance, read_table, software
from naswot_ext.proxy_names import REGISTERED

# The same code on the same kind of CPU, with as many threads and the same torch, gives the same bits: nothing may
# differ. Elsewhere sums are rounded in another order: gradients differ a little, and a value near zero may get another
# sign, and with it a bit of a network's code. How far scores may then be apart, relative to the larger: a few times
# what 8 networks of NAS-Bench-201 differed by when AVX2 or SSE4.1 stood in for AVX-512 (32 images, float32: at most
# 5e-4, NASWOT 8e-7; ZiCo 1e-2, because it divides by deviations of gradients near zero).
EXACT = 0.0
ELSEWHERE = 2e-3
_ILL_CONDITIONED = {"zico": 5e-2}
# tf32 and bfloat16 round so coarsely that other kernels give other scores; not measured, as no machine has both.
_ROUNDED = 1e-1
# What `scoring.score_architectures` records, and the columns that it writes. (Its module would bring torch with it.)
_FACTS = {"batch", "device", "network", "precision", "proxy", "seed", "space", "threads", "torch"}
_COLUMNS = {"arch_index", "arch", "score", "status", "units"}


@dataclass(frozen=True)
class Task:
    """One score table and the rows of it that are scored again.

    Attributes:
        table: the table's file.
        rows: their numbers in it.
        batch: the file of the images that were scored.
        listing: the file that numbers the architectures, where there is one.
        tolerance: how far a score may be from the archived one, relative to the larger of the two.
        why: which of the tolerances that is.
    """

    table: Path
    rows: tuple[int, ...]
    batch: Path
    listing: Path | None
    tolerance: float
    why: str


@dataclass(frozen=True)
class Outcome:
    """What came of scoring again.

    Attributes:
        compared: how many architectures.
        largest: the largest relative difference of two scores.
        problems: a sentence for each that differs.
    """

    compared: int
    largest: float
    problems: tuple[str, ...]


def score_tables(results: Path) -> dict[str, list[Path]]:
    """The tables of one registered proxy's scores, by the folder of their space and data set.

    Those of several proxies are shards of these; aggregates are ranks, made from these; a proxy of the user's own is
    code that is not this project's.
    """
    found: dict[str, list[Path]] = {}
    for kind in ("claims", "scores"):
        for path in sorted((results / kind).glob("*/*/*/seed-*.parquet")):
            if path.parent.name in REGISTERED.names() and pq.read_metadata(path).num_rows:
                found.setdefault(path.parents[1].relative_to(results).as_posix(), []).append(path)
    return found


def draw(tables: Sequence[Path], count: int, random: np.random.Generator) -> dict[Path, tuple[int, ...]]:
    """`count` rows of these tables, but at least one of each where `count` is not 0: {table: numbers of rows}."""
    if not count:
        return {}
    rows = {path: random.permutation(pq.read_metadata(path).num_rows) for path in tables}
    others = [(path, row) for path, numbers in rows.items() for row in numbers[1:]]
    drawn = {path: [numbers[0]] for path, numbers in rows.items()}
    for i in random.permutation(len(others))[: max(0, count - len(tables))]:
        drawn[others[i][0]].append(others[i][1])
    return {path: tuple(sorted(int(number) for number in numbers)) for path, numbers in drawn.items()}


def plan(archive: Path, count: int, random: np.random.Generator) -> dict[str, list[Task | str]]:
    """What is scored again, by the folder of space and data set; a sentence stands for a table that cannot be."""
    batches = {sha256(path): path for path in sorted((archive / "results/batches").rglob("*.npz"))}
    plans: dict[str, list[Task | str]] = {}
    for place, tables in score_tables(archive / "results").items():
        rows = draw(tables, count, random)
        for path in tables:
            facts = read_provenance(path)
            problem = _unknown(path, facts)
            batch = batches.get(facts.get("batch", ""))
            if not problem and not batch:
                problem = "the images that it was scored on are not in the archive"
            if problem or not batch:
                plans.setdefault(place, []).append(f"{path.relative_to(archive)} cannot be scored again: {problem}")
            elif path in rows:
                listing = archive / f"results/architectures/{facts['space']}.parquet"
                allowed = tolerance(facts, archive)
                task = Task(path, rows[path], batch, listing if listing.is_file() else None, *allowed)
                plans.setdefault(place, []).append(task)
    return plans


def _unknown(path: Path, facts: Mapping[str, Any]) -> str | None:
    """What a table does not say of how it was scored, or says otherwise than its name, or None."""
    missing = sorted(_FACTS - facts.keys()) or sorted(_COLUMNS - set(pq.read_schema(path).names))
    if missing:
        return f"it does not say its {', '.join(missing)}"
    named = (path.parents[2].name, path.parent.name, path.stem)
    if named != (facts["space"], facts["proxy"], f"seed-{facts['seed']}"):
        return "it says that it is of another space, proxy or seed than its name"
    return None


def tolerance(facts: Mapping[str, Any], archive: Path) -> tuple[float, str]:
    """How far scores may differ that were made with these facts of a table and on the archive's machines, and why."""
    machines = json.loads((archive / "environment/machines.json").read_text())["made_on"]
    here = {key: machine()[key] for key in ("cpu", "instructions")}
    others = sum({**made, **here} != made for made in machines)
    if facts["device"] != "cpu":
        why = f"made on {facts['device']}"
    elif others or not machines:
        why = f"{others} of {len(machines)} machines that made the archive are unlike this one"
    elif facts["torch"] != software()["torch"]:
        why = f"made with torch {facts['torch']}, which is not the one here"
    else:
        return EXACT, "as on this kind of machine"
    if facts["precision"] != "float32":
        return _ROUNDED, f"{why}, in {facts['precision']}"
    return _ILL_CONDITIONED.get(facts["proxy"], ELSEWHERE), why


def score_again(task: Task) -> Outcome:
    """Score the rows of a task on the CPU, or on a GPU where they were and there is one, and compare."""
    import torch

    from naswot_ext.devices import claim
    from naswot_ext.sampling import open_listing
    from naswot_ext.scoring import score_architectures

    table, facts = read_table(task.table), read_provenance(task.table)
    old = table.iloc[list(task.rows)].reset_index(drop=True)
    name = "/".join(task.table.parts[-5:])
    space, _ = open_listing(facts["space"], facts["network"], task.listing)
    with tempfile.TemporaryDirectory(prefix="naswot-score-") as temporary, claim(facts["device"]) as device:
        precision = facts["precision"]
        if device == "cpu" and precision == "tf32":
            precision = "float32"  # what a GPU rounds, a CPU does not
        made = Path(temporary, "scores.parquet")
        try:
            score_architectures(
                space,
                old["arch_index"].to_numpy(np.int64),
                facts["proxy"],
                task.batch,
                facts["seed"],
                made,
                device=device,
                threads=facts["threads"],
                precision=precision,
                record_seconds=False,
                progress=False,
            )
        except (NaswotError, torch.OutOfMemoryError) as error:
            return Outcome(0, math.nan, (f"{name} cannot be scored again: {error}",))
        new = read_table(made)
    apart = [_apart(a, b) for a, b in zip(old["score"], new["score"], strict=True)]
    problems = []
    for i in range(len(old)):
        row, again = old.iloc[i], new.iloc[i]
        who = f"{name}, architecture {row['arch_index']}"
        for column in ("arch", "status", "units"):
            if row[column] != again[column]:
                problems.append(f"{who}: {column} is {row[column]} in the archive, {again[column]} now")
        if apart[i] > task.tolerance:
            problems.append(
                f"{who}: score is {float(row['score'])!r} in the archive, {float(again['score'])!r} now: "
                f"{apart[i]:.1e} apart, at most {task.tolerance:.0e} is allowed"
            )
    return Outcome(len(old), max(apart), tuple(problems))


def _apart(a: float, b: float) -> float:
    """The difference relative to the larger; 0 where both are the same, or neither is a number."""
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    if not (math.isfinite(a) and math.isfinite(b)):
        return math.inf
    return abs(a - b) / max(abs(a), abs(b))
