"""Bring your own images: an .npz file named in the config.

The file holds `images`, either uint8 [N, H, W, C] as read from disk or float32 [N, C, H, W] ready for the network,
and optionally `labels`, integers [N]. Options: `path`; `normalise`, needed for uint8 images: the name of a known
set or {mean: [...], std: [...]} a channel, in units of 0..255; `classes` (default: the largest label + 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from naswot_ext.datasets import SOURCES, Batch, open_npz, require
from naswot_ext.datasets._images import NORMALISATIONS, draw, normalise
from naswot_ext.errors import NaswotError, unknown


@SOURCES.register("npz")
def npz(options: Mapping[str, Any], batch_size: int, rng: np.random.Generator) -> Batch:
    """Draw `batch_size` different images of the file; raises NaswotError for a file that does not hold images."""
    path = options["path"]
    arrays = open_npz(path)
    images, labels = require(arrays, "images", path), arrays.get("labels")
    _check_images(images, path)
    chosen = draw(len(images), batch_size, rng, path)
    if labels is not None and (labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer)):
        raise NaswotError(
            f"'labels' of {path} must be {len(images)} integers, one an image; found {_describe(labels)}."
        )
    drawn = _normalise(images[chosen], options.get("normalise"), path)
    if not np.isfinite(drawn).all():
        raise NaswotError(f"{path} holds images with NaN or infinite pixels. Remove them.")
    if labels is None:
        return Batch(drawn, None, int(options.get("classes", 1)))
    if labels.min() < 0:
        raise NaswotError(f"'labels' of {path} must not be negative; found {labels.min()}.")
    return Batch(drawn, labels[chosen].astype(np.int64), int(options.get("classes", int(labels.max()) + 1)))


def _describe(array: npt.NDArray[Any]) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _check_images(images: npt.NDArray[Any], path: str) -> None:
    pixels = images.ndim == 4 and images.dtype == np.uint8 and images.shape[3] in (1, 3)
    ready = images.ndim == 4 and images.dtype in (np.float32, np.float64) and images.shape[1] in (1, 3)
    if not (pixels or ready):
        raise NaswotError(
            f"'images' of {path} must be uint8 [N, H, W, C] or float32 [N, C, H, W] with 1 or 3 channels; "
            f"found {_describe(images)}. Convert it with numpy."
        )


def _normalise(images: npt.NDArray[Any], normalisation: Any, path: str) -> npt.NDArray[np.float32]:
    if images.dtype != np.uint8:
        if normalisation is not None:
            raise NaswotError(f"{path} holds float images, which are taken as they are: remove `normalise`.")
        return images.astype(np.float32)
    if normalisation is None:
        raise NaswotError(
            f"{path} holds uint8 images: say how to normalise them, `normalise: cifar10` (known: "
            f"{', '.join(NORMALISATIONS)}) or `normalise: {{mean: [...], std: [...]}}` in units of 0..255."
        )
    if isinstance(normalisation, str):
        if normalisation not in NORMALISATIONS:
            raise unknown("normalisation", normalisation, NORMALISATIONS)
        mean, std = NORMALISATIONS[normalisation]
    else:
        mean, std = normalisation["mean"], normalisation["std"]
    channels = images.shape[3]
    if len(mean) != channels or len(std) != channels or min(std) <= 0:
        raise NaswotError(f"`normalise` needs {channels} means and {channels} positive deviations, one a channel.")
    return normalise(images, mean, std)
