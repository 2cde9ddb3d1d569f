"""ResNet, ResNeXt and Vanilla networks of any depths and widths, as NDS trained them (Radosavovic et al., ICCV 2019).

A network is a stem, stages of equal blocks of which each stage's first has its stride, global average pooling and a
linear classifier, initialised as pycls does: convolutions normal by their fan-out, the classifier normal with
deviation 0.01.

pycls' own `AnyNet` is not built on: it reads a configuration that is global to the process, and takes the width of a
group where the NDS files have the number of groups (as pycls did when they were made). The papers' code handed `num_gs`
to pycls as that width, so its scores of ResNeXt may be of other networks than those that were trained, which are these.
A test holds these networks to those of pycls 0.1.1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

from naswot_ext.fused import Fusable
from naswot_ext.spaces._parts import Part
from naswot_ext.spaces._prototype import prototyped

VANILLA, BASIC, BOTTLENECK = "vanilla_block", "res_basic_block", "res_bottleneck_block"


class Stage(NamedTuple):
    """`depth` blocks of `width` channels; the last two are of bottleneck blocks only."""

    depth: int
    width: int
    stride: int
    bot_mul: float = 1.0
    num_gs: int = 1

    @property
    def bottleneck(self) -> int:
        """The channels of the 3x3 convolution."""
        return round(self.width * self.bot_mul)


class AnyNet(NamedTuple):
    """An entry's network: its kind of block, and its stages."""

    block: str
    stages: tuple[Stage, ...]


class FanOutConv2d(nn.Conv2d):
    """A convolution with pycls' initialisation."""

    def reset_parameters(self) -> None:
        fan_out = self.kernel_size[0] * self.kernel_size[1] * self.out_channels
        nn.init.normal_(self.weight, std=math.sqrt(2.0 / fan_out))


class Classifier(nn.Linear):
    """A linear layer with pycls' initialisation."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.01)
        nn.init.zeros_(self.bias)


def _conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = FanOutConv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class Residual(nn.Module):
    """ReLU of the sum of the input, projected where its shape changes, and of the layers' output."""

    def __init__(self, inputs: int, outputs: int, stride: int, layers: list[nn.Module]) -> None:
        super().__init__()
        changes = inputs != outputs or stride != 1
        self.shortcut = nn.Sequential(*_conv_norm(inputs, outputs, 1, stride)) if changes else nn.Identity()
        self.layers = nn.Sequential(*layers)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.shortcut(x) + self.layers(x))


@prototyped
def _block(kind: str, inputs: int, outputs: int, stride: int, bottleneck: int, groups: int) -> nn.Module:
    if kind == BOTTLENECK:
        layers = [
            *_conv_norm(inputs, bottleneck, 1),
            nn.ReLU(),
            *_conv_norm(bottleneck, bottleneck, 3, stride, groups),
            nn.ReLU(),
            *_conv_norm(bottleneck, outputs, 1),
        ]
        return Residual(inputs, outputs, stride, layers)
    layers = [*_conv_norm(inputs, outputs, 3, stride), nn.ReLU(), *_conv_norm(outputs, outputs, 3)]
    return nn.Sequential(*layers, nn.ReLU()) if kind == VANILLA else Residual(inputs, outputs, stride, layers)


@prototyped
def _stem(kind: str, width: int) -> nn.Module:
    """A stem by pycls' name for it."""
    if kind == "res_stem_in":
        return nn.Sequential(*_conv_norm(3, width, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
    return nn.Sequential(*_conv_norm(3, width, 3, 2 if kind == "simple_stem_in" else 1), nn.ReLU())


@prototyped
def _head(inputs: int, num_classes: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Classifier(inputs, num_classes))


def plan(net: AnyNet, stem: str, stem_width: int, num_classes: int) -> list[Part]:
    """The parts of a network, in the order in which they run, with a `stem` by pycls' name for it."""
    parts = [Part(_stem, (stem, stem_width))]
    channels = stem_width
    for stage in net.stages:
        for position in range(stage.depth):
            stride = stage.stride if position == 0 else 1
            parts.append(Part(_block, (net.block, channels, stage.width, stride, stage.bottleneck, stage.num_gs)))
            channels = stage.width
    return [*parts, Part(_head, (channels, num_classes))]


class AnyNetwork(nn.Sequential):
    """Takes images float [B, 3, H, W], gives logits [B, num_classes]."""

    def __init__(self, parts: list[Part]) -> None:
        super().__init__(*(part.build() for part in parts))


class FusableAnyNetwork(Fusable, AnyNetwork):
    """The same where no layer keeps it from being traced: with a stem without maximum pooling."""
