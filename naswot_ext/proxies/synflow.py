"""SynFlow: sum of |w dR/dw| over the weights w of convolutions and linear layers; the images' values are not used.

R is the sum of the outputs for one image of ones, through the network with the absolute values of its parameters and
without BatchNorm, which would undo the scale that SynFlow measures. In float64: without BatchNorm, the activations of
deep networks leave the range of float32.

Sources: Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, NeurIPS 2020;
as a network's score, summed over all weights: Abdelfattah et al. 2021, section 3.2, and its code for BatchNorm.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from naswot_ext.gradients import differentiable, finite, gradients, logits, weights_of
from naswot_ext.proxies import Images, Scored, proxy


@proxy(
    "synflow",
    title="SynFlow",
    cost="one forward and one backward pass of one image, in float64",
    batch="one image of ones, of the size of the images",
)
def synflow(network: nn.Module, batch: Images) -> Scored:
    """Sum the flows, in float64; raises NaswotError as `naswot_ext.gradients` does, and where float64 overflows."""
    one = torch.ones_like(batch.images[:1], dtype=torch.float64)
    with differentiable(network):
        weights = weights_of(network)
        with _without_batchnorm(network), _absolute(network) as absolute:
            weights = [absolute[weight].requires_grad_() for weight in weights]
            flow = logits(network, one, batch.classes).sum()
        found = gradients(flow, weights)
        terms = [(w.detach() * g).abs().sum() for w, g in zip(weights, found, strict=True)]
        return Scored(finite(torch.stack(terms).sum(), flow))


@contextlib.contextmanager
def _absolute(network: nn.Module) -> Iterator[dict[Tensor, Tensor]]:
    """Inside, the network has the absolute values of its parameters and buffers, in float64: those given, by tensor."""
    tables: list[dict[str, Any]] = [
        table for module in network.modules() for table in (module._parameters, module._buffers)
    ]
    before = [dict(table) for table in tables]
    # One for each tensor, so that a shared one stays shared.
    absolute = {
        tensor: tensor.detach().abs().double() if tensor.is_floating_point() else tensor
        for table in before
        for tensor in table.values()
        if tensor is not None
    }
    try:
        for table, own in zip(tables, before, strict=True):
            table.update({name: tensor if tensor is None else absolute[tensor] for name, tensor in own.items()})
        yield absolute
    finally:
        for table, own in zip(tables, before, strict=True):
            table.update(own)


@contextlib.contextmanager
def _without_batchnorm(network: nn.Module) -> Iterator[None]:
    """Inside, BatchNorm layers give what they get. The network's own forward methods are back afterwards."""
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    before = [layer.__dict__.get("forward") for layer in layers]
    try:
        for layer in layers:
            layer.__dict__["forward"] = _identity
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                layer.__dict__.pop("forward", None)
            else:
                layer.__dict__["forward"] = forward


def _identity(x: Tensor) -> Tensor:
    # A copy, as BatchNorm's output is one: a ReLU in place behind it must not change what others get.
    return x.clone()
