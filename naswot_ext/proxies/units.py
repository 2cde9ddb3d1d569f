"""N_A, the number of rectified units that one image sees, each counted once each time it runs.

A baseline for the paper's score, which grows with it: s <= B log N_A.
"""

from __future__ import annotations

from torch import nn

from naswot_ext.activation import count_units
from naswot_ext.errors import NaswotError
from naswot_ext.proxies import SHAPE_BATCH, Images, Scored, proxy


def _from_naswot(score: Scored, batch: Images) -> Scored:
    if score.units < 1:
        raise NaswotError("This score of naswot does not say of how many units it is.")
    return Scored(float(score.units), score.units)


@proxy(
    "units",
    title="number of rectified units, $N_A$",
    cost="one forward pass of two images; nothing beside naswot",
    batch="two images, for their size",
    converts=("naswot", _from_naswot),
)
def units(network: nn.Module, batch: Images) -> Scored:
    """Count the units; the batch gives only the image size."""
    counted = count_units(network, batch.images[:SHAPE_BATCH]).units
    return Scored(float(counted), counted)
