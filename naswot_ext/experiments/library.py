"""Scores of the CIFAR-10 networks of the package `pytorchcv`, which no search space holds.

Source: Mellor et al., arXiv 2006.04647 version 1 (June 2020), section 3.1 and figure 5: the mean score of 10
initialisations beside the test accuracy that the package states of its trained weights. The networks are built
untrained; nothing is downloaded. The package is optional: whoever wants these installs it.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from naswot_ext.errors import unknown
from naswot_ext.experiments._measure import (
    IN_FLIGHT,
    check_options,
    facts,
    label_of,
    measuring,
    read_images,
    say,
    scorer_of,
)
from naswot_ext.experiments.library_names import listing
from naswot_ext.partial import partial_file
from naswot_ext.provenance import write_table
from naswot_ext.scoring import Engine, to_device
from naswot_ext.spaces import SearchSpace

CLASSES = 10
COLUMNS = {
    "network": "str",
    "accuracy": "float64",
    "params": "int64",
    "seed": "int64",
    "proxy": "str",
    "score": "float64",
    "status": "str",
    "error": "str",
    "seconds": "float64",
}


def build(network: str, num_classes: int = CLASSES) -> nn.Module:
    """An untrained network of the package, initialised by torch's default random generator on the default device.

    Raises NaswotError for a name that it has not with a stated accuracy, and where the package is not installed.
    """
    _stated(network)
    from pytorchcv.model_provider import get_model

    model: nn.Module = get_model(network, pretrained=False, num_classes=num_classes)
    return model


def score_library(
    network: str,
    images: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    proxy: str = "jacobian",
    initialisations: int = 10,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    **made_by: Any,
) -> None:
    """Score one network with the initialisations `seed`, `seed` + 1, ..., and write `COLUMNS` to the file `output`.

    A row an initialisation. One that cannot be built or scored has the status "failed" and the reason, one of -inf is
    "singular". What is finished stands in ``output + ".partial"`` at once; a later call with the same arguments and
    code goes on from there.

    Args:
        network: its name in the package, such as "resnet20_cifar10".
        images: a file of images that `datasets.save_batch` wrote.
        output: the table.
        proxy: the score, by name or "my_file.py:function".
        initialisations: how many.
        seed: that of the first.
        device: where the network is built and scored: "cpu", "cuda:0", ...
        threads: threads of the CPU.
        made_by: JSON values that the table's metadata keep, such as the name of the data set.

    Raises:
        NaswotError: an unknown network or proxy, a missing package, images without the labels that the proxy needs, a
            device that is not there, and an `output` that cannot be written.
    """
    accuracy, params = _stated(network)
    check_options("the networks of a library", initialisations=initialisations)
    batch, output = read_images(images), Path(output)
    scorer = scorer_of(proxy, batch, images)
    made = facts(
        __name__,
        proxy,
        images,
        device,
        threads,
        **made_by,
        network=network,
        pytorchcv=version("pytorchcv"),
        initialisations=initialisations,
        seed=seed,
    )
    stated = {"network": network, "accuracy": accuracy, "params": params}
    with measuring(device, threads), partial_file(output, made) as partial:
        if partial is None:
            return
        on_device = to_device(batch, device)
        for number in range(partial.rows, initialisations):
            engine = Engine(_One(network), [scorer], on_device, seed + number, device, label=label_of(output))
            ((row,),) = engine.score(np.zeros(1, np.int64), IN_FLIGHT)
            scored = {key: row[key] for key in ("score", "status", "error", "seconds")}
            partial.append([{**stated, "seed": seed + number, "proxy": scorer.name, **scored}])
            say(label_of(output), f"{number + 1} of {initialisations} initialisations, {row['seconds']:.1f} s")
        write_table(partial.table(COLUMNS), output, **made)


class _One(SearchSpace):
    """One network as a space of its own, so that it is built and scored as an architecture is.

    Its seed is then not that of a position in a list, which grows with the package's versions.
    """

    name, title = "pytorchcv", "pytorchcv"

    def __init__(self, network: str) -> None:
        super().__init__()
        self._network = network

    def __len__(self) -> int:
        return 1

    def architecture(self, index: int) -> str:
        self.check_index(index)
        return self._network

    def index(self, architecture: str) -> int:
        return 0

    def canonical(self, architecture: str) -> str:
        return architecture

    def build(self, architecture: str, num_classes: int = CLASSES) -> nn.Module:
        # Its own ten classes, whatever the images': the stated accuracy is of these.
        return build(architecture)

    def neighbours(self, architecture: str) -> list[str]:
        return []


def _stated(network: str) -> tuple[float, int]:
    """The accuracy (percent) that the package states of a network, and its number of parameters."""
    known = listing()
    if network not in known:
        raise unknown("CIFAR-10 network of pytorchcv", network, known)
    return known[network]
