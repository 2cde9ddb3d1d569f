"""NAS-Bench-101's own file, `nasbench_only108.tfrecord` (or `nasbench_full.tfrecord`): Ying et al., ICML 2019.

A TFRecord a training run: JSON [hash, epochs, adjacency, operations, metrics], metrics a base64 protocol buffer
`ModelMetrics` with three evaluations: before, half-way through and after training. The official reader needs TensorFlow
1 and is on no package index, so the file is read here: one record at a time, checksums and hashes checked.

A cell's index is the place at which the file first names it, which is the order of the official reader. Of the full
file's runs of 4, 12, 36 and 108 epochs only those of 108 are used, the benchmark's whole training.

`path` is the file, or a folder that holds it under one of those names.

Option `accuracy`: "mean" (default) over a cell's runs, normally three, or "max". "max" takes the highest validation and
the highest test accuracy each for itself, be they of different runs; the reference code of the paper takes the highest
test accuracy. The seconds of training are the mean in both cases.
"""

from __future__ import annotations

import binascii
import json
import math
import operator
import os
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from naswot_ext.benchmarks import _protobuf, source
from naswot_ext.benchmarks._tfrecord import records
from naswot_ext.errors import NaswotError, shown, unknown
from naswot_ext.spaces import SearchSpace
from naswot_ext.spaces.nasbench101 import cell_hash, parse

EPOCHS = 108
# In a folder, the first of these: what is read of the second is the same, but takes longer.
FILES = ("nasbench_only108.tfrecord", "nasbench_full.tfrecord")
# Fields of `ModelMetrics` and of its `EvaluationData`: number and wire type.
_EVALUATION, _PARAMS = (1, _protobuf.BYTES), (2, _protobuf.VARINT)
_SECONDS, _VALID, _TEST = ((number, _protobuf.DOUBLE) for number in (2, 4, 5))
_EVALUATIONS = 3
_ROW = (str, int, str, str, str)


class Run(NamedTuple):
    """What a training run ended with; accuracies are fractions."""

    valid: float
    test: float
    seconds: float
    params: int


class _Cells:
    """The cells of a file in the order in which it names them; with `check`, each is checked against its hash."""

    def __init__(self, check: bool) -> None:
        self._check = check
        self.architectures: list[str] = []
        self._index: dict[bytes, int] = {}

    def index(self, recorded: str, adjacency: str, operations: str) -> int:
        """The index of a record's cell; raises NaswotError where it is none, or has another hash than the record's."""
        try:
            key = bytes.fromhex(recorded)  # less than half of the text's memory
        except ValueError:
            raise NaswotError(f"{shown(recorded)} is not the hash of a cell: no hexadecimal digits.") from None
        index = self._index.get(key)
        given = f"{adjacency} {operations}"
        if index is None or given != self.architectures[index]:
            cell = parse(given)
            if self._check and (computed := cell_hash(cell)) != recorded:
                raise NaswotError(
                    f"the recorded hash is {shown(recorded)}, but that of its cell {shown(str(cell))} is {computed!r}."
                )
            if index is None:
                self._index[key] = index = len(self.architectures)
                self.architectures.append(str(cell))
        return index


class _Runs:
    """What is kept of the runs of each cell: the sums or maxima of the accuracies, and how many there were."""

    def __init__(self, accuracy: Callable[[float, float], float]) -> None:
        self._accuracy = accuracy
        self.valid, self.test, self.seconds = array("d"), array("d"), array("d")
        self.params, self.count = array("q"), array("i")

    def add(self, cell: int, metrics: str) -> None:
        run = final(metrics)
        while len(self.count) <= cell:
            for kept in (self.valid, self.test, self.seconds, self.params, self.count):
                kept.append(0)
        if self.count[cell] and self.params[cell] != run.params:
            raise NaswotError(f"this run of the cell has {run.params} parameters, but another {self.params[cell]}.")
        self.valid[cell] = self._accuracy(self.valid[cell], run.valid)
        self.test[cell] = self._accuracy(self.test[cell], run.test)
        self.seconds[cell] += run.seconds
        self.params[cell] = run.params
        self.count[cell] += 1


def architectures(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    """The cells alone, as `rows` has them; the metrics are not decoded, nor the cells checked against their hashes."""
    cells = _read(space, _file(options["path"]), lambda cell, metrics: None, check=False)
    return pd.DataFrame({"arch_index": np.arange(len(cells)), "arch": cells})


@source("nasbench101", architectures)
def rows(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    """The ground truth of all cells; raises NaswotError, naming the record, where the file is not what it should be."""
    accuracy = options.get("accuracy", "mean")
    if accuracy not in ("mean", "max"):
        raise unknown("accuracy of nasbench101", accuracy, ("mean", "max"))
    path = _file(options["path"])
    runs = _Runs(max if accuracy == "max" else operator.add)
    cells = _read(space, path, runs.add, check=True)
    count = np.array(runs.count)
    if len(count) < len(cells) or not count.all():
        cell = cells[int(np.argmin(count)) if len(count) and not count.all() else len(count)]
        raise NaswotError(f"{path} has no run of {EPOCHS} epochs of the cell {shown(cell)}. Fetch the file again.")
    percent = 100 / (count if accuracy == "mean" else 1)
    return pd.DataFrame(
        {
            "arch_index": np.arange(len(cells)),
            "arch": cells,
            "dataset": "cifar10",
            "epochs": EPOCHS,
            "valid_accuracy": np.array(runs.valid) * percent,
            "test_accuracy": np.array(runs.test) * percent,
            "train_seconds": np.array(runs.seconds) / count,
            "n_seeds": count,
            "params": np.array(runs.params),
            "version": path.stem,
        }
    )


def _file(path: str | os.PathLike[str]) -> Path:
    """The file itself, also where `path` is its folder; raises NaswotError where the folder has none."""
    path = Path(path)
    if not path.is_dir():
        return path
    for name in FILES:
        if (path / name).is_file():
            return path / name
    raise NaswotError(f"{path} is a folder without {' or '.join(FILES)}. Give the folder that holds one, or the file.")


def _read(space: SearchSpace, path: Path, use: Callable[[int, str], None], check: bool) -> list[str]:
    """All cells of the file; `use` is given (index of the cell, metrics) for each run of 108 epochs."""
    if space.name != "nasbench101":
        raise NaswotError(f"The source nasbench101 holds ground truth of nasbench101, not of {space.name}.")
    cells = _Cells(check)
    for record in records(path):
        try:
            recorded, epochs, adjacency, operations, metrics = _row(record.data)
            cell = cells.index(recorded, adjacency, operations)
            if epochs == EPOCHS:
                use(cell, metrics)
        except NaswotError as error:
            raise NaswotError(
                f"{path}, record {record.number} (byte {record.offset}): {error} Its checksum is right: "
                "this is not NAS-Bench-101's file, or one that was changed."
            ) from None
    return cells.architectures


def _row(data: bytes) -> tuple[str, int, str, str, str]:
    try:
        row = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NaswotError(f"no JSON ({error}).") from None
    if not isinstance(row, list) or tuple(map(type, row)) != _ROW:
        raise NaswotError("the JSON is not [hash, epochs, adjacency, operations, metrics].")
    return cast(tuple[str, int, str, str, str], tuple(row))


def final(metrics: str) -> Run:
    """The last of the three evaluations of base64 `ModelMetrics`; raises NaswotError where it is broken or incomplete.

    An accuracy is missing also where it is no number from 0 to 1.
    """
    try:
        # Some encoders break lines.
        message = binascii.a2b_base64("".join(metrics.split()), strict_mode=True)
        evaluations, params = [], 0
        for number, wire_type, value in _protobuf.fields(message):
            if (number, wire_type) == _EVALUATION:
                evaluations.append(value)
            elif (number, wire_type) == _PARAMS:
                params = value
        if len(evaluations) != _EVALUATIONS:
            raise NaswotError(f"the metrics hold {len(evaluations)} evaluations instead of {_EVALUATIONS}.")
        values = {field[:2]: field[2] for field in _protobuf.fields(evaluations[-1])}
    except ValueError as error:
        raise NaswotError(f"the metrics cannot be decoded ({error}).") from None
    valid, test, seconds = (values.get(field, math.nan) for field in (_VALID, _TEST, _SECONDS))
    run = Run(valid, test, seconds, params)
    # Written so that NaN, too, is refused.
    if not (0 <= run.valid <= 1 and 0 <= run.test <= 1 and 0 <= run.seconds < math.inf and 0 < params < 1 << 31):
        raise NaswotError(f"a value of the last evaluation is missing or cannot be: {run}.")
    return run
