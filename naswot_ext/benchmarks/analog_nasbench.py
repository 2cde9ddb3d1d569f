"""CIFAR-10 test accuracies of all NAS-Bench-201 cells, from the PyPI package `analog-nasbench`.

They were trained independently of NAS-Bench-201's own, and are what lets the default config run on real results without
a download. The package has no validation accuracies.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from naswot_ext import pickles
from naswot_ext.benchmarks import source
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SearchSpace
from naswot_ext.spaces.nasbench201 import to_string

# The package's operation codes, and the place of each string-form edge (0->1, 0->2, 1->2, 0->3, 1->3, 2->3) in its
# tuples (0->1, 0->2, 0->3, 1->2, 1->3, 2->3).
_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
_PLACES = (0, 1, 3, 2, 4, 5)


class _Plain:
    """Stands for the package's two classes, which hold nothing but attributes."""


_CLASSES = {("analognasbench.data", name): _Plain for name in ("Architecture", "DriftMeasurement")}


def find_data_file() -> Path:
    """The package's data file, found without importing the package (its import fails on a current Python)."""
    spec = importlib.util.find_spec("analognasbench")
    if spec is None or not spec.submodule_search_locations:
        raise NaswotError(
            "The package analog-nasbench is not installed. Run `make install` or `pip install analog-nasbench`."
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data.anb"


def read(data: bytes) -> dict[tuple[int, ...], float]:
    """{six operation codes: CIFAR-10 test accuracy in percent}; raises NaswotError for anything but that format."""
    what = "The data file of analog-nasbench"
    entries = pickles.load(io.BytesIO(data), what, _CLASSES)
    try:
        return {tuple(key): float(entry.baseline_accuracy) for key, entry in entries.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise NaswotError(f"{what} cannot be read ({error}). Install analog-nasbench 0.1.3 anew.") from error


@source("analog-nasbench")
def analog_nasbench(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    """The ground truth of the whole space; raises NaswotError for another space than nasbench201."""
    if space.name != "nasbench201":
        raise NaswotError(f"analog-nasbench holds ground truth of nasbench201, not of {space.name}.")
    path = find_data_file()
    if not path.is_file():
        raise NaswotError(f"{path} is missing. Install analog-nasbench 0.1.3 anew.")
    accuracies = read(path.read_bytes())
    architectures = [to_string(tuple(_OPERATIONS[key[place]] for place in _PLACES)) for key in accuracies]
    return pd.DataFrame(
        {
            "arch_index": [space.index(architecture) for architecture in architectures],
            "arch": architectures,
            "dataset": "cifar10",
            "epochs": 0,
            "valid_accuracy": float("nan"),
            "test_accuracy": list(accuracies.values()),
            "train_seconds": float("nan"),
            "n_seeds": 1,
            "params": -1,
            "version": "analog-nasbench 0.1.3",
        }
    )
