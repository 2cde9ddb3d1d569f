"""The activation kernels K of some untrained networks, of all accuracies, on one batch of images.

Source: Mellor et al., ICML 2021, section 3 and figure 1: the better a trained network, the fewer of its untrained
codes are alike.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from naswot_ext.activation import ActivationKernel
from naswot_ext.experiments._measure import IN_FLIGHT, facts, measuring, read_images, recorder, records
from naswot_ext.provenance import write_table
from naswot_ext.proxies import Images, Scored
from naswot_ext.scoring import Engine, to_device
from naswot_ext.spaces import SPACES, SearchSpace


def kernels(
    space: SearchSpace,
    chosen: pd.DataFrame,
    images: str | os.PathLike[str],
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
) -> pd.DataFrame:
    """K of each chosen architecture: a row for each entry of its upper triangle with the diagonal.

    Columns: arch_index, arch, accuracy and band of `chosen`; row and column (images, from 0), k (int64, units in which
    the two images agree), units (N_A, the diagonal), status and error. A network that fails has one row, with row and
    column -1, the status "failed" and the reason.

    Args:
        space: the search space, opened.
        chosen: the architectures, as `choose.choose` gives them.
        images: a file of the B images that `datasets.save_batch` wrote.
        seed: of the initialisation, as in score tables.
        device: where networks are built and run.
        threads: threads of the CPU.

    Raises:
        NaswotError: an unreadable file of images, or a device that is not there.
    """
    seen: list[torch.Tensor] = []

    def compute(network: nn.Module, batch: Images) -> Scored:
        kernel = ActivationKernel(network)
        seen.append(kernel(batch.images).cpu())
        return Scored(float(kernel.score()), kernel.units)

    parts = []
    with measuring(device, threads):
        engine = Engine(space, [recorder("kernel", compute)], to_device(read_images(images), device), seed, device)
        scored = (row for rows in engine.score(chosen["arch_index"].to_numpy(np.int64), IN_FLIGHT) for row in rows)
        for row, choice in zip(scored, records(chosen), strict=True):
            failed = row["status"] == "failed"
            upper: Any = (np.array([-1]),) * 2 if failed else np.triu_indices(len(seen[-1]))
            part = pd.DataFrame({"row": upper[0], "column": upper[1]})
            part["k"] = np.zeros(1, np.int64) if failed else seen[-1].numpy()[upper]
            facts_of_all = {**choice, "units": row["units"], "status": row["status"], "error": row["error"]}
            parts.append(part.assign(**facts_of_all))
    columns = ["arch_index", "arch", "accuracy", "band", "row", "column", "k", "units", "status", "error"]
    types = {"arch_index": "int32", "accuracy": "float64", "units": "int64"}
    return pd.concat(parts, ignore_index=True)[columns].astype(types)


def write_kernels(
    space: SearchSpace,
    chosen: pd.DataFrame,
    images: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    **made_by: Any,
) -> None:
    """Write `kernels` to the Parquet file `output`, with `made_by` in its metadata; raises as it does."""
    table = kernels(space, chosen, images, seed=seed, device=device, threads=threads)
    made = facts(__name__, None, images, device, threads, (SPACES.module(space.name),), **made_by)
    write_table(table, output, **made, space=space.name, network=space.network, seed=seed)
