"""A uniform random number: what every other proxy must beat."""

from __future__ import annotations

import torch
from torch import nn

from naswot_ext.proxies import Images, Scored, proxy


@proxy("random", title="random number", cost="none: the network is only built", batch="none")
def random(network: nn.Module, batch: Images) -> Scored:
    """The next number in [0, 1) of torch's generator of the CPU, which stays where it is.

    The generator was seeded for this network before it was built, so that the number is a function of the seed and
    the architecture.
    """
    with torch.random.fork_rng(devices=()):
        return Scored(float(torch.rand((), dtype=torch.float64, device="cpu")))
