"""Standard-normal images: a data set of their own, for the paper's finding that the data hardly matter.

Options: `classes` (default 10), `image_size` (pixels a side, default 32), `channels` (default 3).
Source: Mellor et al. 2021, section 4, ablation of the mini-batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from naswot_ext.datasets import SOURCES, Batch


@SOURCES.register("gaussian")
def gaussian(options: Mapping[str, Any], batch_size: int, rng: np.random.Generator) -> Batch:
    """Draw a batch of standard-normal images with uniform random labels."""
    size = options.get("image_size", 32)
    classes = options.get("classes", 10)
    shape = (batch_size, options.get("channels", 3), size, size)
    images = rng.standard_normal(shape, dtype=np.float32)
    return Batch(images, rng.integers(classes, size=batch_size), classes)
