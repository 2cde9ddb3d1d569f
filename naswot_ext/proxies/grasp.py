"""GraSP: sum of -w (Hg) over the weights w of convolutions and linear layers; H is the loss's Hessian, g its gradient.

Sources: Wang et al., Picking Winning Tickets Before Training by Preserving Gradient Flow, ICLR 2020; as a network's
score: Abdelfattah et al. 2021, section 3.2, and its code, whose sign and temperature (1) are used here. That code
computes g in a forward pass of its own, on the same images; one forward pass gives the same.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from naswot_ext.gradients import cross_entropy, differentiable, finite, gradients, weights_of
from naswot_ext.proxies import Images, Scored, proxy


@proxy(
    "grasp",
    title="GraSP",
    cost="one forward and two backward passes of the batch, the second through the first: about ten times SNIP",
    batch="the images and their labels",
    needs_labels=True,
)
def grasp(network: nn.Module, batch: Images) -> Scored:
    """Sum the terms, in float64; raises NaswotError as `naswot_ext.gradients` does.

    -inf where every gradient is 0: the sum would be 0 too, and better than that of most networks that can learn.
    """
    with differentiable(network):
        weights = weights_of(network)
        loss = cross_entropy(network, batch)
        found = gradients(loss, weights, differentiable_again=True)
        product = torch.stack([(g.detach() * g).sum() for g in found]).sum()
        # A network without a nonlinearity before its loss still has one: the softmax.
        curved = gradients(product, weights)
        terms = [-(w.detach().double() * hg).sum() for w, hg in zip(weights, curved, strict=True)]
        score = finite(torch.stack(terms).sum(), loss)
        # The gradients' squares may underflow where they do not.
        dead = score == 0 and not any(bool(g.any()) for g in found)
        return Scored(-math.inf if dead else score)
