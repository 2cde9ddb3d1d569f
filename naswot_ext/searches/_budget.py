"""The simulated training budget of the searches that evaluate: what an evaluation shows, costs, and when a run ends.

An evaluation is a short training of one architecture: it shows the validation accuracy after `epochs` epochs and costs
the seconds of that training with one pass over the validation images. The run ends with the evaluation that would not
fit into the `budget`; this one neither counts nor is seen. The result is the architecture with the best validation
accuracy seen. Each evaluation is paid for, one of an architecture seen before too. Source: Dong & Yang, ICLR 2020,
section 5 (12 epochs on half of CIFAR-10, 12,000 s).

Options of them all: `budget`, seconds (default 12,000); `epochs` (default 12); `dataset`, whose training is simulated
(default: the one that was scored on where the ground truth has such a training of it, else the first that has one).
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from naswot_ext.errors import NaswotError, unknown
from naswot_ext.searches import Candidates, Found
from naswot_ext.truth import Trained

log = logging.getLogger(__name__)

BUDGET = 12_000.0
EPOCHS = 12
# So many draws of architectures without ground truth in a row end a run: it may have settled on such.
PATIENCE = 1_000


class Budget:
    """One run's account of the evaluations of architectures, which go by their positions among the candidates.

    Only an architecture whose accuracy and cost the ground truth knows can be evaluated; how many are passed over is
    logged. Raises NaswotError where there is not one, or where not even the cheapest fits into the budget.
    """

    def __init__(self, search: str, among: Candidates, options: Mapping[str, Any]) -> None:
        self.among = among
        self.limit = float(options.get("budget", BUDGET))
        self.dataset, self.epochs, self._trained = simulated(search, among, options)
        self._search = search
        accuracy, seconds = self._trained
        rows = f"dataset {self.dataset} and epochs {self.epochs}"
        what = f"The search {search} goes by the validation accuracy after {self.epochs} epochs on {self.dataset}"
        # A training that costs nothing would never use up the budget.
        paid = np.isfinite(seconds) & (seconds > 0)
        if not np.isfinite(accuracy).any():
            raise NaswotError(f"{what}: in {among.source}, the column valid_accuracy is empty for {rows}.")
        if not paid.any():
            raise NaswotError(
                f"{what} and pays for it in seconds: in {among.source}, the column train_seconds is empty for {rows}; "
                f"give spaces.{among.space.name}.benchmark.accuracy[..].train_seconds."
            )
        self.evaluable = np.isfinite(accuracy) & paid
        self.require(self.evaluable, rows)
        cheapest = seconds[self.positions].min()
        if cheapest > self.limit:
            raise NaswotError(
                f"The budget of the search {search} is {self.limit:g} s, but the cheapest evaluation ({rows}) takes "
                f"{cheapest:.6g} s. Give it a larger budget."
            )
        self.spent = 0.0
        self.evaluations = 0
        self.best = -1
        self.best_accuracy = -math.inf
        self.over = False

    def require(self, known: npt.NDArray[np.bool_], rows: str) -> None:
        """Leave only those `evaluable` whose accuracy and cost in some `rows` are `known` [C]; how many go is logged.

        Raises NaswotError where none is left.
        """
        self.evaluable = self.evaluable & known
        self.positions = np.flatnonzero(self.evaluable)
        lacking = len(self.among) - len(self.positions)
        if not len(self.positions):
            raise NaswotError(
                f"The search {self._search} can evaluate nothing: no architecture of {self.among.source} has both "
                f"valid_accuracy and train_seconds for {rows}."
            )
        if lacking:
            _say_once(
                f"{lacking} of {len(self.among)} architectures of {self.among.source} have no valid_accuracy or no "
                f"train_seconds for {rows}: searches with a budget pass them over"
            )

    def pay(self, seconds: float) -> bool:
        """Whether `seconds` fit into what is left of the budget, which they are taken from; if not, the run is over."""
        if self.spent + seconds > self.limit:
            self.over = True
        if not self.over:
            self.spent += seconds
        return not self.over

    def evaluate(self, position: int) -> float | None:
        """The validation accuracy in percent of an `evaluable` architecture, or None: the budget ends before it."""
        if not self.pay(float(self._trained.seconds[position])):
            return None
        self.evaluations += 1
        accuracy = float(self._trained.valid_accuracy[position])
        if accuracy > self.best_accuracy:
            self.best, self.best_accuracy = position, accuracy
        return accuracy

    def give_up(self) -> None:
        """Say that a run ends though it has budget left, since `PATIENCE` draws could not be evaluated."""
        _say_once(
            f"Runs of the search {self._search} end before their budget is spent: {PATIENCE:,} draws in a row are not "
            f"among the {len(self.positions)} architectures of {self.among.source} that can be evaluated"
        )

    def random(self, rng: np.random.Generator) -> int:
        """A uniform random evaluable architecture."""
        return int(self.positions[rng.integers(len(self.positions))])

    def found(self) -> Found:
        """What the run has found: the first architecture with the best validation accuracy, what it cost."""
        return Found(self.best, self.spent, self.evaluations)


def simulated(search: str, among: Candidates, options: Mapping[str, Any]) -> tuple[str, int, Trained]:
    """The data set, length and table of the training to simulate; raises NaswotError where the truth lacks it."""
    epochs = int(options.get("epochs", EPOCHS))
    datasets = list(dict.fromkeys(dataset for dataset, _ in among.trained))
    dataset = options.get("dataset")
    if not dataset:
        trained = [name for name in datasets if (name, epochs) in among.trained]
        dataset = among.scored_on if among.scored_on in trained else [*trained, *datasets][0]
    if dataset not in datasets:
        raise unknown(f"data set of {among.source}, which the search {search} goes by", dataset, datasets)
    if (dataset, epochs) not in among.trained:
        lengths = ", ".join(str(length) for name, length in sorted(among.trained) if name == dataset)
        raise NaswotError(
            f"The search {search} goes by the validation accuracy after {epochs} epochs on {dataset}: {among.source} "
            f"has no row with dataset {dataset} and epochs {epochs} (it has {lengths}). Add such rows, or set `epochs` "
            "to a length that it has."
        )
    return dataset, epochs, among.trained[dataset, epochs]


@functools.lru_cache(maxsize=64)
def _say_once(text: str) -> None:
    # Every run of a search looks again; the table stays the same.
    log.warning(text)
