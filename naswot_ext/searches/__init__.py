"""Search algorithms, one file each: (candidates, options) -> the architecture that each run finds.

A run draws from the candidates, the architectures that were sampled for scoring and have ground truth. Run r of
every algorithm draws with the same seed, so that algorithms can be compared run by run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from naswot_ext.errors import NaswotError
from naswot_ext.registry import Registry
from naswot_ext.seeds import derive
from naswot_ext.truth import final_accuracies

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidates:
    """What a search may see: aligned arrays over C candidate architectures.

    `accuracy` holds percent float64 [C] under (data set, split) at the longest training length, NaN where none.
    `scores` and `seconds` are float64 [C], one a seed of the score tables; a score is NaN where the architecture is
    singular or failed, so that it can never be chosen.
    """

    arch_index: npt.NDArray[np.int64]
    arch: npt.NDArray[Any]
    accuracy: Mapping[tuple[str, str], npt.NDArray[np.float64]]
    scored_on: str
    scores: Sequence[npt.NDArray[np.float64]] = ()
    seconds: Sequence[npt.NDArray[np.float64]] = ()

    def __len__(self) -> int:
        return len(self.arch_index)


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
    """An algorithm, and whether it reads the scores of a proxy."""

    run: Algorithm
    uses_scores: bool


SEARCHES: Registry[Search] = Registry("search algorithm", __name__)


def candidates(
    sampled: Sequence[int] | npt.NDArray[np.integer],
    truth: pd.DataFrame,
    scored_on: str,
    scores: Sequence[pd.DataFrame] = (),
) -> Candidates:
    """Join the sampled architectures with their ground truth and, one table a seed, their scores.

    Raises NaswotError where not one sampled architecture has ground truth, or a score table lacks one.
    """
    names = truth.drop_duplicates("arch_index").set_index("arch_index")["arch"]
    index = np.asarray([i for i in sampled if i in names.index], np.int64)
    if len(index) < len(sampled):
        log.warning("%d of %d sampled architectures have no ground truth", len(sampled) - len(index), len(sampled))
    if not len(index):
        raise NaswotError(
            f"None of the {len(sampled)} sampled architectures has ground truth. Set `draw_from: table`, "
            "sample more, or give a larger table."
        )
    accuracy = {where: column.reindex(index).to_numpy(np.float64) for where, column in final_accuracies(truth).items()}
    aligned = [_align(table, index) for table in scores]
    return Candidates(
        index,
        names.reindex(index).to_numpy(),
        {where: column for where, column in accuracy.items() if not np.isnan(column).all()},
        scored_on,
        scores=[table["score"].where(table["status"] == "ok").to_numpy(np.float64) for table in aligned],
        seconds=[table["seconds"].to_numpy(np.float64) for table in aligned],
    )


def _align(table: pd.DataFrame, index: npt.NDArray[np.int64]) -> pd.DataFrame:
    by_index = table.set_index("arch_index")
    missing = np.setdiff1d(index, by_index.index.to_numpy())
    if len(missing):
        raise NaswotError(
            f"{len(missing)} sampled architectures were not scored, the first is number {missing[0]}. Score them first."
        )
    return by_index.loc[index]


def run(algorithm: str, options: Mapping[str, Any], among: Candidates, runs: int, seed: int) -> pd.DataFrame:
    """Run a search `runs` times; one row a run: run, seed, arch_index, arch, accuracies, seconds, evaluations.

    The accuracy columns are "{dataset}_{split}", in percent. A run that finds nothing eligible has arch_index -1.
    Raises NaswotError for an unknown algorithm, no runs, or candidates that lack what the algorithm needs.
    """
    search = SEARCHES.get(algorithm)
    if runs < 1:
        raise NaswotError(f"Cannot make {runs} runs of {algorithm}: searches.runs must be at least 1.")
    if search.uses_scores and not among.scores:
        raise NaswotError(f"The search {algorithm} needs the scores of a proxy; none were given.")
    rows = []
    for number in range(runs):
        run_seed = derive(seed, "search", number)
        found = search.run(among, options, number, np.random.default_rng(run_seed))
        hit = found.position >= 0
        rows.append(
            {
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
        )
    return pd.DataFrame(rows).astype({"arch_index": "int32", "evaluations": "int64"})


def draw(among: Candidates, options: Mapping[str, Any], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """`n_samples` positions, with replacement; raises NaswotError where that is more than there are candidates."""
    count = options["n_samples"]
    if not 0 < count <= len(among):
        raise NaswotError(
            f"n_samples is {count}, but {len(among)} architectures were scored and have ground truth. "
            f"Give 1 to {len(among)}, or score more architectures."
        )
    return rng.integers(len(among), size=count)


def best(values: npt.NDArray[np.float64], drawn: npt.NDArray[np.int64]) -> int:
    """The drawn position with the highest value, the first drawn of equal ones; -1 where all are NaN."""
    of_drawn = values[drawn]
    return -1 if np.isnan(of_drawn).all() else int(drawn[np.nanargmax(of_drawn)])
