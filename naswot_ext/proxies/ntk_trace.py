"""NASI's approximation of the trace norm of the neural tangent kernel: ||1/b sum_x grad_theta L_x||^2.

L_x is the cross-entropy of image x of a mini-batch of b, and theta all trainable parameters: the squared norm of the
gradient of the mean loss.

Source: Shu et al., NASI: Label- and Data-agnostic Neural Architecture Search at Initialization, ICLR 2022, section
3.2: the quantity defined between equations 11 and 12. The factor m / gamma of equation 12, equal for all networks, and
the constraint of equation 13, which belongs to the search, are left out.
"""

from __future__ import annotations

import torch
from torch import nn

from naswot_ext.gradients import cross_entropy, differentiable, finite, gradients, weighted_layers
from naswot_ext.proxies import Images, Scored, proxy


@proxy(
    "ntk_trace",
    title="NTK trace norm (NASI)",
    cost="one forward and one backward pass of the batch",
    batch="the images and their labels",
    needs_labels=True,
)
def ntk_trace(network: nn.Module, batch: Images) -> Scored:
    """The squared norm, in float64; raises NaswotError as `naswot_ext.gradients` does."""
    with differentiable(network):
        weighted_layers(network)
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        loss = cross_entropy(network, batch)
        norms = [torch.linalg.vector_norm(g, dtype=torch.float64) for g in gradients(loss, parameters)]
        return Scored(finite(torch.stack(norms).square().sum(), loss))
