"""REINFORCE: a policy of one softmax for each decision of the space learns from the accuracies that it draws.

Each step draws an architecture from the policy, pays for its training, and moves the logits by Adam along
(reward - baseline) x the gradient of the log-probability. The reward is the validation accuracy in percent, the
baseline its exponential moving average, with the bias of its start removed. An architecture without ground truth is
drawn again, free of charge and without a step.

Options: `learning_rate` (default 0.05), `momentum` of the baseline (default 0.9), and `budget`, `epochs`, `dataset`
(see `_budget`). Source: Williams 1992; as a baseline of NAS-Bench-201, Dong & Yang, ICLR 2020. The learning rate of the
published numbers is not known for certain. Of Adam with 0.01, 0.02, 0.05, 0.1, 0.2 and 0.5, it is 0.05 that gives them;
0.1 is close, and 0.5, in the authors' documented command, is far off, with the authors' own classes too. Their code
also lets the evaluation that crosses the budget win; here, as in their other searches, it does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from naswot_ext.searches import SEARCHES, Candidates, Found, Search
from naswot_ext.searches._budget import PATIENCE, Budget
from naswot_ext.searches._decisions import decisions_of

_BETAS, _EPSILON, _INITIAL = (0.9, 0.999), 1e-8, 1e-3


def reinforce(among: Candidates, options: Mapping[str, Any], run: int, rng: np.random.Generator) -> Found:
    """One run; its seconds are those of the simulated trainings. Raises NaswotError for a space without decisions."""
    space = among.space
    decisions = decisions_of("reinforce", space)
    budget = Budget("reinforce", among, options)
    policy = Policy(decisions, float(options.get("learning_rate", 0.05)), rng)
    momentum, average, weight = float(options.get("momentum", 0.9)), 0.0, 0.0
    misses = 0
    while misses < PATIENCE:
        codes = policy.draw(rng)
        position = among.position(space.decode(codes.tolist()))
        if position < 0 or not budget.evaluable[position]:
            misses += 1
            continue
        misses = 0
        reward = budget.evaluate(position)
        if reward is None:
            return budget.found()
        average = momentum * average + (1 - momentum) * reward
        weight = momentum * weight + (1 - momentum)
        policy.learn(codes, reward - average / weight)
    budget.give_up()
    return budget.found()


class Policy:
    """Independent softmax distributions over the options of D decisions, and Adam on their logits."""

    def __init__(self, decisions: tuple[int, ...], learning_rate: float, rng: np.random.Generator) -> None:
        shape = len(decisions), max(decisions)
        exists = np.arange(shape[1]) < np.array(decisions)[:, None]
        self.logits = np.where(exists, _INITIAL * rng.standard_normal(shape), -np.inf)
        self._rows = np.arange(shape[0])
        self._rate = learning_rate
        self._first, self._second, self._steps = np.zeros(shape), np.zeros(shape), 0

    def probabilities(self) -> npt.NDArray[np.float64]:
        """Of each option, [D, options]."""
        weights = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def draw(self, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """One option for each decision, [D]."""
        below = self.probabilities().cumsum(axis=1)[:, :-1]
        return (rng.random((len(below), 1)) > below).sum(axis=1)

    def learn(self, codes: npt.NDArray[np.intp], advantage: float) -> None:
        """One step of Adam (Kingma & Ba 2015, its defaults) down -advantage x log-probability of `codes` [D]."""
        gradient = advantage * self.probabilities()
        gradient[self._rows, codes] -= advantage
        self._steps += 1
        for moment, beta, value in zip((self._first, self._second), _BETAS, (gradient, gradient**2), strict=True):
            moment += (1 - beta) * (value - moment)
        first, second = (
            moment / (1 - beta**self._steps) for moment, beta in zip((self._first, self._second), _BETAS, strict=True)
        )
        self.logits -= self._rate * first / (np.sqrt(second) + _EPSILON)


SEARCHES.register("reinforce")(Search(reinforce, uses_scores=False))
