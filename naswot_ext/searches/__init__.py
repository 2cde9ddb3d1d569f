"""Search algorithms, one file each: what a run may see and a seed -> the architecture that the run finds.

There are two kinds. A `Search` looks up: it draws from candidates, whose accuracies and scores are known, so that 500
runs take seconds. A `NetworkSearch` builds, scores or trains networks itself, and its seconds are the machine's.

Run r of every algorithm starts from the same seed, so that algorithms can be compared run by run, and runs can be
spread over any number of jobs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from naswot_ext.aggregates import aggregate
from naswot_ext.errors import NaswotError
from naswot_ext.registry import Registry
from naswot_ext.seeds import derive
from naswot_ext.spaces import ListedSpace, SearchSpace
from naswot_ext.truth import Trained, final_accuracies, trainings

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]


class Scores(NamedTuple):
    """What a search goes by: values float64 [proxies, C], NaN where one is not eligible, and seconds float64 [C].

    Several proxies are ranked among the architectures that a run compares, and their ranks combined.
    """

    values: Floats
    seconds: Floats


@dataclass(frozen=True)
class Candidates:
    """What a search may see: aligned arrays over the C architectures that have ground truth.

    `sampled` are the positions of those that were drawn for scoring. `accuracy` holds percent float64 [C] under
    (data set, split) at the longest training length, NaN where none; `trained`, under (data set, epochs), the
    validation accuracy and cost of each training that the ground truth knows. `scores`, one a seed of the score tables,
    are NaN where the architecture is singular, failed or was not scored, so that it can never be chosen.
    """

    space: SearchSpace
    arch_index: npt.NDArray[np.int64]
    arch: npt.NDArray[Any]
    sampled: npt.NDArray[np.int64]
    accuracy: Mapping[tuple[str, str], Floats]
    trained: Mapping[tuple[str, int], Trained]
    scored_on: str
    scores: Sequence[Scores] = ()
    # What the ground truth is called in messages.
    source: str = "the ground truth"
    _positions: dict[str, int] = field(default_factory=dict)
    _by_key: dict[str, int] = field(default_factory=dict)
    _neighbours: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.arch_index)

    def position(self, architecture: str) -> int:
        """Where an architecture stands; -1 where it has no ground truth."""
        if not self._positions:
            for position, name in enumerate(self.arch):
                self._positions.setdefault(name, position)
        return self._positions.get(architecture, -1)

    def neighbours(self, position: int) -> npt.NDArray[np.int64]:
        """Positions of the architectures one edit away that have ground truth, in the space's order."""
        if position not in self._neighbours:
            found = (self._same(name) for name in self.space.neighbours(self.arch[position]))
            self._neighbours[position] = np.array([x for x in found if x >= 0], np.int64)
        return self._neighbours[position]

    def _same(self, architecture: str) -> int:
        """`position` of an architecture that a space of listed ones may write in another way than its list does."""
        if not isinstance(self.space, ListedSpace):
            return self.position(architecture)
        if not self._by_key:
            for position, name in enumerate(self.arch):
                self._by_key.setdefault(self.space.key(name), position)
        return self._by_key.get(self.space.key(architecture), -1)

    def values(self, table: int, positions: npt.NDArray[np.int64], how: str = "mean") -> Floats:
        """The scores [n] of the architectures at `positions` [n], ranked among these where they go by several proxies.

        NaN where one is not eligible; `how` combines the ranks (see `aggregates.aggregate`).
        """
        values = self.scores[table].values[:, positions]
        return values[0] if len(values) == 1 else aggregate(values, how)


@dataclass(frozen=True)
class Found:
    """The outcome of one run: the position of the architecture among the candidates (-1: none), and its cost."""

    position: int
    seconds: float
    evaluations: int


# (candidates, options, run number, the run's random generator) -> what the run found
Algorithm = Callable[[Candidates, Mapping[str, Any], int, np.random.Generator], Found]


@dataclass(frozen=True)
class Search:
    """An algorithm that looks up, and whether it reads the scores of a proxy."""

    run: Algorithm
    uses_scores: bool


class Outcome(NamedTuple):
    """What one run of a `NetworkSearch` found: an architecture's string form (empty: none), and its cost.

    `seconds` is wall time on the device that it ran on, setting up included; `evaluations` is how many architectures
    (of weight sharing: sampled networks) it looked at.
    """

    arch: str
    seconds: float
    evaluations: int


@dataclass(frozen=True)
class Setting:
    """What one run of a `NetworkSearch` gets.

    Attributes:
        space: the search space, opened with its network options.
        sampled: indices int64 [C] of the architectures that a search among a sample may choose from.
        images: float32 [n, C, H, W] on the CPU, normalised, what the search may look at (not the test set).
        labels: int64 [n], or None.
        classes: the number of classes.
        options: the algorithm's options, with defaults.
        number: the run's number.
        seed: the run's seed, from which everything random derives.
        network_seed: the seed of the score tables that belong to the images.
        device: "cpu", "cuda:0", ...
        checkpoint: a file that does not exist, or that an earlier call with the same setting left when it was killed.
            The algorithm goes on from there, and gives the result that it would have given; the caller removes it.
        say: prints one line of progress.
        code: what tells this code, and the versions of what it runs on, from others.
    """

    space: SearchSpace
    sampled: npt.NDArray[np.int64]
    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64] | None
    classes: int
    options: Mapping[str, Any]
    number: int
    seed: int
    network_seed: int
    device: str
    checkpoint: Path
    say: Callable[[str], None]
    code: str = ""


@dataclass(frozen=True)
class NetworkSearch:
    """An algorithm that builds networks, and whether it needs the labels of the images."""

    run: Callable[[Setting], Outcome]
    needs_labels: bool


SEARCHES: Registry[Search | NetworkSearch] = Registry("search algorithm", __name__)


def candidates(
    space: SearchSpace,
    sampled: Sequence[int] | npt.NDArray[np.integer],
    truth: pd.DataFrame,
    scored_on: str,
    scores: Sequence[Sequence[pd.DataFrame]] = (),
    source: str = "the ground truth",
) -> Candidates:
    """Join the ground truth with the sampled architectures and their score tables, one for each proxy, for each seed.

    Raises NaswotError where not one sampled architecture has ground truth, or a score table lacks one.
    """
    names = truth.drop_duplicates("arch_index").set_index("arch_index")["arch"]
    drawn = np.asarray(sampled, np.int64)
    places = names.index.get_indexer(pd.Index(drawn))
    if (places < 0).any():
        log.warning("%d of %d sampled architectures have no ground truth", (places < 0).sum(), len(places))
    if (places < 0).all():
        raise NaswotError(
            f"None of the {len(drawn)} sampled architectures has ground truth. Set `draw_from: table`, "
            "sample more, or give a larger table."
        )
    index = names.index.to_numpy(np.int64)
    known = places[places >= 0]
    accuracy = {where: column.reindex(index).to_numpy(np.float64) for where, column in final_accuracies(truth).items()}
    return Candidates(
        space,
        index,
        names.to_numpy(),
        known,
        {where: column for where, column in accuracy.items() if not np.isnan(column[known]).all()},
        trainings(truth, index),
        scored_on,
        [_scores(tables, index, known) for tables in scores],
        source,
    )


def _scores(tables: Sequence[pd.DataFrame], index: npt.NDArray[np.int64], sampled: npt.NDArray[np.int64]) -> Scores:
    values, seconds = np.full((len(tables), len(index)), np.nan), np.full(len(index), np.nan)
    seconds[sampled] = 0
    for row, table in zip(values, tables, strict=True):
        by_index = table.set_index("arch_index")
        missing = np.setdiff1d(index[sampled], by_index.index.to_numpy())
        if len(missing):
            raise NaswotError(
                f"{len(missing)} sampled architectures were not scored, the first is number {missing[0]}. Score them "
                "first."
            )
        aligned = by_index.loc[index[sampled]]
        row[sampled] = aligned["score"].where(aligned["status"] == "ok").to_numpy(np.float64)
        seconds[sampled] += aligned["seconds"].to_numpy(np.float64)
    return Scores(values, seconds)


def run(
    algorithm: str, options: Mapping[str, Any], among: Candidates, runs: int | Iterable[int], seed: int
) -> pd.DataFrame:
    """Make runs 0, 1, ... `runs` - 1 (or those of the numbers given) of a search that looks up.

    One row a run: run, seed, arch_index, arch, accuracies, seconds, evaluations. The accuracy columns are
    "{dataset}_{split}", in percent. A run that finds nothing eligible has arch_index -1. Raises NaswotError for an
    unknown algorithm, one that builds networks, no runs, or candidates that lack what the algorithm needs.
    """
    search = SEARCHES.get(algorithm)
    if not isinstance(search, Search):
        raise NaswotError(f"The search {algorithm} builds networks: nothing can be looked up for it.")
    numbers = range(runs) if isinstance(runs, int) else list(runs)
    if not len(numbers):
        raise NaswotError(f"Cannot make {runs} runs of {algorithm}: searches.runs must be at least 1.")
    if search.uses_scores and not among.scores:
        raise NaswotError(f"The search {algorithm} needs the scores of a proxy; none were given.")
    rows = []
    for number in numbers:
        run_seed = run_seed_of(seed, number)
        found = search.run(among, options, number, np.random.default_rng(run_seed))
        rows.append(row_of(among, number, run_seed, found))
    return as_table(rows)


def run_seed_of(seed: int, number: int) -> int:
    """The seed of run `number`, the same for every algorithm."""
    return derive(seed, "search", number)


def row_of(among: Candidates, number: int, run_seed: int, found: Found) -> dict[str, Any]:
    """The row of one run in a search table."""
    hit = found.position >= 0
    return {
        "run": number,
        "seed": run_seed,
        "arch_index": among.arch_index[found.position] if hit else -1,
        "arch": among.arch[found.position] if hit else "",
        **{
            f"{dataset}_{split}": column[found.position] if hit else np.nan
            for (dataset, split), column in among.accuracy.items()
        },
        "seconds": found.seconds,
        "evaluations": found.evaluations,
    }


def as_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of runs in the types of a search table."""
    return pd.DataFrame(rows).astype({"arch_index": "int32", "seconds": "float64", "evaluations": "int64"})


def join(parts: Sequence[pd.DataFrame], among: Candidates) -> pd.DataFrame:
    """The table of a search from tables of some of its runs each, as `run` or `search_runs.run_networks` make them."""
    table = pd.concat(list(parts), ignore_index=True).sort_values("run", ignore_index=True)
    if "arch_index" in table:
        return table
    rows = []
    found: Any  # a named tuple of the columns
    for found in table.itertuples():
        outcome = Found(among.position(found.arch), found.seconds, found.evaluations)
        row = row_of(among, found.run, found.seed, outcome)
        if found.arch and outcome.position < 0:
            # Found, though the ground truth does not know its accuracy.
            row |= {"arch_index": among.space.index(found.arch), "arch": found.arch}
        rows.append(row)
    return as_table(rows)


def draw(among: Candidates, options: Mapping[str, Any], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """`n_samples` positions, with replacement; raises NaswotError where that is more than there are candidates."""
    count = options["n_samples"]
    if not 0 < count <= len(among.sampled):
        raise NaswotError(
            f"n_samples is {count}, but {len(among.sampled)} architectures were scored and have ground truth. "
            f"Give 1 to {len(among.sampled)}, or score more architectures."
        )
    return among.sampled[rng.integers(len(among.sampled), size=count)]


def best(values: Floats, drawn: npt.NDArray[np.int64]) -> int:
    """The drawn position with the highest value, both [n], the first drawn of equal ones; -1 where all are NaN."""
    return -1 if np.isnan(values).all() else int(drawn[np.nanargmax(values)])
