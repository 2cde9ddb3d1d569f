"""ImageNet16-120: the first 120 classes of ImageNet, downsampled to 16 x 16 pixels, from the official pickled batches.

Options: `path`, the folder that holds `train_data_batch_1` to `train_data_batch_10` and `val_data` (all 1,000 classes,
with labels from 1); `part`: `train` (the default) or `valid`; `augment`.
Source: Chrabaszcz et al. 2017; the choice of classes: Dong and Yang 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from naswot_ext.datasets import SOURCES, Batch
from naswot_ext.datasets._images import batch_of, part_of, read_pickled

_CLASSES = 120
_PARTS = {
    "train": tuple(f"train_data_batch_{number}" for number in range(1, 11)),
    "valid": ("val_data",),
}


@SOURCES.register("imagenet16-120")
def imagenet16_120(options: Mapping[str, Any], batch_size: int, rng: np.random.Generator) -> Batch:
    """Draw `batch_size` different images of a part; raises NaswotError where the files are not the official ones."""
    names = part_of(options, _PARTS)
    pixels, labels = read_pickled(
        options["path"], names, "labels", 16, (1, 1000), keep=lambda labels: labels <= _CLASSES
    )
    return batch_of(pixels, labels - 1, _CLASSES, "imagenet16-120", options, batch_size, rng)
