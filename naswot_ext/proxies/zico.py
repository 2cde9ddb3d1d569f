"""ZiCo: sum over convolutions and linear layers of log(sum over weights of E|g| / sd(g)), g over two mini-batches.

E and sd (of the population) are taken over the gradients of the loss of each mini-batch. The given batch is one draw
of images, so its two halves are the two mini-batches, the number that the authors use; an odd image is left out.
Weights whose gradients do not vary are left out, and so are layers that have only such weights.

Source: Li et al., ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients, ICLR 2023, and its code,
SLDGroup/ZiCo.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from naswot_ext.errors import NaswotError
from naswot_ext.gradients import cross_entropy, differentiable, finite, gradients, weights_of
from naswot_ext.proxies import Images, Scored, proxy


@proxy(
    "zico",
    title="ZiCo",
    cost="two forward and backward passes, each of half the batch",
    batch="the two halves of the images and their labels, as two mini-batches",
    needs_labels=True,
)
def zico(network: nn.Module, batch: Images) -> Scored:
    """Sum the logarithms, in float64; -inf where no weight's gradient varies.

    Raises NaswotError for fewer than two images, and as `naswot_ext.gradients` does.
    """
    half = len(batch.images) // 2
    if not half:
        raise NaswotError("ZiCo compares the gradients of two halves of the batch, which has fewer than 2 images.")
    with differentiable(network):
        weights = weights_of(network)
        losses, found = [], []
        for part in (slice(half), slice(half, 2 * half)):
            labels = None if batch.labels is None else batch.labels[part]
            loss = cross_entropy(network, Images(batch.images[part], labels, batch.classes))
            found.append(gradients(loss, weights))
            losses.append(loss.detach())
        sums = []
        for first, second in zip(*found, strict=True):
            a, b = first.double(), second.double()
            # Of two numbers, the mean of |a| and |b| over the standard deviation |a - b| / 2.
            ratio = (a.abs() + b.abs()) / (a - b).abs()
            # Not `> 0`, which would leave out NaN too.
            sums.append(torch.where(a == b, 0.0, ratio).sum())
        layers = torch.stack(sums)
        score = finite(torch.where(layers == 0, 0.0, layers.log()).sum(), torch.stack(losses).sum())
        return Scored(score if layers.any() else -math.inf)
