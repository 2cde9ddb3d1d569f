"""Data sets, one file each: options and a seed in, one batch of normalised images out.

A batch is kept as an .npz file, so that a score can be made again without the data set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from naswot_ext.errors import NaswotError, one_line
from naswot_ext.files import atomic_path
from naswot_ext.registry import Registry


class Batch(NamedTuple):
    """One mini-batch: normalised images float32 [B, C, H, W], labels int64 [B] or None, the number of classes."""

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64] | None
    classes: int


# A source takes (options, batch size, random generator) and gives a batch.
Source = Callable[[Mapping[str, Any], int, np.random.Generator], Batch]
SOURCES: Registry[Source] = Registry("data set source", __name__, dashes=True)


def make_batch(options: Mapping[str, Any], batch_size: int, seed: int) -> Batch:
    """Draw the batch of one seed. `options` holds `source` (a file of this folder) and that source's own options.

    Raises NaswotError where the source is unknown or cannot give `batch_size` images.
    """
    if batch_size < 2:
        raise NaswotError(f"A batch of {batch_size} cannot be scored: batch_size must be at least 2.")
    return SOURCES.get(options["source"])(options, batch_size, np.random.default_rng(seed))


def save_batch(batch: Batch, path: str | os.PathLike[str]) -> None:
    """Write a batch to an .npz file, whole or not at all."""
    arrays: dict[str, Any] = {"images": batch.images, "classes": np.int64(batch.classes)}
    if batch.labels is not None:
        arrays["labels"] = batch.labels
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def load_batch(path: str | os.PathLike[str]) -> Batch:
    """Read what `save_batch` wrote."""
    arrays = open_npz(path)
    labels = arrays.get("labels")
    images = require(arrays, "images", path)
    classes = int(require(arrays, "classes", path))
    return Batch(images, labels, classes)


def open_npz(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an .npz file; raises NaswotError where it is missing, broken, or holds Python objects."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it holds one array, as numpy.save writes it")
        with loaded as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise NaswotError(f"No such file: {path}. Correct the path of the images.") from None
    # A damaged file can raise nearly anything: of zlib, of zipfile, or of the parser of its header.
    except Exception as error:
        # numpy's own advice, to allow pickles, would be to run whatever the file holds.
        reason = "it is no archive of plain arrays" if "pickle" in str(error) else one_line(error)
        raise NaswotError(
            f"{path} is not a readable .npz file ({reason}). Write it with numpy.savez(path, images=..., labels=...)."
        ) from error


def require(arrays: Mapping[str, npt.NDArray[Any]], name: str, path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """The array of that name; raises NaswotError, naming those that there are, where the file has no such one."""
    if name not in arrays:
        raise NaswotError(f"{path} holds no array {name!r}; it has: {', '.join(sorted(arrays)) or 'nothing'}.")
    return arrays[name]
