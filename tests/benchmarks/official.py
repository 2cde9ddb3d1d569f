"""Results as the official packages record them, made by their own classes: `nats_bench` and `nas_201_api`."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Trained:
    """The trainings of one architecture on one data set: means over the seeds, of the last epoch."""

    splits: Mapping[str, float]  # accuracy in percent
    params: float  # millions
    seconds: float = 10.0  # of training for one epoch
    split_seconds: float = 2.0
    seeds: Sequence[int] = (777,)


def state(api: ModuleType, index: int, arch: str, epochs: int, trained: Mapping[str, Trained]) -> dict[str, Any]:
    """The state dict of an `ArchResults` of the package whose `api_utils` module is `api`."""
    results = api.ArchResults(index, arch)
    for dataset, of in trained.items():
        for place, seed in enumerate(of.seeds):
            # Every seed differs; their mean is what was asked for.
            aside = 0.01 * (place - (len(of.seeds) - 1) / 2)
            table = {epoch: 5.0 + epoch / epochs for epoch in range(epochs)}
            config = {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": 10}
            training = api.ResultsCount(
                dataset,
                None,
                table,
                table,
                np.float64(of.params),
                1.5,
                config,
                f"{seed:04d}",
                epochs,
                [np.float64(0.01)],
            )
            times = OrderedDict((epoch, of.seconds) for epoch in range(epochs))
            training.update_train_info(table, table, table, times)
            keys = [f"{split}@{epoch}" for split in of.splits for epoch in range(epochs)]
            last = {f"{split}@{epochs - 1}": accuracy + aside for split, accuracy in of.splits.items()}
            training.update_eval(
                dict.fromkeys(keys, 1.0) | last, dict.fromkeys(keys, 2.0), dict.fromkeys(keys, of.split_seconds)
            )
            results.update(dataset, seed, training)
    results.clear_params()
    return results.state_dict()


class Hostile:
    """Runs a command when it is unpickled by the wrong hands."""

    def __init__(self, trace: object) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)
