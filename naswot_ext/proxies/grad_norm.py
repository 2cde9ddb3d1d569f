"""grad_norm: the sum over convolutions and linear layers of the Euclidean norm of the weight's gradient.

Source: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021, section 3.2. The paper speaks of the
norm of all gradients together; its code adds the layers' norms, and so does this.
"""

from __future__ import annotations

import torch
from torch import nn

from naswot_ext.gradients import cross_entropy, differentiable, finite, gradients, weights_of
from naswot_ext.proxies import Images, Scored, proxy


@proxy(
    "grad_norm",
    title="gradient norm",
    cost="one forward and one backward pass of the batch",
    batch="the images and their labels",
    needs_labels=True,
)
def grad_norm(network: nn.Module, batch: Images) -> Scored:
    """Sum the norms, in float64; raises NaswotError as `naswot_ext.gradients` does."""
    with differentiable(network):
        weights = weights_of(network)
        loss = cross_entropy(network, batch)
        norms = [torch.linalg.vector_norm(gradient, dtype=torch.float64) for gradient in gradients(loss, weights)]
        return Scored(finite(torch.stack(norms).sum(), loss))
