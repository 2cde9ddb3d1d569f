"""The paper's score without what grows with the number of units alone: log|det(K / N_A)| = log|det K| - B log N_A.

K is that of Mellor et al., ICML 2021, section 3; K / N_A has ones on its diagonal, so that the value is at most 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from naswot_ext import activation
from naswot_ext.errors import NaswotError
from naswot_ext.proxies import Images, Scored, proxy
from naswot_ext.proxies.naswot import naswot


def _normalised(score: Scored, images: int) -> Scored:
    if score.units < 1:
        raise NaswotError("A score of naswot that does not say of how many units it is cannot be normalised.")
    return Scored(score.score - images * math.log(score.units), score.units)


def _from_naswot(score: Scored, batch: Images) -> Scored:
    return _normalised(score, len(batch.images))


def _finish(pending: Sequence[activation.Pending]) -> list[Scored | NaswotError]:
    assert naswot.finish is not None
    return [
        result if isinstance(result, NaswotError) else _normalised(result, len(each.kernel))
        for each, result in zip(pending, naswot.finish(pending), strict=True)
    ]


@proxy(
    "naswot_normalised",
    title="normalised NASWOT score, log |det K / $N_A$|",
    cost="one forward pass of the batch; nothing beside naswot",
    launch=naswot.launch,
    finish=_finish,
    converts=("naswot", _from_naswot),
)
def naswot_normalised(network: nn.Module, batch: Images) -> Scored:
    """Score the network on the batch; -inf where K is singular. Raises what naswot raises."""
    result = naswot.compute(network, batch)
    assert isinstance(result, Scored)
    return _from_naswot(result, batch)
