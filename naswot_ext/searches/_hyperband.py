"""BOHB where the ground truth has several lengths of training: optuna's TPE with its Hyperband over those lengths.

An architecture is trained to the shortest length; where Hyperband does not stop it, its training goes on to the next,
for the difference of their costs. The result is the best validation accuracy at the longest length that any reached.
Sampler (but for its multivariate form, BOHB's) and pruner have optuna's own defaults; its Hyperband goes through one
architecture at a time. Source: Falkner et al., ICML 2018; Li et al., JMLR 2018; Akiba et al., KDD 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna

from naswot_ext.errors import NaswotError
from naswot_ext.searches import Candidates, Found
from naswot_ext.searches._budget import PATIENCE, Budget


def hyperband(among: Candidates, options: Mapping[str, Any], rng: np.random.Generator) -> Found:
    """One run; its seconds are those of the simulated trainings, each part of one paid for once.

    `evaluations` counts a training that goes on as another one. Raises NaswotError where the ground truth has fewer
    than two lengths up to `epochs`.
    """
    budget = Budget("bohb", among, options)
    lengths = sorted(length for name, length in among.trained if name == budget.dataset and length <= budget.epochs)
    if len(lengths) < 2:
        raise NaswotError(
            f"The protocol hyperband of the search bohb stops trainings early: it needs rows of dataset "
            f"{budget.dataset} with two or more lengths up to {budget.epochs} epochs. {among.source} has only "
            f"{lengths[0]}. Add such rows, or set `protocol: official`."
        )
    accuracy = np.array([among.trained[budget.dataset, length].valid_accuracy for length in lengths])
    # What each length costs beyond the one before it.
    seconds = np.diff([among.trained[budget.dataset, length].seconds for length in lengths], axis=0, prepend=0)
    budget.require(np.isfinite(accuracy).all(axis=0) & (seconds > 0).all(axis=0), f"all of {lengths} epochs")

    # Messages of every trial of every run would hide all others.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(multivariate=True, seed=int(rng.integers(2**32))),
        pruner=optuna.pruners.HyperbandPruner(lengths[0], lengths[-1], int(options.get("eta", 3))),
        study_name="bohb",  # which brackets the trials go to is a hash of it
    )
    longest_and_best, found, misses = (0, -np.inf), -1, 0
    while misses < PATIENCE:
        trial = study.ask()
        codes = [
            trial.suggest_categorical(f"decision {i}", range(count)) for i, count in enumerate(among.space.decisions)
        ]
        position = among.position(among.space.decode(codes))
        if position < 0 or not budget.evaluable[position]:
            misses += 1
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        misses = 0
        for step, length in enumerate(lengths):
            if not budget.pay(float(seconds[step, position])):
                return Found(found, budget.spent, budget.evaluations)
            budget.evaluations += 1
            shown = float(accuracy[step, position])
            if (length, shown) > longest_and_best:
                longest_and_best, found = (length, shown), position
            trial.report(shown, length)
            if length < lengths[-1] and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, shown)
    budget.give_up()
    return Found(found, budget.spent, budget.evaluations)
