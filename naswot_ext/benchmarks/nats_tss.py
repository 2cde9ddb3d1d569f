"""NAS-Bench-201's architectures in NATS-Bench, from ``NATS-tss-v1_0-3ffb9-simple`` (Dong et al., TPAMI 2021).

Options: `path`, the folder or the official tar file of it. Trained for 12 and 200 epochs, on CIFAR-10, CIFAR-100 and
ImageNet16-120; the accuracies differ a little from those of the NAS-Bench-201 files. How it is read: `_nats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from naswot_ext.benchmarks import _nats, source
from naswot_ext.spaces import SearchSpace

_EPOCHS = {"12": 12, "200": 200}


def _architectures(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    _nats.check_space(space, "nasbench201", "nats-tss")
    return _nats.simple_listing(space, str(options["path"]))


@source("nats-tss", architectures=_architectures)
def nats_tss(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    """The ground truth of nasbench201; raises NaswotError for another space, and where the files are broken."""
    _nats.check_space(space, "nasbench201", "nats-tss")
    return _nats.simple(space, str(options["path"]), _EPOCHS)
