"""Imagenette (version 2), ten classes of ImageNet, from the official archive or the folder that it is unpacked in.

The stand-in for ImageNet where only its size matters. Options: `path`; `part`: `train` (the default) or `valid`;
`image_size` (pixels a side, default 224): the shorter side becomes 256/224 of it, and its centre is cut out, as
networks for ImageNet are tested; `augment`. Only the images of the batch are decoded.
Source: Howard 2019, https://github.com/fastai/imagenette.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from naswot_ext.datasets import SOURCES, Batch
from naswot_ext.datasets._images import NORMALISATIONS, Pixels, archive, augment, content_of, draw, normalise, part_of
from naswot_ext.errors import NaswotError, one_line

# The WordNet IDs that name the folders, in the order of the labels.
_WNIDS = (
    "n01440764",  # tench
    "n02102040",  # English springer
    "n02979186",  # cassette player
    "n03000684",  # chain saw
    "n03028079",  # church
    "n03394916",  # French horn
    "n03417042",  # garbage truck
    "n03425413",  # gas pump
    "n03445777",  # golf ball
    "n03888257",  # parachute
)
_PARTS = {"train": "train", "valid": "val"}


@SOURCES.register("imagenette2")
def imagenette2(options: Mapping[str, Any], batch_size: int, rng: np.random.Generator) -> Batch:
    """Draw `batch_size` different images of a part; raises NaswotError where one of them cannot be decoded."""
    folder, path = part_of(options, _PARTS), Path(options["path"])
    names = _images(_names(path), folder, path)
    chosen = draw(len(names), batch_size, rng, f"{path} ({folder})")
    wanted = [names[index] for index in chosen]
    size = options.get("image_size", 224)
    pixels = {name: _decode(content, size, f"{name} of {path}") for name, content in _contents(path, wanted)}
    images = augment(np.stack([pixels[name] for name in wanted]), options.get("augment"), rng)
    labels = np.array([_WNIDS.index(PurePosixPath(name).parent.name) for name in wanted], np.int64)
    return Batch(normalise(images, *NORMALISATIONS["imagenet"]), labels, len(_WNIDS))


def _names(path: Path) -> Iterator[str]:
    """The names of all files of an archive or a folder, relative to it."""
    if path.is_dir():
        yield from (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        return
    with archive(path) as file:
        yield from (member.name for member in file if member.isreg())


def _images(names: Iterable[str], folder: str, path: Path) -> list[str]:
    """The names of a part's images, by class and name."""
    found = []
    for name in map(PurePosixPath, names):
        if name.parent.parent.name == folder and name.suffix.lower() in (".jpeg", ".jpg"):
            if name.parent.name not in _WNIDS:
                raise NaswotError(f"{path} holds images of {name.parent}, which is no class of Imagenette.")
            found.append(name)
    if not found:
        raise NaswotError(
            f"{path} holds no images {folder}/CLASS/NAME.JPEG. Name the official archive, or the folder that it is "
            "unpacked in."
        )
    return [str(name) for name in sorted(found, key=lambda name: (name.parent.name, name.name))]


def _contents(path: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each of these files, in any order."""
    if path.is_dir():
        yield from ((name, Path(path, name).read_bytes()) for name in names)
        return
    wanted = set(names)
    # In the archive's own order: to go back in it means to unpack it again from the start.
    with archive(path) as file:
        for member in file:
            # As the names are found: `tar -c .` puts ./ before them.
            name = str(PurePosixPath(member.name))
            if name in wanted and member.isreg():
                yield name, content_of(file, member)


def _decode(content: bytes, size: int, what: str) -> Pixels:
    """An image as uint8 [size, size, 3]."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            picture = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise NaswotError(f"{what} cannot be decoded ({one_line(error)}). Fetch the archive again.") from error
    shorter = round(size * 256 / 224)
    width, height = (shorter * side // min(picture.size) for side in picture.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)))
