"""CIFAR-10 from the official archive (python version) or the folder that it is unpacked in.

Options: `path`; `part`: `train` (50,000 images, the default), `test` (10,000), or, of the training images, `train-half`
or `valid-half`, the 25,000 that NAS-Bench-201 trained on or validated with, listed in the file `split_path`; `augment`.
Source: Krizhevsky 2009; the halves: Dong and Yang 2020.

torchvision's data set is not used: it unpickles whatever the file asks for, and needs the archive unpacked on the disk.
The tests hold this reader to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from naswot_ext.datasets import SOURCES, Batch
from naswot_ext.datasets._images import Labels, batch_of, part_of, read_pickled
from naswot_ext.errors import NaswotError, one_line
from naswot_ext.files import refuse_stand_in

_CLASSES = 10
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
# The files of each part, and the list of the split file that it is cut down to.
_PARTS = {
    "train": (_TRAIN, None),
    "train-half": (_TRAIN, "train"),
    "valid-half": (_TRAIN, "valid"),
    "test": (("test_batch",), None),
}


@SOURCES.register("cifar10")
def cifar10(options: Mapping[str, Any], batch_size: int, rng: np.random.Generator) -> Batch:
    """Draw `batch_size` different images of a part; raises NaswotError where the files are not the official ones."""
    names, half = part_of(options, _PARTS)
    pixels, labels = read_pickled(options["path"], names, "labels", 32, (0, _CLASSES - 1))
    if half:
        chosen = _half(options, half, len(labels))
        pixels, labels = pixels[chosen], labels[chosen]
    return batch_of(pixels, labels, _CLASSES, "cifar10", options, batch_size, rng)


def _half(options: Mapping[str, Any], half: str, images: int) -> Labels:
    """The indices of one half of the training images, as the split file lists them."""
    if "split_path" not in options:
        raise NaswotError(f"The part {options['part']} of cifar10 needs the split file of NAS-Bench-201.")
    path = options["split_path"]
    refuse_stand_in(path)
    try:
        with open(path, encoding="utf-8") as file:
            lists = json.load(file)
        halves = {name: _indices(lists[name][1]) for name in ("train", "valid")}
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise NaswotError(
            f'{path} is not the split file of NAS-Bench-201, {{"train": ["int", ["0", ...]], "valid": ...}} '
            f"({type(error).__name__}: {one_line(error)}). Fetch it again."
        ) from error
    listed = np.concatenate(list(halves.values()))
    if len(np.unique(listed)) != len(listed):
        raise NaswotError(f"{path} lists an image twice, so the halves are not apart. Fetch it again.")
    if len(listed) and not (listed.min() >= 0 and listed.max() < images):
        raise NaswotError(
            f"{path} lists images {listed.min()} to {listed.max()}, but {options['path']} holds {images} for training. "
            "Use the official files of both."
        )
    return halves[half]


def _indices(listed: Any) -> Labels:
    if not isinstance(listed, list):
        raise TypeError(f"a {type(listed).__name__} where a list of indices should be")
    # Texts or numbers, but no fractions, which `int` would round.
    if wrong := [index for index in listed if str(int(index)) != str(index)]:
        raise ValueError(f"{wrong[0]!r} is no index")
    return np.array([int(index) for index in listed], np.int64)
