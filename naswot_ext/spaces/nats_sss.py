"""NATS-Bench's size space: 32,768 tuples of five channel counts, 8 to 64 in steps of 8 (Dong et al., TPAMI 2021).

The string form is ``8:8:8:8:16``. The network: a 3x3 convolution, then five layers of those widths (a cell, a residual
block of stride 2, a cell, a block, a cell), global average pooling, a linear classifier. The cell is one of
NAS-Bench-201's, the same in every architecture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from naswot_ext.errors import NaswotError, shown
from naswot_ext.fused import Fusable
from naswot_ext.spaces import SPACES
from naswot_ext.spaces._prototype import prototyped
from naswot_ext.spaces._space import SearchSpace
from naswot_ext.spaces.nasbench201 import Cell, ReductionBlock, head, parse, stem

WIDTHS = tuple(range(8, 65, 8))
LAYERS = 5
CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
_REDUCTIONS = (1, 3)
_FORM = re.compile(r":".join([r"(\d{1,9})"] * LAYERS), re.ASCII)


def parse_widths(architecture: str) -> tuple[int, ...]:
    """The five channel counts of a string form; raises NaswotError where it is not one of the space."""
    match = _FORM.fullmatch(architecture.strip())
    widths = tuple(map(int, match.groups())) if match else ()
    if not match or any(width not in WIDTHS for width in widths):
        raise NaswotError(
            f"{shown(architecture)} is not an architecture of nats-sss. Its form is 8:8:8:8:16, five channel counts "
            f"out of {', '.join(map(str, WIDTHS))}."
        )
    return widths


def to_string(widths: Sequence[int]) -> str:
    """The string form of five channel counts."""
    return ":".join(map(str, widths))


_stem = prototyped(stem)
_reduction = prototyped(ReductionBlock)
_head = prototyped(head)


class Network(Fusable, nn.Sequential):
    """The network of five widths.

    Takes images float [B, 3, H, W] (H and W multiples of 4, 32 in the benchmark), gives logits [B, num_classes].
    """

    def __init__(self, widths: Sequence[int], num_classes: int) -> None:
        operations = parse(CELL)
        layers = [
            _reduction(inputs, outputs) if layer in _REDUCTIONS else Cell(operations, inputs, outputs)
            for layer, (inputs, outputs) in enumerate(zip((widths[0], *widths), widths, strict=False))
        ]
        super().__init__(_stem(widths[0]), *layers, _head(widths[-1], num_classes))


class NatsSss(SearchSpace):
    """The space, in the order of the official files: that of the tuples."""

    name = "nats-sss"
    title = "NATS-Bench SSS"
    decisions = (len(WIDTHS),) * LAYERS

    def __len__(self) -> int:
        return len(WIDTHS) ** LAYERS

    def architecture(self, index: int) -> str:
        self.check_index(index)
        places = [index // len(WIDTHS) ** place % len(WIDTHS) for place in reversed(range(LAYERS))]
        return to_string([WIDTHS[place] for place in places])

    def index(self, architecture: str) -> int:
        index = 0
        for width in parse_widths(architecture):
            index = index * len(WIDTHS) + WIDTHS.index(width)
        return index

    def canonical(self, architecture: str) -> str:
        return to_string(parse_widths(architecture))

    def encode(self, architecture: str) -> tuple[int, ...]:
        return tuple(map(WIDTHS.index, parse_widths(architecture)))

    def decode(self, codes: Sequence[int]) -> str:
        return to_string([WIDTHS[code] for code in self.check_codes(codes)])

    def build(self, architecture: str, num_classes: int = 1) -> nn.Module:
        return Network(parse_widths(architecture), num_classes)

    def neighbours(self, architecture: str) -> list[str]:
        widths = parse_widths(architecture)
        return [
            to_string((*widths[:layer], other, *widths[layer + 1 :]))
            for layer in range(LAYERS)
            for other in WIDTHS
            if other != widths[layer]
        ]


SPACES.register("nats-sss")(NatsSss())
