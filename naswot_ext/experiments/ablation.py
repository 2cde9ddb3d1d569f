"""How much a score depends on the mini-batch, on the data at all, on the initialisation, and on the batch size.

Source: Mellor et al., ICML 2021, figure 5 (ten NAS-Bench-201 networks, 20 samples of each kind); arXiv 2006.04647
version 1, figure 4 (8 networks; mini-batch, initialisation, and random input).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from naswot_ext.datasets import Batch, make_batch
from naswot_ext.errors import NaswotError, unknown
from naswot_ext.experiments._measure import (
    IN_FLIGHT,
    check_options,
    facts,
    label_of,
    measuring,
    read_images,
    rows_of,
    say,
    scorer_of,
    shuffled,
    with_choice,
)
from naswot_ext.partial import partial_file
from naswot_ext.provenance import write_table
from naswot_ext.scoring import Engine, to_device
from naswot_ext.seeds import derive
from naswot_ext.spaces import SPACES, SearchSpace

KINDS = ("minibatch", "gaussian", "initialisation", "batch_size")
BATCH_SIZES = (32, 64, 128, 256)
COLUMNS = {
    "arch_index": "int32",
    "arch": "str",
    "accuracy": "float64",
    "kind": "str",
    "sample": "int64",
    "batch_size": "int64",
    "score": "float64",
    "status": "str",
    "error": "str",
}


class Sample(NamedTuple):
    """One repetition: its number, the size of its batch, the seed of the networks, and how to get its images."""

    number: int
    batch_size: int
    seed: int
    images: Callable[[], Batch]


def ablate(
    space: SearchSpace,
    chosen: pd.DataFrame,
    kind: str,
    images: str | os.PathLike[str],
    proxy: str,
    output: str | os.PathLike[str],
    *,
    samples: int = 20,
    batch_size: int = 128,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    **made_by: Any,
) -> None:
    """Score each of the chosen architectures in `samples` ways, and write `COLUMNS` to the Parquet file `output`.

    A row a sample and architecture; all of one sample stand together. What is finished stands in
    ``output + ".partial"`` at once; a later call with the same arguments and code goes on from there. A score is
    that of `scoring.score_architectures` in float32 on the same batch with the same seed, bit for bit.

    The images of the file are first put in a random order, because those of a data set may be sorted by class.

    Args:
        space: the search space, opened.
        chosen: the architectures, as `choose.choose` gives them.
        kind: what differs from sample to sample. "minibatch": sample i is scored on images i * batch_size to
            (i + 1) * batch_size - 1, with the initialisation of `seed`. "gaussian": as many standard-normal images of
            the same shape. "initialisation": the first `batch_size` images, network seed i. "batch_size": for each of
            `batch_sizes` and sample, images drawn without replacement.
        images: a file of images that `datasets.save_batch` wrote, large enough for all.
        proxy: the score, by name or "my_file.py:function".
        output: the table.
        samples: how many of each.
        batch_size: images of one batch, but for the kind "batch_size".
        batch_sizes: those of the kind "batch_size".
        seed: of the initialisation, the order and the drawing.
        device: where networks are built and scored: "cpu", "cuda:0", ...
        threads: threads of the CPU.
        made_by: JSON values that the table's metadata keep, such as the name of the data set.

    Raises:
        NaswotError: an unknown kind or proxy, too few images, images without the labels that the proxy needs, a device
            that is not there, and an `output` that cannot be written.
    """
    output = Path(output)
    batch = read_images(images)
    planned = plan(kind, batch, samples, batch_size, batch_sizes, seed)
    scorer = scorer_of(proxy, batch, images)
    made = facts(
        __name__,
        proxy,
        images,
        device,
        threads,
        (SPACES.module(space.name),),
        **made_by,
        space=space.name,
        network=space.network,
        kind=kind,
        architectures=chosen["arch"].tolist(),
        samples=samples,
        batch_sizes=sorted({sample.batch_size for sample in planned}),
        seed=seed,
    )
    indices = chosen["arch_index"].to_numpy(np.int64)
    accuracies = dict(zip(indices.tolist(), chosen["accuracy"].tolist(), strict=True))
    with measuring(device, threads), partial_file(output, made, len(chosen)) as partial:
        if partial is None:
            return
        for position in range(partial.rows // len(chosen), len(planned)):
            sample = planned[position]
            on_device = to_device(sample.images(), device)
            engine = Engine(space, [scorer], on_device, sample.seed, device, label=label_of(output))
            scored = [row for rows in engine.score(indices, IN_FLIGHT) for row in rows]
            how = {"kind": kind, "sample": sample.number, "batch_size": sample.batch_size}
            partial.append([with_choice(row, accuracies[row["arch_index"]], **how) for row in scored])
            say(label_of(output), f"{position + 1} of {len(planned)} samples of {len(chosen)} architectures")
        write_table(partial.table(COLUMNS), output, **made)


def plan(
    kind: str, batch: Batch, samples: int, batch_size: int, batch_sizes: Sequence[int] = BATCH_SIZES, seed: int = 0
) -> list[Sample]:
    """The samples of one kind; arguments and errors are those of `ablate`. Fewer samples are the same, but fewer."""
    if kind not in KINDS:
        raise unknown("kind of ablation", kind, KINDS)
    check_options("the ablation", samples=samples)
    if min(batch_size, *batch_sizes) < 2:
        raise NaswotError("A batch of an ablation must hold at least 2 images: raise batch_size or batch_sizes.")
    needed = {
        "minibatch": samples * batch_size,
        "gaussian": 0,
        "initialisation": batch_size,
        "batch_size": max(batch_sizes, default=0),
    }[kind]
    if len(batch.images) < needed:
        raise NaswotError(
            f"The ablation {kind} of {samples} samples needs {needed} images, and {len(batch.images)} were given. "
            "Lower samples or the batch size, or give more images."
        )
    order = shuffled(len(batch.images), seed)

    def part(start: int, size: int) -> Callable[[], Batch]:
        return lambda: rows_of(batch, order[start : start + size])

    def drawn(size: int, number: int) -> Callable[[], Batch]:
        rng = np.random.default_rng(derive(seed, "batch size", size, number))
        rows = rng.choice(len(batch.images), size, replace=False)
        return lambda: rows_of(batch, rows)

    if kind == "minibatch":
        return [Sample(i, batch_size, seed, part(i * batch_size, batch_size)) for i in range(samples)]
    if kind == "gaussian":
        return [
            Sample(i, batch_size, seed, _gaussian(batch, batch_size, derive(seed, kind, i))) for i in range(samples)
        ]
    if kind == "initialisation":
        return [Sample(i, batch_size, i, part(0, batch_size)) for i in range(samples)]
    return [Sample(i, size, seed, drawn(size, i)) for size in batch_sizes for i in range(samples)]


def _gaussian(like: Batch, batch_size: int, seed: int) -> Callable[[], Batch]:
    _, channels, side, _ = like.images.shape
    options = {"source": "gaussian", "classes": like.classes, "image_size": side, "channels": channels}
    return lambda: make_batch(options, batch_size, seed)
