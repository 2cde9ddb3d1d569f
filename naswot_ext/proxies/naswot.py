"""The paper's score: log|det K|, K_ij = N_A - Hamming distance of the codes of images i and j.

Source: Mellor et al., Neural Architecture Search without Training, ICML 2021, section 3, equations 2 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from naswot_ext import activation
from naswot_ext.errors import NaswotError
from naswot_ext.forward import Inputs
from naswot_ext.proxies import Images, Scored, proxy


def _launch(network: nn.Module, batch: Images) -> activation.Pending:
    # Not through read_batch, which would wait for the device to say whether the images are finite; they are.
    return activation.launch(network, Inputs((batch.images,), {}, len(batch.images)))


def _finish(pending: Sequence[activation.Pending]) -> list[Scored | NaswotError]:
    results = activation.finish(pending)
    return [x if isinstance(x, NaswotError) else Scored(float(x), x.units) for x in results]


@proxy(
    "naswot",
    title="NASWOT score, log |det K|",
    cost="one forward pass of the batch",
    launch=_launch,
    finish=_finish,
)
def naswot(network: nn.Module, batch: Images) -> Scored:
    """Score the network on the batch; -inf where K is singular."""
    (result,) = _finish([_launch(network, batch)])
    if isinstance(result, NaswotError):
        raise result
    return result
