"""Zen-Score: how much a network's last feature maps move when its Gaussian input moves a little.

Source: Lin et al., Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition, ICCV 2021, section 3, algorithm 1,
and its code, idstcv/ZenNAS. With weights from N(0, 1), x and e from N(0, I) in the shape of the batch and f the feature
maps before the global average pooling,

    score = log E_x |f(x) - f(x + 0.01 e)|  +  sum_layers log sqrt(mean_channels variance),

where the sum undoes the scaling of the BatchNorm layers, whose variances are those of the batch x. As in the authors'
code, |.| is the sum of absolute values, biases are 0, and BatchNorm and GroupNorm scale by 1 and shift by 0. Unlike it:

- Residual links and parallel branches stay: in a search space of cells they are the architecture.
- f is the input of the last global average pooling, or the network's output where it has none.
- The variances are exact, as in the paper. The code reads running averages, which still hold some of their initial 1.
- A layer whose input is constant (behind `none` operations) scales nothing and is left out.
- One draw of weights and inputs, where the authors average 32 with 16 images each.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from naswot_ext.errors import NaswotError
from naswot_ext.forward import Inputs, run, undisturbed
from naswot_ext.proxies import Images, Scored, proxy
from naswot_ext.seeds import derive

GAMMA = 0.01

_MEAN = torch.ops.aten.mean.dim
_ADAPTIVE = (torch.ops.aten._adaptive_avg_pool2d.default, torch.ops.aten.adaptive_avg_pool2d.default)
_WINDOW = torch.ops.aten.avg_pool2d.default


class _BeforePooling(TorchDispatchMode):
    """While active, keeps the input [B, C, H, W] of the last global average pooling in `maps`."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: Tensor | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is _MEAN or func is _WINDOW or func in _ADAPTIVE:
            x, sizes = args[0], args[1]
            if x.dim() == 4 and _is_global(func, x, list(sizes or ()), args[2:]):
                self.maps = x
        return func(*args, **(kwargs or {}))


def _is_global(func: Any, x: Tensor, sizes: Sequence[int], more: Sequence[Any]) -> bool:
    if func is _MEAN:
        return sorted(dim % 4 for dim in sizes) == [2, 3]
    if func is _WINDOW:
        padding = more[1] if len(more) > 1 else (0,)
        return tuple(x.shape[2:]) == (*sizes, *sizes)[:2] and not any(padding)
    return list(sizes) == [1, 1]


def _feature_maps(network: nn.Module, images: Tensor) -> Tensor:
    with _BeforePooling() as seen:
        output = run(network, Inputs((images,), {}, len(images)))
    maps = output if seen.maps is None else seen.maps
    if not isinstance(maps, Tensor):
        raise NaswotError(
            f"{type(network).__name__} has no global average pooling and returned a {type(maps).__name__}: this proxy "
            "needs feature maps before a pooling, or one tensor."
        )
    return maps


@contextlib.contextmanager
def _gaussian(network: nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Weights from N(0, 1) inside, drawn in the order of the modules; the network's own after."""
    own: dict[Tensor, Tensor] = {}

    def give(parameter: Tensor | None, fill: float | None) -> None:
        if parameter is not None:
            own.setdefault(parameter, parameter.data)
            new = torch.empty_like(parameter.data)
            parameter.data = new.normal_(generator=generator) if fill is None else new.fill_(fill)

    try:
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                give(module.weight, None)
                give(module.bias, 0.0)
            elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
                give(module.weight, 1.0)
                give(module.bias, 0.0)
        yield
    finally:
        for parameter, data in own.items():
            parameter.data = data


@contextlib.contextmanager
def _measuring(layers: Sequence[nn.BatchNorm2d], images: Tensor) -> Iterator[None]:
    """Inside, the running variance of a layer is that of its last batch, also where it otherwise keeps none."""
    before = [(layer, layer.momentum, layer.track_running_stats, dict(layer._buffers)) for layer in layers]
    try:
        for layer in layers:
            layer.momentum, layer.track_running_stats = 1.0, True
            if layer.running_var is None:
                layer._buffers["running_mean"] = images.new_zeros(layer.num_features)
                layer._buffers["running_var"] = images.new_ones(layer.num_features)
        yield
    finally:
        for layer, momentum, track, buffers in before:
            layer.momentum, layer.track_running_stats = momentum, track
            layer._buffers.update(buffers)


@proxy(
    "zen",
    title="Zen-Score",
    cost="two forward passes of Gaussian images",
    batch="none: Gaussian images, in the number and size of the batch",
)
def zen(network: nn.Module, batch: Images) -> Scored:
    """Score the network, which is left as it was; -inf where its feature maps do not move.

    Weights and images are drawn from the seed that torch's generator had when the network was built. Raises NaswotError
    where the network overflows, or its last feature maps cannot be told.
    """
    x = batch.images
    generator = torch.Generator(x.device).manual_seed(derive(torch.initial_seed(), "zen"))
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    with undisturbed(network), _gaussian(network, generator), _measuring(layers, x):
        images, shift = (torch.empty_like(x).normal_(generator=generator) for _ in range(2))
        maps = _feature_maps(network, images.clone())
        variances = [layer.running_var.mean(dtype=torch.float64) for layer in layers if layer.running_var is not None]
        moved = _feature_maps(network, images + GAMMA * shift)
    distance = (maps - moved).abs().flatten(1).sum(1, dtype=torch.float64).mean()
    of_maps, *of_layers = torch.stack([distance, *(each.to(distance.device) for each in variances)]).tolist()
    if not all(map(math.isfinite, (of_maps, *of_layers))):
        raise NaswotError(
            f"The feature maps of {type(network).__name__} overflow {str(x.dtype).removeprefix('torch.')} with weights "
            "from N(0, 1): without BatchNorm they grow from layer to layer."
        )
    if of_maps == 0:
        return Scored(-math.inf)
    return Scored(math.log(of_maps) + sum(0.5 * math.log(variance) for variance in of_layers if variance > 0))
