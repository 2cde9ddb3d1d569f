"""What the image data sets share: drawing, augmenting, normalising, and reading archives and their pickled batches."""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from naswot_ext import pickles
from naswot_ext.datasets import Batch
from naswot_ext.errors import NaswotError, one_line, unknown
from naswot_ext.files import refuse_stand_in

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

# Channel means and standard deviations of the training images, in units of 0..255 (NAS-Bench-201's own; ImageNet's as
# torchvision's models take it).
NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "cifar10": ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
    "cifar100": ((129.3, 124.1, 112.4), (68.2, 65.4, 70.4)),
    "imagenet16-120": ((122.68, 116.66, 104.01), (63.22, 61.26, 65.09)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


def draw(number: int, batch_size: int, rng: np.random.Generator, what: object) -> Labels:
    """The indices of `batch_size` different images of `number`, ascending; `what` names the images in the error."""
    if number < batch_size:
        raise NaswotError(
            f"{what} holds {number} images, fewer than the batch size {batch_size}. "
            "Lower batch_size or give more images."
        )
    return np.sort(rng.choice(number, size=batch_size, replace=False))


def normalise(pixels: Pixels, mean: Sequence[float], std: Sequence[float]) -> npt.NDArray[np.float32]:
    """Images uint8 [B, H, W, C] as float32 [B, C, H, W], each channel less its mean and divided by its deviation."""
    scaled = (pixels - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)


def augment(pixels: Pixels, options: Mapping[str, Any] | None, rng: np.random.Generator) -> Pixels:
    """Images [B, H, W, C] changed at random, each on its own, as networks are trained on them.

    `options` holds `flip` (mirror with probability one half) and `crop` (the zero pixels added on each side before a
    random crop of the image's own size). Drawn after the images, so these are the same with and without.
    Source: Mellor et al. 2020 (arXiv v1), which scored CIFAR-10 with both, 4 pixels added.
    """
    options = options or {}
    flips = rng.random(len(pixels)) < 0.5
    if options.get("flip", False):
        pixels = np.where(flips[:, None, None, None], pixels[:, :, ::-1], pixels)
    if padding := options.get("crop", 0):
        height, width = pixels.shape[1:3]
        padded = np.pad(pixels, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        corners = rng.integers(2 * padding + 1, size=(len(pixels), 2))
        pixels = np.stack(
            [image[top : top + height, left : left + width] for image, (top, left) in zip(padded, corners, strict=True)]
        )
    return pixels


def part_of(options: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
    """What `parts` has for the part that the options name (`train` by default)."""
    part = options.get("part", "train")
    if part not in parts:
        raise unknown("part of the data set", part, parts)
    return parts[part]


def batch_of(
    pixels: Pixels,
    labels: Labels,
    classes: int,
    normalisation: str,
    options: Mapping[str, Any],
    batch_size: int,
    rng: np.random.Generator,
) -> Batch:
    """Draw a batch of images uint8 [N, H, W, C]; `options` are those of the data set."""
    what = f"{options['path']} ({options.get('part', 'train')})"
    chosen = draw(len(pixels), batch_size, rng, what)
    images = augment(pixels[chosen], options.get("augment"), rng)
    return Batch(normalise(images, *NORMALISATIONS[normalisation]), labels[chosen], classes)


def read_pickled(
    path: str,
    names: Sequence[str],
    labels_key: str,
    side: int,
    label_range: tuple[int, int],
    keep: Callable[[Labels], npt.NDArray[np.bool_]] | None = None,
) -> tuple[Pixels, Labels]:
    """The images uint8 [N, side, side, 3] and labels int64 [N] of the pickled batches `names`, in their order.

    `path` is the archive or the folder that holds them; `label_range` the least and the largest label; `keep` says by
    their labels which images are wanted. Raises NaswotError for anything else than such batches.
    """
    images, labels = {}, {}
    for name, content in _members(Path(path), names):
        pixels, own = _pickled_batch(content, f"{name} of {path}", labels_key, side, label_range)
        wanted = slice(None) if keep is None else keep(own)
        images[name], labels[name] = pixels[wanted], own[wanted]
    return np.concatenate([images[name] for name in names]), np.concatenate([labels[name] for name in names])


# More than three times the largest file that is needed, CIFAR-100's for training: nothing fills the memory by
# decompressing to more.
_LARGEST = 2**29


class _Entry(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The entry of this header; long names, which tarfile reads at once, have headers of their own."""
        entry = super().frombuf(buf, encoding, errors)
        if entry.size > _LARGEST:
            # No ReadError: after that, other ways of reading it are tried.
            raise tarfile.TarError(f"it has an entry of {entry.size} bytes, larger than any of its format")
        return entry


@contextmanager
def archive(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar archive, compressed or not, to be read; raises NaswotError where it is none, broken or cut off."""
    refuse_stand_in(path)
    try:
        with tarfile.open(path, tarinfo=_Entry) as file:
            yield file
            # To the end, where its checksum is compared.
            while file.fileobj is not None and file.fileobj.read(2**20):
                pass
    except (tarfile.TarError, OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise NaswotError(f"{path} is no whole archive ({one_line(error)}). Fetch it again.") from error


def content_of(file: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The bytes of a file in an archive; raises tarfile.TarError where it is larger than any should be."""
    # What follows its header can give it another size.
    if member.size > _LARGEST:
        raise tarfile.TarError(f"{member.name} has {member.size} bytes, more than any file of its format")
    content = file.extractfile(member)
    assert content is not None, f"{member.name} is no file"
    return content.read()


def _members(path: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each of `names` in an archive or a folder, wherever in it, in any order."""
    if path.is_dir():
        for name in names:
            places = [place for place in (path / name, *sorted(path.glob(f"*/{name}"))) if place.exists()]
            if not places:
                raise _missing(path, name)
            refuse_stand_in(places[0])
            yield name, places[0].read_bytes()
        return
    missing = list(names)
    with archive(path) as file:
        for member in file:
            name = Path(member.name).name
            # A link could lead to nothing, or to itself.
            if name in missing and member.isreg():
                missing.remove(name)
                yield name, content_of(file, member)
    if missing:
        raise _missing(path, missing[0])


def _missing(path: Path, name: str) -> NaswotError:
    return NaswotError(f"{path} holds no {name}. Name the official file, or the folder that it is unpacked in.")


_ADMITTED = {**pickles.NUMPY, **pickles.ENCODE}


def _pickled_batch(
    content: bytes, what: str, labels_key: str, side: int, label_range: tuple[int, int]
) -> tuple[Pixels, Labels]:
    # Python 2's strings hold the bytes of arrays as well as keys: latin1 keeps both.
    entry = pickles.load(io.BytesIO(content), what, _ADMITTED, encoding="latin1")
    if not isinstance(entry, dict):
        raise NaswotError(f"{what} holds a {type(entry).__name__}, not a batch of images. Fetch it again.")
    entry = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in entry.items()}
    for key in ("data", labels_key):
        if key not in entry:
            keys = one_line(", ".join(map(str, entry)))
            raise NaswotError(f"{what} has no {key!r}; it has: {keys}. Fetch it again.")
    data, length = entry["data"], 3 * side * side
    if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 2 and data.shape[1] == length):
        shape = f"{data.dtype} {list(data.shape)}" if isinstance(data, np.ndarray) else type(data).__name__
        raise NaswotError(f"'data' of {what} must be uint8 [N, {length}]; found {shape}. Fetch it again.")
    try:
        labels = np.asarray(entry[labels_key])
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise NaswotError(
            f"{labels_key!r} of {what} must be {len(data)} integers, one an image ({one_line(error)}). Fetch it again."
        ) from error
    if labels.shape != (len(data),) or not np.issubdtype(labels.dtype, np.integer):
        raise NaswotError(
            f"{labels_key!r} of {what} must be {len(data)} integers, one an image; found {labels.dtype} "
            f"{list(labels.shape)}. Fetch it again."
        )
    least, largest = label_range
    if len(labels) and not (least <= labels.min() and labels.max() <= largest):
        raise NaswotError(
            f"{labels_key!r} of {what} must be {least} to {largest}; found {labels.min()} to {labels.max()}. Is it the "
            "file of another data set?"
        )
    # A row is the red, then the green, then the blue pixels, each row by row.
    return np.asarray(data).reshape(-1, 3, side, side).transpose(0, 2, 3, 1), labels.astype(np.int64)
