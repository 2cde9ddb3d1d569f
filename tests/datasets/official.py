"""Writes small files in the formats of the official data sets, byte for byte as their authors' programs did."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt


class _Python2Pickler(pickle._Pickler):
    """Pickles as Python 2 did with protocol 2: text and bytes are both its strings."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self, text: str | bytes) -> None:
        content = text.encode("latin-1") if isinstance(text, str) else text
        short = len(content) < 256
        self.write(b"U" + bytes([len(content)]) if short else b"T" + struct.pack("<i", len(content)))
        self.write(content)
        self.memoize(text)

    dispatch[str] = save_string
    dispatch[bytes] = save_string


def python2_pickle(entry: Any) -> bytes:
    """The pickle of builtins and arrays that Python 2 with its numpy wrote."""
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(entry)
    return buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def rows(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Images [N, H, W, 3] as the official batches hold them: all red, then green, then blue pixels."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2).reshape(len(images), -1))


def cifar_batch(images: npt.NDArray[np.uint8], labels: list[int], key: str = "labels") -> dict[str, Any]:
    """A batch of CIFAR-10, or with the key `fine_labels` of CIFAR-100."""
    names = [f"image_{index}.png" for index in range(len(images))]
    entry = {"batch_label": "a batch", key: labels, "data": rows(images), "filenames": names}
    if key == "fine_labels":
        entry["coarse_labels"] = [label // 5 for label in labels]
    return entry


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    """An archive, compressed as its name says."""
    compression = {".gz": "gz", ".tgz": "gz", ".xz": "xz"}.get(path.suffix, "")
    with tarfile.open(path, f"w:{compression}") as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def write_files(folder: Path, members: Mapping[str, bytes]) -> Path:
    """The same members unpacked in a folder."""
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def cifar10_members(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer[Any]]) -> dict[str, bytes]:
    """The members of CIFAR-10's archive: the images in five batches for training, and the last fifth to test with."""
    members = {}
    parts = np.array_split(np.arange(len(images)), 6)
    for number, chosen in enumerate(parts, 1):
        name = f"data_batch_{number}" if number < 6 else "test_batch"
        batch = cifar_batch(images[chosen], [int(label) for label in labels[chosen]])
        members[f"cifar-10-batches-py/{name}"] = python2_pickle(batch)
    meta = {"label_names": [f"class {label}" for label in range(10)], "num_cases_per_batch": 10000, "num_vis": 3072}
    members["cifar-10-batches-py/batches.meta"] = python2_pickle(meta)
    return members


def cifar100_members(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer[Any]]) -> dict[str, bytes]:
    """The members of CIFAR-100's archive: the first half of the images to train and the second to test with."""
    members = {}
    for name, chosen in zip(("train", "test"), np.array_split(np.arange(len(images)), 2), strict=True):
        batch = cifar_batch(images[chosen], [int(label) for label in labels[chosen]], "fine_labels")
        members[f"cifar-100-python/{name}"] = python2_pickle(batch)
    members["cifar-100-python/meta"] = python2_pickle({"fine_label_names": [f"class {label}" for label in range(100)]})
    return members


def imagenet16_batch(images: npt.NDArray[np.uint8], labels: list[int]) -> bytes:
    """A batch of the downsampled ImageNet; `labels` count from 1."""
    entry = {"data": rows(images), "labels": labels, "mean": rows(images).mean(axis=0)}
    return pickle.dumps(entry, protocol=3).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
