"""CIFAR-100, by its 100 fine labels, from the official archive (python version) or the folder that it is unpacked in.

Options: `path`; `part`: `train` (50,000 images, the default) or `test` (10,000); `augment`.
Source: Krizhevsky 2009. Why torchvision's data set is not used is said in `cifar10.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from naswot_ext.datasets import SOURCES, Batch
from naswot_ext.datasets._images import batch_of, part_of, read_pickled

_CLASSES = 100
_PARTS = {"train": ("train",), "test": ("test",)}


@SOURCES.register("cifar100")
def cifar100(options: Mapping[str, Any], batch_size: int, rng: np.random.Generator) -> Batch:
    """Draw `batch_size` different images of a part; raises NaswotError where the files are not the official ones."""
    names = part_of(options, _PARTS)
    pixels, labels = read_pickled(options["path"], names, "fine_labels", 32, (0, _CLASSES - 1))
    return batch_of(pixels, labels, _CLASSES, "cifar100", options, batch_size, rng)
