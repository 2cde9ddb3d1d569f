"""SNIP: sum of |w dL/dw| over the weights w of convolutions and linear layers.

Sources: Lee et al., SNIP: Single-Shot Network Pruning based on Connection Sensitivity, ICLR 2019, before its
normalisation; as a network's score: Abdelfattah et al. 2021, section 3.2.
"""

from __future__ import annotations

import torch
from torch import nn

from naswot_ext.gradients import cross_entropy, differentiable, finite, gradients, weights_of
from naswot_ext.proxies import Images, Scored, proxy


@proxy(
    "snip",
    title="SNIP",
    cost="one forward and one backward pass of the batch",
    batch="the images and their labels",
    needs_labels=True,
)
def snip(network: nn.Module, batch: Images) -> Scored:
    """Sum the sensitivities, in float64; raises NaswotError as `naswot_ext.gradients` does."""
    with differentiable(network):
        weights = weights_of(network)
        loss = cross_entropy(network, batch)
        found = gradients(loss, weights)
        terms = [(w.detach().double() * g).abs().sum() for w, g in zip(weights, found, strict=True)]
        return Scored(finite(torch.stack(terms).sum(), loss))
