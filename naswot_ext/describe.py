"""Facts about one architecture of a search space: what it is, how large, and how it scores."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from naswot_ext.activation import count_units, score
from naswot_ext.errors import NaswotError
from naswot_ext.forward import read_device
from naswot_ext.proxies import PROXIES, SHAPE_BATCH, Images
from naswot_ext.seeds import derive
from naswot_ext.spaces import SearchSpace


def describe(
    space: SearchSpace,
    architecture: str,
    *,
    image_size: int | None = None,
    inits: int = 3,
    num_classes: int = 1,
    batch_size: int = 128,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """What `naswot describe` prints.

    Args:
        space: the search space, with its network options and, for an index of a listed one, its listing.
        architecture: an index, the string form, or another form that the space reads.
        image_size: side of the images in pixels, by default that of the space's benchmark.
        inits: how many initialisations are scored, each on a new batch of standard-normal images, with BatchNorm in
            training mode (Mellor et al. 2021, section 3).
        num_classes: outputs of the classifier (the papers' code scores with one).
        batch_size: images in a batch.
        seed: seed of the initialisations and images.
        device: where the networks are scored.

    Returns:
        `arch`, the string form; `params`, trainable parameters; `flops` of one image, two a multiply-add;
        `applications`, how often a rectifier runs in one forward pass; `units`, N_A; `score_mean` and `score_std`
        (with n - 1; None for one initialisation) of log|det K| over those that are not singular (None where all are),
        and, where there are any, `singular`, their number.

    Raises:
        NaswotError: an architecture outside the space, or a network that cannot run on such images.
    """
    read_device(device)
    arch = space.find(architecture)
    size = image_size or space.image_size
    scores: list[float] = []
    for init in range(inits):
        torch.manual_seed(derive(seed, "initialisation", arch, init))
        try:
            network = space.build(arch, num_classes)
            images = torch.randn(batch_size, 3, size, size)
        except (RuntimeError, TypeError, OverflowError) as error:
            reason = str(error).partition("\n")[0]
            raise NaswotError(
                f"The network of {arch} or its {batch_size} images of {size} x {size} pixels cannot be made "
                f"({reason}). Take fewer classes, smaller images or a smaller network."
            ) from error
        if init == 0:
            few = images[:SHAPE_BATCH]
            counted = count_units(network, few)
            flops = PROXIES.get("flops").score(network, Images(few, None, num_classes)).score
            params = sum(p.numel() for p in network.parameters() if p.requires_grad)
        if device == "cpu":
            # The same function in a layout that the CPU runs faster.
            images = images.contiguous(memory_format=torch.channels_last)
        scores.append(float(score(network.to(device), images.to(device))))
    finite = np.array([value for value in scores if value > -math.inf])
    facts = {
        "arch": arch,
        "params": params,
        "flops": int(flops),
        "applications": counted.applications,
        "units": counted.units,
        "score_mean": float(finite.mean()) if len(finite) else None,
        "score_std": float(finite.std(ddof=1)) if len(finite) > 1 else None,
    }
    return facts | ({"singular": inits - len(finite)} if len(finite) < inits else {})


def read_listing(path: str | os.PathLike[str], space: str) -> list[str]:
    """The architectures of `space` in the Parquet file that a run has made of its benchmark's, by index.

    Raises NaswotError where the file is no such list, or that of another space, or leaves out an index.
    """
    # Who has no workflow installed has no such file, and describes networks without pandas.
    from naswot_ext.provenance import read_provenance, read_table

    remedy = f"Give RESULTS/architectures/{space}.parquet of a run."
    if not Path(path).is_file():
        raise NaswotError(f"No such file: {path}. {remedy}")
    try:
        table, of = read_table(path), read_provenance(path).get("space")
    except NaswotError:
        raise NaswotError(f"{path} is no list of architectures. {remedy}") from None
    if not {"arch_index", "arch"} <= set(table.columns) or of != space:
        raise NaswotError(f"{path} is no list of the architectures of {space}. {remedy}")
    listed = table.drop_duplicates("arch_index").sort_values("arch_index")
    if listed["arch_index"].tolist() != list(range(len(listed))):
        raise NaswotError(f"{path} does not number its architectures from 0 without gaps. {remedy}")
    return listed["arch"].tolist()
