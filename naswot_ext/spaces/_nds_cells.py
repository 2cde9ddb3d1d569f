"""Networks of normal and reduction cells, as NDS trained them (Radosavovic et al., ICCV 2019).

They are the networks of DARTS (Liu et al., ICLR 2019) with the operations of five papers. A cell reads the outputs of
the two cells before it, each first brought to C channels; each of its nodes is the sum of two operations on earlier
nodes (0 and 1 are the two inputs), and its output the concatenation of some of its nodes. The cells at a third and at
two thirds of the depth are reduction cells: their operations on the inputs have stride 2, and C doubles.

Left out are drop path and the auxiliary head, which serve training only; the head can be counted. The package pycls on
PyPI (0.1.1) has none of these networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from naswot_ext.spaces._parts import Part
from naswot_ext.spaces._prototype import prototyped


class Cell(NamedTuple):
    """Two (operation, node) pairs for each node from 2 on, and the nodes that are concatenated."""

    edges: tuple[tuple[str, int], ...]
    concat: tuple[int, ...]


class CellNet(NamedTuple):
    """An entry's network: C in the first cells, and the number of cells."""

    normal: Cell
    reduce: Cell
    width: int
    depth: int
    aux: bool


class Zero(nn.Module):
    """The operation `none`."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class FactorizedReduce(nn.Module):
    """Stride 2 by two 1x1 convolutions, one of which sees the image shifted by one pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(x)
        # What the shift drops at the top and left is made up by zeros, so that odd sides come out alike.
        return self.norm(torch.cat([self.even(x), self.odd(F.pad(x, (-1, 1, -1, 1)))], dim=1))


def _dense(channels: int, kernel: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels),
    )


def _separable(channels: int, kernel: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    depthwise = nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)
    return [nn.ReLU(), depthwise, nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels)]


def _row_and_column(channels: int, length: int, stride: int) -> nn.Module:
    half = length // 2
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, length), (1, stride), (0, half), bias=False),
        nn.Conv2d(channels, channels, (length, 1), (stride, 1), (half, 0), bias=False),
        nn.BatchNorm2d(channels),
    )


@prototyped
def operation(name: str, channels: int, stride: int) -> nn.Module:
    """One of the operations by its name in the files."""
    kernel = int(name[-1]) if name[-1].isdigit() else 0
    match name.removesuffix(f"_{kernel}x{kernel}"):
        case "none":
            return Zero(stride)
        case "skip_connect":
            return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
        case "avg_pool":
            return nn.AvgPool2d(kernel, stride, padding=kernel // 2, count_include_pad=False)
        case "max_pool":
            return nn.MaxPool2d(kernel, stride, padding=kernel // 2)
        case "conv":
            return _dense(channels, kernel, stride)
        case "conv_3x1_1x3":
            return _row_and_column(channels, 3, stride)
        case "conv_7x1_1x7":
            return _row_and_column(channels, 7, stride)
        case "sep_conv":
            return nn.Sequential(*_separable(channels, kernel, stride), *_separable(channels, kernel, 1))
        case "dil_conv":
            return nn.Sequential(*_separable(channels, kernel, stride, 2))
        case "dil_sep_conv":
            return nn.Sequential(*_separable(channels, kernel, stride, 2), *_separable(channels, kernel, 1, 2))
    raise AssertionError(name)


@prototyped
def _cell_input(inputs: int, outputs: int, reduces: bool) -> nn.Module:
    if reduces:
        return FactorizedReduce(inputs, outputs)
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


def _stem_layer(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs)]


@prototyped
def _cifar_stem(width: int) -> nn.Module:
    return nn.Sequential(*_stem_layer(3, 3 * width, 1))


@prototyped
def _imagenet_stem(width: int) -> nn.Module:
    return nn.Sequential(*_stem_layer(3, width // 2, 2), nn.ReLU(), *_stem_layer(width // 2, width, 2))


@prototyped
def _second_imagenet_stem(width: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), *_stem_layer(width, width, 2))


@prototyped
def _head(channels: int, num_classes: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


@prototyped
def _auxiliary_head(channels: int, num_classes: int, imagenet: bool) -> nn.Module:
    """The layers with parameters of the head that helped in training; pycls has one BatchNorm less on ImageNet."""
    layers = [nn.Conv2d(channels, 128, 1, bias=False), nn.BatchNorm2d(128), nn.Conv2d(128, 768, 2, bias=False)]
    last_norm = [] if imagenet else [nn.BatchNorm2d(768)]
    return nn.Sequential(*layers, *last_norm, nn.Linear(768, num_classes))


class CellPlan(NamedTuple):
    """What a cell is made of: the modules on its two inputs, those on its edges, and its graph."""

    inputs: tuple[Part, Part]
    operations: tuple[Part, ...]
    graph: Cell


class Plan(NamedTuple):
    """What a network is made of; `auxiliary` is counted, never built."""

    stems: tuple[Part, ...]
    cells: tuple[CellPlan, ...]
    head: Part
    auxiliary: Part

    def parts(self) -> Iterator[Part]:
        """All parts of the network without its auxiliary head."""
        yield from self.stems
        for cell in self.cells:
            yield from cell.inputs
            yield from cell.operations
        yield self.head


def plan(net: CellNet, imagenet: bool, num_classes: int) -> Plan:
    """The parts of a network with the stem of its data set, in the order in which they run."""
    stems: tuple[Part, ...]
    if imagenet:
        stems = (Part(_imagenet_stem, (net.width,)), Part(_second_imagenet_stem, (net.width,)))
        before = last = net.width
    else:
        stems = (Part(_cifar_stem, (net.width,)),)
        before = last = 3 * net.width
    channels, before_reduces = net.width, imagenet
    cells = []
    auxiliary_channels = 0
    for position in range(net.depth):
        reduces = position in (net.depth // 3, 2 * net.depth // 3)
        channels *= 2 if reduces else 1
        graph = net.reduce if reduces else net.normal
        operations = tuple(
            Part(operation, (name, channels, 2 if reduces and source < 2 else 1)) for name, source in graph.edges
        )
        inputs = (
            Part(_cell_input, (before, channels, before_reduces)),
            Part(_cell_input, (last, channels, False)),
        )
        cells.append(CellPlan(inputs, operations, graph))
        before, last, before_reduces = last, len(graph.concat) * channels, reduces
        if position == 2 * net.depth // 3:
            auxiliary_channels = last
    head = Part(_head, (last, num_classes))
    return Plan(stems, tuple(cells), head, Part(_auxiliary_head, (auxiliary_channels, num_classes, imagenet)))


class CellModule(nn.Module):
    """One cell of a network."""

    def __init__(self, plan: CellPlan) -> None:
        super().__init__()
        self.before, self.last = (part.build() for part in plan.inputs)
        self.operations = nn.ModuleList(part.build() for part in plan.operations)
        self.sources = tuple(source for _, source in plan.graph.edges)
        self.concat = plan.graph.concat

    def forward(self, before: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        nodes = [self.before(before), self.last(last)]
        edges = list(zip(self.operations, self.sources, strict=True))
        for (one, source), (other, other_source) in zip(edges[::2], edges[1::2], strict=True):
            nodes.append(one(nodes[source]) + other(nodes[other_source]))
        return torch.cat([nodes[node] for node in self.concat], dim=1)


class CellNetwork(nn.Module):
    """Takes images float [B, 3, H, W], gives logits [B, num_classes]."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.stems = nn.ModuleList(part.build() for part in plan.stems)
        self.cells = nn.ModuleList(CellModule(cell) for cell in plan.cells)
        self.head = plan.head.build()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = last = self.stems[0](x)
        for stem in self.stems[1:]:
            last = stem(before)
        for cell in self.cells:
            before, last = last, cell(before, last)
        return self.head(last)
