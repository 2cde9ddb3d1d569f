"""NATS-Bench's size space, from ``NATS-sss-v1_0-50262-simple`` (Dong et al., TPAMI 2021).

Options: `path`, the folder or the official tar file of it. Trained for 1, 12 and 90 epochs, on CIFAR-10, CIFAR-100 and
ImageNet16-120. How it is read: `_nats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from naswot_ext.benchmarks import _nats, source
from naswot_ext.spaces import SearchSpace

_EPOCHS = {"01": 1, "12": 12, "90": 90}


def _architectures(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    _nats.check_space(space, "nats-sss", "nats-sss")
    return _nats.simple_listing(space, str(options["path"]))


@source("nats-sss", architectures=_architectures)
def nats_sss(space: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
    """The ground truth of nats-sss; raises NaswotError for another space, and where the files are broken."""
    _nats.check_space(space, "nats-sss", "nats-sss")
    return _nats.simple(space, str(options["path"]), _EPOCHS)
