"""The paper's score: log|det K|, K_ij = N_A - Hamming distance of the codes of images i and j.

Source: Mellor et al., Neural Architecture Search without Training, ICML 2021, section 3, equations 2 and 3.
"""

from __future__ import annotations

from torch import nn

from naswot_ext.activation import score
from naswot_ext.proxies import Images, Scored, proxy


@proxy("naswot", title="NASWOT score, log |det K|", cost="one forward pass of the batch")
def naswot(network: nn.Module, batch: Images) -> Scored:
    """Score the network on the batch; -inf where K is singular."""
    result = score(network, batch.images)
    return Scored(float(result), result.units)
