"""Floating-point operations of the convolutions and matrix products for one image: a multiply-add is two.

The formulas are those of torch's own counter (`torch.utils.flop_counter`). Only a convolution's shape is computed,
not its values: the network runs on zeros behind it, which is several times faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from naswot_ext.forward import undisturbed
from naswot_ext.proxies import SHAPE_BATCH, Images, Scored, proxy

_CONVOLUTION = torch.ops.aten.convolution.default


class _Count(TorchDispatchMode):
    """Counts while active; `shapes_only` leaves out computing the convolutions."""

    def __init__(self, shapes_only: bool) -> None:
        super().__init__()
        self.total = 0
        self._shapes_only = shapes_only

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        plain = self._shapes_only and func is _CONVOLUTION and not kwargs and not args[6]  # not a transposed one
        output = _zeros_of(*args[:6]) if plain else func(*args, **kwargs)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **kwargs, out_val=output)
        return output


def _zeros_of(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """Zeros in the shape that a convolution gives."""
    sizes = [
        (size + 2 * pad - step * (kernel - 1) - 1) // by + 1
        for size, kernel, by, pad, step in zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    ]
    if min(sizes) < 1:
        raise ValueError("the kernel is larger than the image")
    return x.new_zeros((x.shape[0], weight.shape[0], *sizes))


@proxy(
    "flops",
    title="FLOPs",
    cost="one forward pass of one image without its convolutions",
    batch="one image, for its size",
)
def flops(network: nn.Module, batch: Images) -> Scored:
    """Count; the batch gives only the image size. The network is left as it was."""
    try:
        # Of one image, which BatchNorm allows in eval mode.
        return Scored(_counted(network, batch.images[:1], "eval", shapes_only=True))
    # Whatever such a network cannot do without values, the plain way says what is wrong with it.
    except Exception:
        return Scored(_counted(network, batch.images[:SHAPE_BATCH], "train", shapes_only=False))


def _counted(network: nn.Module, images: Tensor, batchnorm: str, shapes_only: bool) -> float:
    with undisturbed(network, batchnorm), _Count(shapes_only) as counter:
        network(images.clone())  # which the network may change in place
    return counter.total / len(images)
