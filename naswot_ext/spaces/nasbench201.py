"""NAS-Bench-201: 15,625 cells of 4 nodes and 6 edges (Dong & Yang, ICLR 2020).

An edge carries one of five operations; the string form lists, node by node, the operations on the edges that
enter it: ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``. The network: a 3x3 convolution to C channels, three stages of
N cells with C, 2C and 4C channels, residual blocks of stride 2 between them, global average pooling, a linear
classifier.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from naswot_ext.errors import NaswotError, shown, unknown
from naswot_ext.fused import Fusable
from naswot_ext.spaces import SPACES
from naswot_ext.spaces._prototype import prototyped
from naswot_ext.spaces._space import SearchSpace

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
# The node that each of the six edges of a string form leaves; nodes 1, 2, 3 are entered by 1, 2, 3 of them.
_SOURCES = (0, 0, 1, 0, 1, 2)
_TARGETS = (1, 2, 2, 3, 3, 3)
_FORM = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|")
# The benchmark's authors enumerated all cells and shuffled them once with this seed; that order is the index of
# their files (checked against all 15,625 rows by the tests where the data is at hand).
_OFFICIAL_SHUFFLE_SEED = 88


def parse(architecture: str) -> tuple[str, ...]:
    """The six operations of a string form, in its order; raises NaswotError where it is not one of the space."""
    match = _FORM.fullmatch(architecture.strip())
    if match is None:
        raise NaswotError(
            f"{shown(architecture)} is not a NAS-Bench-201 architecture. Its form is "
            "|op~0|+|op~0|op~1|+|op~0|op~1|op~2| with op one of: " + ", ".join(OPERATIONS) + "."
        )
    for operation in match.groups():
        if operation not in OPERATIONS:
            raise unknown("NAS-Bench-201 operation", operation, OPERATIONS)
    return match.groups()


def to_string(operations: tuple[str, ...]) -> str:
    """The string form of six operations."""
    a, b, c, d, e, f = operations
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


@functools.cache
def _official_order() -> tuple[str, ...]:
    order = [to_string(operations) for operations in itertools.product(OPERATIONS, repeat=6)]
    random.Random(_OFFICIAL_SHUFFLE_SEED).shuffle(order)
    return tuple(order)


@functools.cache
def _official_index() -> dict[str, int]:
    return {architecture: index for index, architecture in enumerate(_official_order())}


class ReluConvBn(nn.Sequential):
    """ReLU, convolution without bias, BatchNorm: the benchmark's convolutional operation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )


class Zero(nn.Module):
    """The operation `none`. It multiplies, so that a dead branch still counts its units (as in the benchmark)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mul(0.0)


@prototyped
def _operation(name: str, inputs: int, outputs: int) -> nn.Module:
    if name in ("nor_conv_1x1", "nor_conv_3x3"):
        return ReluConvBn(inputs, outputs, kernel=1 if name == "nor_conv_1x1" else 3)
    if name == "skip_connect":
        if inputs == outputs:
            return nn.Identity()
        # Without a ReLU, which the benchmark's own has only at stride 2.
        return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
    assert inputs == outputs, name
    return Zero() if name == "none" else nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)


class Cell(nn.Module):
    """One cell: node j is the sum of its edges' operations on the nodes before it.

    Only node 0 has `inputs` channels. The cells of this space do not change the number; nats-sss has some that do.
    """

    def __init__(self, operations: tuple[str, ...], inputs: int, outputs: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            _operation(name, outputs if source else inputs, outputs)
            for name, source in zip(operations, _SOURCES, strict=True)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nodes = [x]
        for node in (1, 2, 3):
            entering = [
                edge(nodes[source])
                for edge, source, target in zip(self.edges, _SOURCES, _TARGETS, strict=True)
                if target == node
            ]
            nodes.append(functools.reduce(torch.add, entering))
        return nodes[-1]


class ReductionBlock(nn.Module):
    """The fixed residual block of stride 2 between two stages."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(ReluConvBn(inputs, outputs, 3, stride=2), ReluConvBn(outputs, outputs, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.residual(x)


def stem(channels: int) -> nn.Sequential:
    """What comes before the first cell."""
    return nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))


def head(channels: int, num_classes: int) -> nn.Sequential:
    """What comes after the last cell."""
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, num_classes),
    )


class Network(Fusable, nn.Sequential):
    """The skeleton around one cell, with `channels` in the first stage and `cells` a stage.

    Takes images float [B, 3, H, W] (H and W multiples of 4, 32 in the benchmark), gives logits [B, num_classes].
    """

    def __init__(self, operations: tuple[str, ...], channels: int, cells: int, num_classes: int) -> None:
        stages: list[nn.Module] = [stem(channels)]
        for width in (channels, 2 * channels, 4 * channels):
            if width > channels:
                stages.append(ReductionBlock(width // 2, width))
            stages.extend(Cell(operations, width, width) for _ in range(cells))
        super().__init__(*stages, head(4 * channels, num_classes))


class NasBench201(SearchSpace):
    """The space, with the benchmark's own skeleton (C=16, N=5) by default."""

    name = "nasbench201"
    title = "NAS-Bench-201"
    NETWORK: ClassVar[Mapping[str, Any]] = {"channels": 16, "cells": 5}
    decisions = (len(OPERATIONS),) * 6

    def __len__(self) -> int:
        return len(OPERATIONS) ** 6

    def architecture(self, index: int) -> str:
        return _official_order()[self.check_index(index)]

    def index(self, architecture: str) -> int:
        return _official_index()[self.canonical(architecture)]

    def canonical(self, architecture: str) -> str:
        return to_string(parse(architecture))

    def encode(self, architecture: str) -> tuple[int, ...]:
        return tuple(map(OPERATIONS.index, parse(architecture)))

    def decode(self, codes: Sequence[int]) -> str:
        return to_string(tuple(OPERATIONS[code] for code in self.check_codes(codes)))

    def build(self, architecture: str, num_classes: int = 1) -> nn.Module:
        return Network(parse(architecture), self.network["channels"], self.network["cells"], num_classes)

    def neighbours(self, architecture: str) -> list[str]:
        operations = parse(architecture)
        return [
            to_string((*operations[:edge], other, *operations[edge + 1 :]))
            for edge in range(6)
            for other in OPERATIONS
            if other != operations[edge]
        ]


SPACES.register("nasbench201")(NasBench201())
