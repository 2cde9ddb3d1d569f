"""Floating-point operations of the convolutions and matrix products for one image: a multiply-add is two."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from naswot_ext.proxies import SHAPE_BATCH, Images, Scored, proxy


@proxy("flops", title="FLOPs", cost="one forward pass of two images")
def flops(network: nn.Module, batch: Images) -> Scored:
    """Count with torch's own counter; the batch gives only the image size."""
    images = batch.images[:SHAPE_BATCH]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images)
    return Scored(counter.get_total_flops() / len(images))
