"""The number of trainable parameters: the cheapest baseline, often hard to beat."""

from __future__ import annotations

from torch import nn

from naswot_ext.proxies import Images, Scored, proxy


@proxy("params", title="number of parameters", cost="none: the network is only built", batch="none")
def params(network: nn.Module, batch: Images) -> Scored:
    """Count the trainable parameters, classifier included."""
    return Scored(float(sum(p.numel() for p in network.parameters() if p.requires_grad)))
