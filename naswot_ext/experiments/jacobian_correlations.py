"""How alike the linear maps of some untrained networks are at the images of one batch: histograms of correlations.

Source: Mellor et al., arXiv 2006.04647 version 1 (June 2020), section 3 and figure 1 (25 networks of NAS-Bench-201,
256 images of CIFAR-10). Sigma is the correlation matrix of the rows of J, one flattened d(sum of outputs)/d(image) for
each image, from which the score of 2020 (`naswot_ext.proxies.jacobian`) is taken.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from naswot_ext.errors import NaswotError
from naswot_ext.experiments._measure import IN_FLIGHT, check_options, facts, measuring, read_images, recorder, records
from naswot_ext.forward import Inputs, run, undisturbed
from naswot_ext.provenance import write_table
from naswot_ext.proxies import Images, Scored
from naswot_ext.proxies.jacobian import score_of
from naswot_ext.scoring import Engine, to_device
from naswot_ext.spaces import SPACES, SearchSpace

BINS = 100


def jacobian(network: nn.Module, images: Tensor, batchnorm: str = "eval") -> Tensor:
    """J [B, C * H * W] of images [B, C, H, W]: row i is d(sum of outputs)/d(image i). The network is left as it was.

    The rows that the proxies `jacobian` (`batchnorm` "eval") and `jacobian_train` ("train") score. Raises NaswotError
    where the network fails, or gives no tensor of floating-point numbers.
    """
    with undisturbed(network, batchnorm), torch.enable_grad():
        images = images.detach().clone().requires_grad_()
        # A copy, because the network may rectify its input in place.
        outputs = run(network, Inputs((images.clone(),), {}, len(images)))
        if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
            raise NaswotError(f"{type(network).__name__} returned no tensor of floating-point numbers.")
        if not outputs.requires_grad:
            return torch.zeros_like(images).flatten(1)  # no output depends on the images
        (rows,) = torch.autograd.grad(outputs.sum(), images, materialize_grads=True)
    return rows.flatten(1)


def correlations(rows: Tensor) -> npt.NDArray[np.float64]:
    """The correlations of the B(B-1)/2 pairs of rows of J [B, D], in float64, each once.

    >>> float(correlations(torch.tensor([[1.0, -1.0, 0.0], [-2.0, 2.0, 0.0]]))[0])
    -1.0
    """
    sigma = np.atleast_2d(np.corrcoef(rows.to(torch.float64).cpu().numpy()))
    return sigma[np.triu_indices(len(sigma), 1)].clip(-1, 1)


def histograms(
    space: SearchSpace,
    chosen: pd.DataFrame,
    images: str | os.PathLike[str],
    *,
    bins: int = BINS,
    batchnorm: str = "eval",
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
) -> pd.DataFrame:
    """How many pairs of images have a correlation in each of `bins` equal bins of [-1, 1], for each architecture.

    Columns: arch_index, arch, accuracy and band of `chosen`; low and high (a bin holds low <= x < high, the last one 1,
    too), count (pairs), status and error. A network that fails, or whose J has a row without a correlation
    ("singular"), has a count of 0 in all bins.

    Args:
        space: the search space, opened.
        chosen: the architectures, as `choose.choose` gives them.
        images: a file of the B images that `datasets.save_batch` wrote.
        bins: number of bins.
        batchnorm: how BatchNorm normalises: "eval" as for the published figures, or "train".
        seed: of the initialisation, as in score tables.
        device: where networks are built and run.
        threads: threads of the CPU.

    Raises:
        NaswotError: an unreadable file of images, a device that is not there, or less than 1 bin.
    """
    check_options("the histograms", bins=bins)
    edges = np.linspace(-1, 1, bins + 1)
    seen: list[Tensor] = []

    def compute(network: nn.Module, batch: Images) -> Scored:
        rows = jacobian(network, batch.images, batchnorm)
        seen.append(rows)
        return Scored(score_of(rows))

    parts = []
    with measuring(device, threads):
        engine = Engine(space, [recorder("jacobian", compute)], to_device(read_images(images), device), seed, device)
        scored = (row for rows in engine.score(chosen["arch_index"].to_numpy(np.int64), IN_FLIGHT) for row in rows)
        for row, choice in zip(scored, records(chosen), strict=True):
            values = correlations(seen[-1]) if row["status"] == "ok" else np.empty(0)
            count = np.histogram(values, edges)[0].astype(np.int64)
            part = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": count})
            parts.append(part.assign(**{**choice, "status": row["status"], "error": row["error"]}))
            seen.clear()
    columns = ["arch_index", "arch", "accuracy", "band", "low", "high", "count", "status", "error"]
    return pd.concat(parts, ignore_index=True)[columns].astype({"arch_index": "int32", "accuracy": "float64"})


def write_histograms(
    space: SearchSpace,
    chosen: pd.DataFrame,
    images: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    bins: int = BINS,
    batchnorm: str = "eval",
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    **made_by: Any,
) -> None:
    """Write `histograms` to the Parquet file `output`, with `made_by` in its metadata; raises as it does."""
    table = histograms(space, chosen, images, bins=bins, batchnorm=batchnorm, seed=seed, device=device, threads=threads)
    made = facts(__name__, None, images, device, threads, (SPACES.module(space.name),), **made_by)
    write_table(table, output, **made, space=space.name, network=space.network, seed=seed, batchnorm=batchnorm)
