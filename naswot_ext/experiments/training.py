"""The score of a network before and while it is trained for real, epoch by epoch.

Source: Mellor et al., ICML 2021, figure 6: ten NAS-Bench-201 networks of more than 90 % on CIFAR-10. The training is
that of NAS-Bench-201 (Dong & Yang, ICLR 2020, section 2.2): SGD with Nesterov momentum 0.9 and weight decay 5e-4, a
learning rate that falls along a cosine from 0.1 to 0, mini-batches of 256 images, random flips and crops.
"""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from naswot_ext.datasets import Batch
from naswot_ext.devices import building_on
from naswot_ext.errors import NaswotError, one_line, unknown
from naswot_ext.experiments._measure import (
    check_options,
    facts,
    label_of,
    measuring,
    read_images,
    rows_of,
    say,
    shuffled,
)
from naswot_ext.partial import partial_file
from naswot_ext.provenance import write_table
from naswot_ext.proxies import Images, Proxy
from naswot_ext.proxy_names import find
from naswot_ext.scoring import to_device
from naswot_ext.searches import Setting
from naswot_ext.seeds import derive
from naswot_ext.spaces import SPACES, SearchSpace
from naswot_ext.supernets.session import Record, Session, Stateful, generator
from naswot_ext.supernets.training import Progress, augmented

DEFAULTS: Mapping[str, Any] = {
    "epochs": 100,
    "seed": 0,
    "held_out": 128,
    "batch_size": 256,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "augment": True,
}
COLUMNS = {
    "arch_index": "int32",
    "arch": "str",
    "accuracy": "float64",
    "epoch": "int64",
    "score": "float64",
    "status": "str",
    "error": "str",
    "loss": "float64",
    "train_accuracy": "float64",
    "seconds": "float64",
}


def train(
    space: SearchSpace,
    arch_index: int,
    accuracy: float,
    images: str | os.PathLike[str],
    proxy: str,
    output: str | os.PathLike[str],
    *,
    device: str = "cpu",
    threads: int = 1,
    progress: bool = True,
    made_by: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Train one architecture, score it before and after each epoch, and write `COLUMNS` to the Parquet file `output`.

    A row an epoch, 0 for the untrained network: the score on images that it is never trained on, the mean training
    loss and accuracy (percent) of the epoch (NaN for epoch 0), and the wall seconds since the beginning, scoring
    and earlier calls included. `accuracy` is the ground truth's. The score of epoch 0 is that of
    `scoring.score_architectures` on the same images, bit for bit.

    A killed call leaves a checkpoint beside `output`; the next call with the same arguments and code goes on from
    there. On the CPU the scores and losses are then the same, bit for bit; on a GPU, whose sums have no fixed order,
    as close as those of two trainings.

    Args:
        space: the search space, opened.
        arch_index: the architecture.
        accuracy: its accuracy in the ground truth, percent.
        images: a file of labelled images that `datasets.save_batch` wrote.
        proxy: the score, by name or "my_file.py:function".
        output: the table.
        device: where the network is trained: "cpu", "cuda:0", ...
        threads: threads of the CPU.
        progress: whether to say on standard error how far it is.
        made_by: JSON values that the table's metadata keep, such as the name of the data set.
        options: other values than those of `DEFAULTS`. `held_out` images, drawn at random, are scored; all others
            train. `momentum` 0 is plain SGD.

    Raises:
        NaswotError: an unknown option, images without labels or too few, a network that cannot be built, a loss that
            is no finite number, a device that is not there, and an `output` that cannot be written.
    """
    if wrong := sorted(set(options) - set(DEFAULTS)):
        raise unknown("option of a training", wrong[0], DEFAULTS)
    options = {**DEFAULTS, **options}
    check_options("a training", epochs=options["epochs"], held_out=options["held_out"] - 1)
    batch, output = read_images(images), Path(output)
    scored, trained = _split(batch, images, options)
    made = facts(
        __name__,
        proxy,
        images,
        device,
        threads,
        (SPACES.module(space.name),),
        **(made_by or {}),
        space=space.name,
        network=space.network,
        architecture=space.architecture(arch_index),
        options=options,
        images_trained=len(trained.images),
    )
    label = label_of(output)
    setting = Setting(
        space=space,
        sampled=np.array([arch_index], np.int64),
        images=trained.images,
        labels=trained.labels,
        classes=batch.classes,
        options={**options, "proxy": proxy, "files": made.get("files", {})},
        number=arch_index,
        seed=derive(options["seed"], "training", arch_index),
        network_seed=options["seed"],
        device=device,
        checkpoint=output.with_name(f"{output.name}.checkpoint"),
        say=lambda text: say(label, text) if progress else None,
        # An index means another architecture where a table of cells has other rows.
        code=json.dumps([made["code"], made["torch"], made["images"], made["architecture"]]),
    )
    with measuring(device, threads), _repeatable(), partial_file(output, made) as partial:
        if partial is None:
            return
        rows = _train(setting, find(proxy), scored)
        arch = space.architecture(arch_index)
        table = pd.DataFrame([{"arch_index": arch_index, "arch": arch, "accuracy": accuracy, **row} for row in rows])
        write_table(table[list(COLUMNS)].astype(COLUMNS), output, **made)
        setting.checkpoint.unlink(missing_ok=True)


def _split(batch: Batch, images: str | os.PathLike[str], options: Mapping[str, Any]) -> tuple[Batch, Batch]:
    """The images that are scored, and those that train."""
    held_out, size = options["held_out"], options["batch_size"]
    if batch.labels is None:
        raise NaswotError(f"Training needs the labels of the images, and those of {images} have none.")
    if size < 2 or len(batch.images) < held_out + size:
        raise NaswotError(
            f"{images} holds {len(batch.images)} images, of which {held_out} are scored; the others must fill a "
            f"mini-batch of {size}, at least 2. Change batch_size or held_out, or give more images."
        )
    order = shuffled(len(batch.images), options["seed"])
    return rows_of(batch, order[:held_out]), rows_of(batch, order[held_out:])


@contextmanager
def _repeatable() -> Iterator[None]:
    """Inside, cuDNN takes only algorithms whose sums have an order; the default ones' differ from call to call."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def _train(setting: Setting, proxy: Proxy, scored: Batch) -> list[dict[str, Any]]:
    """The rows of all epochs: epoch, score, status, error, loss, train_accuracy and seconds."""
    session = Session(setting, "training")
    options, (index,) = setting.options, setting.sampled.tolist()
    held_out = to_device(scored, setting.device)
    every = to_device(Batch(setting.images, setting.labels, setting.classes), setting.device)
    darkest = every.images.amin((0, 2, 3), keepdim=True)
    network = _build(setting, index)
    optimiser = torch.optim.SGD(
        network.parameters(),
        options["learning_rate"],
        momentum=options["momentum"],
        weight_decay=options["weight_decay"],
        nesterov=options["momentum"] > 0,
    )
    # The loss and the number of images that it was right about, summed over each epoch without a wait for the device.
    sums = Record(setting.device, **{name: torch.zeros(options["epochs"], dtype=torch.float64) for name in _SUMS})
    rows = Record("cpu", rows=[{"epoch": 0, **_score(network, proxy, held_out), "seconds": session.seconds()}])
    per_epoch = _steps(len(setting.images), options["batch_size"])
    advice = f"Lower learning_rate, which is {options['learning_rate']:g}."
    progress = Progress("the training", per_epoch, advice)
    parts: dict[str, Stateful] = {"network": network, "optimiser": optimiser, "sums": sums, "rows": rows}
    for number in session.steps(options["epochs"] * per_epoch, parts, progress.check, progress.describe):
        epoch, step = divmod(number, per_epoch)
        for group in optimiser.param_groups:
            group["lr"] = options["learning_rate"] * (1 + math.cos(math.pi * epoch / options["epochs"])) / 2
        order = torch.randperm(len(setting.images), generator=generator(setting.seed, "order", epoch))
        chosen = order[step * options["batch_size"] :][: options["batch_size"]].to(setting.device)
        images = every.images[chosen]
        assert every.labels is not None
        labels = every.labels[chosen]
        if options["augment"]:
            images = augmented(images, darkest, generator(setting.seed, "augment", epoch, step))
        if setting.device == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        network.train()
        # Of networks that drop something at random.
        torch.manual_seed(derive(setting.seed, "step", number))
        logits = network(images)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        optimiser.step()
        # No proxy that calls backward must find a gradient that is there already.
        optimiser.zero_grad()
        progress.add_training(number, loss, logits, labels)
        sums["loss"][epoch] += loss.detach().double() * len(labels)
        sums["right"][epoch] += (logits.detach().argmax(1) == labels).sum()
        sums["seen"][epoch] += len(labels)
        if step + 1 == per_epoch:
            # Before the score, which says of a network of NaN only that it has none.
            progress.check()
            torch.manual_seed(derive(setting.seed, "score", epoch))
            row = {"epoch": epoch + 1, **_score(network, proxy, held_out), "seconds": session.seconds()}
            rows["rows"] = [*rows["rows"], row]
    seen = sums["seen"].cpu()
    losses, right = [math.nan, *(sums["loss"].cpu() / seen).tolist()], (100 * sums["right"].cpu() / seen).tolist()
    return [
        {**row, "loss": loss, "train_accuracy": accuracy}
        for row, loss, accuracy in zip(rows["rows"], losses, [math.nan, *right], strict=True)
    ]


_SUMS = ("loss", "right", "seen")


def _steps(count: int, size: int) -> int:
    """Mini-batches an epoch. A last one of a single image is left out, which BatchNorm may be unable to normalise."""
    return count // size + (count % size > 1)


def _build(setting: Setting, index: int) -> nn.Module:
    """The untrained network, drawn as for a score table."""
    torch.manual_seed(derive(setting.network_seed, "initialisation", index))
    arch = setting.space.architecture(index)
    try:
        with building_on(setting.device):
            return setting.space.build(arch, setting.classes)
    except NaswotError:
        raise
    # Whatever it raises, there is nothing to train; the message says which one.
    except Exception as error:
        raise NaswotError(
            f"{arch} of {setting.space.name} cannot be built ({type(error).__name__}: {one_line(error)}), so it cannot "
            "be trained. Choose other architectures."
        ) from error


def _score(network: nn.Module, proxy: Proxy, images: Images) -> dict[str, Any]:
    """Score, status and error of a network as it is."""
    try:
        # A copy, as some proxies change what they score.
        value = proxy.score(copy.deepcopy(network), images).score
    except Exception as error:
        reason = one_line(error) if isinstance(error, NaswotError) else f"{type(error).__name__}: {one_line(error)}"
        return {"score": math.nan, "status": "failed", "error": reason}
    status = "ok" if math.isfinite(value) else "singular" if value == -math.inf else "failed"
    return {"score": value, "status": status, "error": f"the score is {value}" if status == "failed" else ""}
