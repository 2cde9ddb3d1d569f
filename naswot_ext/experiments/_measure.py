"""What the measurements share: the process that they run in, facts for their tables, images in a random order."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from naswot_ext import devices
from naswot_ext.datasets import Batch, load_batch
from naswot_ext.errors import NaswotError
from naswot_ext.fingerprint import fingerprint
from naswot_ext.forward import read_device
from naswot_ext.ops import build_info
from naswot_ext.precision import numerics
from naswot_ext.provenance import software
from naswot_ext.proxies import Images, Proxy, Scored
from naswot_ext.proxy_names import digest_of, find, module_of
from naswot_ext.scoring import prepare_process
from naswot_ext.seeds import derive

# Measured one after the other, so that what a proxy keeps is the network's that was just scored.
IN_FLIGHT = 1


@contextmanager
def measuring(device: str, threads: int) -> Iterator[None]:
    """Inside, this process measures as `scoring.score_architectures` scores in float32: with the same last digits.

    Raises NaswotError for a device that is not there, and where the compiled part is missing.
    """
    read_device(device)
    prepare_process(threads)
    build_info()
    with numerics("float32"), devices.running_on(device):
        yield


def facts(
    measurement: str,
    proxy: str | None,
    images: str | os.PathLike[str],
    device: str,
    threads: int,
    modules: tuple[str, ...] = (),
    **others: Any,
) -> dict[str, Any]:
    """How a table is made, for its metadata: JSON values that hold no path; `measurement` is its module."""
    named = [proxy] if proxy else []
    return {
        "proxy": proxy,
        "title": find(proxy).axis_title if proxy else "",
        "images": hashlib.sha256(Path(images).read_bytes()).hexdigest(),
        "device": torch.device(device).type,
        "precision": "float32",
        "threads": threads,
        "code": fingerprint(measurement, *module_of(named), *modules),
        **({"files": files} if (files := digest_of(named)) else {}),
        **software(),
        **others,
    }


def read_images(path: str | os.PathLike[str]) -> Batch:
    """The images of a file that `datasets.save_batch` wrote; raises NaswotError where one is not finite."""
    batch = load_batch(path)
    if not np.isfinite(batch.images).all():
        raise NaswotError(f"The images of {path} hold values that are NaN or infinite. Make them again.")
    return batch


def shuffled(count: int, seed: int) -> npt.NDArray[np.int64]:
    """The numbers of `count` images in a random order: a data set's own may be that of its classes."""
    return np.random.default_rng(derive(seed, "images")).permutation(count)


def rows_of(batch: Batch, rows: npt.NDArray[np.int64]) -> Batch:
    """The images of these numbers."""
    return Batch(batch.images[rows], None if batch.labels is None else batch.labels[rows], batch.classes)


def scorer_of(proxy: str, batch: Batch, images: str | os.PathLike[str]) -> Proxy:
    """The proxy of a name; raises NaswotError for an unknown one, and where it needs labels that `images` have not."""
    scorer = find(proxy)
    if scorer.needs_labels and batch.labels is None:
        raise NaswotError(f"{scorer.name} needs the labels of the images, and those of {images} have none.")
    return scorer


def recorder(name: str, compute: Callable[[nn.Module, Images], Scored]) -> Proxy:
    """`compute` as a proxy that `scoring.Engine` takes: a network is built, and an error recorded, as for any score."""
    return Proxy(name, title=name, cost="", compute=compute)


def check_options(measurement: str, **sizes: int) -> None:
    """Raise NaswotError for a size less than 1."""
    for name, value in sizes.items():
        if value < 1:
            raise NaswotError(f"{name} of {measurement} is {value}. Give at least 1.")


def say(label: str, text: str) -> None:
    """One line of progress on standard error."""
    print(f"{label}: {text}", file=sys.stderr, flush=True)


def label_of(output: str | os.PathLike[str]) -> str:
    """What progress lines call a table: the last folders and the name of its file."""
    return "/".join(Path(output).with_suffix("").parts[-4:])


def records(chosen: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in chosen.to_dict("records")]


def with_choice(row: Mapping[str, Any], accuracy: float, **others: Any) -> dict[str, Any]:
    """A row of `scoring.Engine` as a measurement has it: with the accuracy, without the proxy, units and seconds."""
    kept = {key: row[key] for key in ("arch_index", "arch", "score", "status", "error")}
    return {**kept, "accuracy": accuracy, **others}
