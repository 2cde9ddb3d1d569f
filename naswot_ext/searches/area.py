"""AREA: regularised evolution whose first population is the best by score of a larger random sample.

`n_samples` architectures are drawn among the scored ones, with replacement; those with the highest scores, as many as
the population has members, are trained first, the best first. Scoring is paid for out of the same budget, as far as
its seconds are known. An architecture without an eligible score (singular, failed) cannot be among the first; where
too few are left, random ones fill the population.

Options: `n_samples` (default 20), `proxy`, whose scores (default naswot), `how` ranks are combined where it is an
aggregate, and those of `rea`. With several seeds of scores, run r uses seed r modulo their number. Source: Mellor et
al., ICML 2021, section 5 (assisted regularised evolution).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from naswot_ext.errors import NaswotError
from naswot_ext.searches import SEARCHES, Candidates, Found, Search, draw
from naswot_ext.searches._budget import Budget
from naswot_ext.searches.rea import evolve, population_of


def area(among: Candidates, options: Mapping[str, Any], run: int, rng: np.random.Generator) -> Found:
    """One run; its seconds are those of scoring and of the simulated trainings."""
    count, size = int(options.get("n_samples", 20)), population_of(options)
    if count < size:
        raise NaswotError(f"n_samples is {count}, less than the population of {size} that the best of them make up.")
    budget = Budget("area", among, options)
    drawn = draw(among, {**options, "n_samples": count}, rng)
    table = run % len(among.scores)
    budget.pay(float(np.nansum(among.scores[table].seconds[drawn])))
    # Who cannot be trained takes no part: it must not change the ranks of the others.
    drawn = drawn[budget.evaluable[drawn]]
    values = among.values(table, drawn, options.get("how", "mean"))
    best_first = np.argsort(-values, kind="stable")[: np.isfinite(values).sum()]
    return evolve(budget, options, rng, drawn[best_first[:size]].tolist())


SEARCHES.register("area")(Search(area, uses_scores=True))
