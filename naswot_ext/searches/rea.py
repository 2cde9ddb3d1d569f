"""REA: regularised evolution, in which the oldest of the population dies (Real et al., AAAI 2019, algorithm 1).

The first population is random. Then, until the simulated budget is spent: a tournament among random members, drawn with
replacement, the best of which gets a child with one random edge changed; the child joins, the oldest member leaves.

Options: `population` (default 10), `tournament` (default 3), and `budget`, `epochs`, `dataset` (see `_budget`). The
defaults are those of NAS-Bench-201 (Dong & Yang, ICLR 2020). Its code draws the node first and then one of the edges
that enter it; here, as in the space's own `mutate`, all neighbours are equally likely. Its first population is never
cut short by the budget, here it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from naswot_ext.errors import NaswotError
from naswot_ext.searches import SEARCHES, Candidates, Found, Search
from naswot_ext.searches._budget import Budget


def rea(among: Candidates, options: Mapping[str, Any], run: int, rng: np.random.Generator) -> Found:
    """One run; its seconds are those of the simulated trainings."""
    return evolve(Budget("rea", among, options), options, rng)


def evolve(budget: Budget, options: Mapping[str, Any], rng: np.random.Generator, first: Iterable[int] = ()) -> Found:
    """Regularised evolution from a population of `first` and, where these are too few, random architectures.

    Raises NaswotError for a population or tournament of less than one.
    """
    size, tournament = population_of(options), int(options.get("tournament", 3))
    if tournament < 1:
        raise NaswotError(f"tournament is {tournament}; a tournament is among 1 or more members of the population.")
    population: deque[tuple[float, int]] = deque(maxlen=size)  # full, it drops the oldest
    seeds = iter(first)
    while len(population) < size:
        seed = next(seeds, None)
        position = budget.random(rng) if seed is None else seed
        accuracy = budget.evaluate(position)
        if accuracy is None:
            return budget.found()
        population.append((accuracy, position))
    while True:
        drawn = (population[i] for i in rng.integers(size, size=tournament))
        _, parent = max(drawn, key=lambda member: member[0])
        child = mutated(budget, parent, rng)
        accuracy = budget.evaluate(child)
        if accuracy is None:
            return budget.found()
        population.append((accuracy, child))


def population_of(options: Mapping[str, Any]) -> int:
    """The size of the population; raises NaswotError where it is less than one."""
    size = int(options.get("population", 10))
    if size < 1:
        raise NaswotError(f"population is {size}; it must be 1 or more.")
    return size


def mutated(budget: Budget, position: int, rng: np.random.Generator) -> int:
    """A uniform random neighbour that can be evaluated; any architecture that can be where there is none."""
    neighbours = budget.among.neighbours(position)
    neighbours = neighbours[budget.evaluable[neighbours]]
    return int(neighbours[rng.integers(len(neighbours))]) if len(neighbours) else budget.random(rng)


SEARCHES.register("rea")(Search(rea, uses_scores=False))
