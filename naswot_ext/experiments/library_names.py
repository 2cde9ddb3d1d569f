"""The CIFAR-10 networks of the package `pytorchcv` by name, read off its own list without importing it, or torch."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from naswot_ext.errors import NaswotError, unknown

# Some of each family that are scored in seconds.
LIGHT = tuple(
    f"{name}_cifar10"
    for name in (
        "nin",
        "resnet20",
        "resnet56",
        "preresnet20",
        "preresnet56",
        "seresnet20",
        "sepreresnet20",
        "densenet40_k12_bc",
        "ror3_56",
        "shakeshakeresnet20_2x16d",
        "diaresnet20",
        "diapreresnet20",
    )
)

_SUFFIX, _UNKNOWN = "_cifar10", "NA"


def listing() -> dict[str, tuple[float, int]]:
    """{network: (accuracy in percent, trainable parameters)} of those with a stated accuracy, in the package's order.

    The accuracy is 100 less the error that the package states of its trained weights (four digits: "0597" is 5.97 %).
    Raises NaswotError where the package is not installed, or has no such list.
    """
    package = importlib.util.find_spec("pytorchcv")
    folders = (package.submodule_search_locations or []) if package else []
    path = next((Path(folder, "models/common/model_metainfos.csv") for folder in folders), None)
    if path is None or not path.is_file():
        what = "is not installed" if path is None else f"has no {path.name}: it is of another version"
        raise NaswotError(f"The package pytorchcv {what}. Install it: pip install pytorchcv==0.0.74")
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        row["model_name"]: (round(100 - int(row["error_value"]) / 100, 2), int(row["net_weights"]))
        for row in rows
        if row["model_name"].endswith(_SUFFIX) and row["error_value"] != _UNKNOWN
    }


def chosen(networks: str | Sequence[str]) -> list[str]:
    """The networks that "all", "light" or a list of names means; raises NaswotError for a name that is none."""
    known = listing()
    wanted = list(known) if networks == "all" else list(LIGHT) if networks == "light" else list(networks)
    for name in wanted:
        if name not in known:
            raise unknown("CIFAR-10 network of pytorchcv", name, known)
    return wanted
