"""BOHB: Hyperband whose new architectures come from a tree-structured Parzen estimator (Falkner et al., ICML 2018).

There are two protocols, and what the ground truth holds decides which makes sense.

`official` (default) is the one of NAS-Bench-201's published numbers (Dong & Yang, ICLR 2020), for ground truth with one
short training. Brackets of successive halving run over `rungs` rungs (12 to 200 epochs by factors of 3: three), but
each evaluation, on any rung, is the same training of `epochs` epochs and is paid for again; their authors say so in
issue 71 of AutoDL-Projects. The result is the best of those that reached the last rung. The model is hpbandster's: on
the highest rung with enough evaluations, a density of the best `top_percent` and one of the others, with Aitchison and
Aitken's kernel for categories and a rule-of-thumb bandwidth of at least `min_bandwidth`; of `samples` draws around the
good ones the one with the highest ratio is taken, or, with probability `random_fraction`, a random architecture.

`hyperband` is for ground truth with several lengths up to `epochs` (NATS-Bench's per-epoch values): optuna's TPE and
Hyperband over the lengths that exist, see `_hyperband`.

Options: `protocol`; `eta` (default 3); `rungs` (3), `samples` (4), `random_fraction` (0), `min_bandwidth` (0.3) and
`top_percent` (15) of the official protocol, those of the published command; and `budget`, `epochs`, `dataset` (see
`_budget`). hpbandster's bandwidth factor is for continuous parameters; here there are none.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from naswot_ext.errors import NaswotError, unknown
from naswot_ext.searches import SEARCHES, Candidates, Found, Search
from naswot_ext.searches._budget import Budget
from naswot_ext.searches._decisions import decisions_of

Codes = npt.NDArray[np.int64]
_PROTOCOLS = ("official", "hyperband")
_TINY = 1e-32


def bohb(among: Candidates, options: Mapping[str, Any], run: int, rng: np.random.Generator) -> Found:
    """One run; its seconds are those of the simulated trainings. Raises NaswotError for a space without decisions."""
    protocol = options.get("protocol", "official")
    if protocol not in _PROTOCOLS:
        raise unknown("protocol of the search bohb", protocol, _PROTOCOLS)
    decisions_of("bohb", among.space)
    if protocol == "hyperband":
        # optuna takes a second to import.
        from naswot_ext.searches._hyperband import hyperband

        return hyperband(among, options, rng)
    return official(Budget("bohb", among, options), options, rng)


def official(budget: Budget, options: Mapping[str, Any], rng: np.random.Generator) -> Found:
    """Brackets of successive halving, one after the other, until the budget is spent."""
    eta, rungs = int(options.get("eta", 3)), int(options.get("rungs", 3))
    if eta < 2 or rungs < 1:
        raise NaswotError(f"eta is {eta} and rungs is {rungs}; eta must be 2 or more, rungs 1 or more.")
    model = Model(budget, rungs, options)
    incumbent = (-np.inf, -1)
    for bracket in itertools.count():
        halvings = rungs - 1 - bracket % rungs
        count = rungs // (halvings + 1) * eta**halvings
        members = [-1] * count  # to be proposed one by one: each goes by all results before it
        for halving in range(halvings + 1):
            rung, results = rungs - 1 - halvings + halving, []
            for member in members:
                position = model.propose(rng) if member < 0 else member
                accuracy = budget.evaluate(position)
                if accuracy is None:
                    # Without one that reached the last rung, the best of all.
                    found = incumbent[1] if incumbent[1] >= 0 else budget.best
                    return Found(found, budget.spent, budget.evaluations)
                model.add(rung, position, accuracy)
                if rung == rungs - 1 and accuracy > incumbent[0]:
                    incumbent = accuracy, position
                results.append((accuracy, position))
            keep = max(count // eta ** (halving + 1), 1)
            order = np.argsort([-accuracy for accuracy, _ in results], kind="stable")[:keep]
            members = [results[i][1] for i in sorted(order)]
    raise AssertionError  # the budget always ends


class Model:
    """What the evaluations on each rung say about where to look next."""

    def __init__(self, budget: Budget, rungs: int, options: Mapping[str, Any]) -> None:
        self._budget = budget
        self._space = budget.among.space
        self._levels = np.array(self._space.decisions)
        self._codes: list[list[tuple[int, ...]]] = [[] for _ in range(rungs)]
        self._accuracies: list[list[float]] = [[] for _ in range(rungs)]
        self._samples = int(options.get("samples", 4))
        self._random_fraction = float(options.get("random_fraction", 0.0))
        self._min_bandwidth = float(options.get("min_bandwidth", 0.3))
        self._top_percent = int(options.get("top_percent", 15))

    def add(self, rung: int, position: int, accuracy: float) -> None:
        """Take note of an evaluation."""
        self._codes[rung].append(self._space.encode(self._budget.among.arch[position]))
        self._accuracies[rung].append(accuracy)

    def propose(self, rng: np.random.Generator) -> int:
        """The position of the next architecture to evaluate."""
        split = self._split()
        if split is None or rng.random() < self._random_fraction:
            return self._budget.random(rng)
        good, bad = (Density(part, self._min_bandwidth) for part in split)
        shape = self._samples, len(self._levels)
        around = good.data[rng.integers(len(good.data), size=self._samples)]
        kept = rng.random(shape) < 1 - good.bandwidth
        drawn = np.where(kept, around, rng.integers(self._levels, size=shape))
        positions = [self._budget.among.position(self._space.decode(codes)) for codes in drawn.tolist()]
        lowest, chosen = np.inf, -1
        for position, of_good, of_bad in zip(positions, good(drawn), bad(drawn), strict=True):
            if position < 0 or not self._budget.evaluable[position]:
                continue
            ratio = max(_TINY, of_bad) / max(of_good, _TINY)
            # hpbandster's rule for what the bad ones have no example of (their density is infinite there): take it.
            if not np.isfinite(ratio) and np.isfinite(of_good):
                return position
            if ratio < lowest:
                lowest, chosen = ratio, position
        return chosen if chosen >= 0 else self._budget.random(rng)

    def _split(self) -> tuple[Codes, Codes] | None:
        """The codes of the good and of the other evaluations on the highest rung that has enough of both."""
        least = len(self._levels) + 1
        for codes, accuracies in zip(reversed(self._codes), reversed(self._accuracies), strict=True):
            total = len(codes)
            good = max(least, self._top_percent * total // 100)
            bad = max(least, (100 - self._top_percent) * total // 100)
            if total - good >= least:
                ranked = np.array(codes)[np.argsort(-np.array(accuracies), kind="stable")]
                return ranked[:good], ranked[good : good + bad]
        return None


class Density:
    """A kernel density estimate over categories, as hpbandster has it from statsmodels' KDEMultivariate.

    `data` [n, D] are the codes that it is of, `bandwidth` float64 [D] the normal reference rule on them as numbers. It
    may exceed 1, and a density be negative; where the data has one category only, the others' density is infinite.
    Both are as in hpbandster, and `Model.propose` bears them.
    """

    def __init__(self, data: Codes, min_bandwidth: float) -> None:
        self.data = data
        count, dimensions = data.shape
        rule = 1.06 * data.std(axis=0) * count ** (-1 / (4 + dimensions))
        self.bandwidth = np.maximum(rule, min_bandwidth)
        levels = np.array([len(set(column)) for column in data.T.tolist()])
        with np.errstate(divide="ignore"):
            self._elsewhere = self.bandwidth / (levels - 1)

    def __call__(self, codes: Codes) -> npt.NDArray[np.float64]:
        """The density at `codes` [m, D], [m]."""
        same = codes[:, None] == self.data
        with np.errstate(invalid="ignore"):
            return np.where(same, 1 - self.bandwidth, self._elsewhere).prod(axis=2).mean(axis=1)


SEARCHES.register("bohb")(Search(bohb, uses_scores=False))
