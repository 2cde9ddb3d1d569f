"""The supernet of NAS-Bench-201: every cell has all five operations on each of its six edges.

Its 15,625 architectures share the weights of their operations, and all cells share one alpha, [6 edges, 5 operations]
in the order of the space's string form and of `OPERATIONS`. As in the benchmark's own searches, the BatchNorms of the
cells have no weight and bias, so that no operation can grow by them alone. Those searches give these convolutions a
bias instead, which the BatchNorm takes away again; there is none here.

Source: Dong & Yang, NAS-Bench-201, ICLR 2020, section 5 and appendix.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from naswot_ext.spaces.nasbench201 import OPERATIONS, ReductionBlock, ReluConvBn, Zero, head, stem, to_string

EDGES = 6
# The node that each edge leaves, for node 1, 2 and 3 in turn, in the order of the string form.
_ENTERING = ((0,), (0, 1), (0, 1, 2))
_ALPHA_SPREAD = 1e-3
_NONE = OPERATIONS.index("none")

# (the five operations of an edge, the edge's number, its input) -> what it adds to the node that it enters
Edge = Callable[[nn.ModuleList, int, torch.Tensor], torch.Tensor]


def _operation(name: str, channels: int, affine: bool, track_running_stats: bool) -> nn.Module:
    if name in ("nor_conv_1x1", "nor_conv_3x3"):
        block = ReluConvBn(channels, channels, kernel=1 if name == "nor_conv_1x1" else 3)
        block[2] = nn.BatchNorm2d(channels, affine=affine, track_running_stats=track_running_stats)
        return block
    if name == "skip_connect":
        return nn.Identity()
    return Zero() if name == "none" else nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)


class SuperCell(nn.Module):
    """One cell with all operations: `edges[e][o]` is operation o on edge e."""

    def __init__(self, channels: int, affine: bool, track_running_stats: bool) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            nn.ModuleList(_operation(name, channels, affine, track_running_stats) for name in OPERATIONS)
            for _ in range(EDGES)
        )

    def forward(self, x: torch.Tensor, edge: Edge) -> torch.Tensor:
        nodes, number = [x], 0
        for sources in _ENTERING:
            entering = []
            for source in sources:
                operations = self.edges[number]
                assert isinstance(operations, nn.ModuleList)
                entering.append(edge(operations, number, nodes[source]))
                number += 1
            nodes.append(functools.reduce(torch.add, entering))
        return nodes[-1]


class Supernet(nn.Module):
    """The skeleton of the space's networks around `SuperCell`s, and `alpha`, a parameter float [6, 5] near zero.

    Takes images float [B, 3, H, W] (H and W multiples of 4), gives logits [B, num_classes]. Drawn from torch's default
    random generator.
    """

    def __init__(
        self, channels: int, cells: int, num_classes: int, affine: bool = False, track_running_stats: bool = True
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList([stem(channels)])
        for width in (channels, 2 * channels, 4 * channels):
            if width > channels:
                self.stages.append(ReductionBlock(width // 2, width))
            self.stages.extend(SuperCell(width, affine, track_running_stats) for _ in range(cells))
        self.stages.append(head(4 * channels, num_classes))
        self.alpha = nn.Parameter(_ALPHA_SPREAD * torch.randn(EDGES, len(OPERATIONS)))

    def weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All parameters but alpha, with their names."""
        return ((name, parameter) for name, parameter in self.named_parameters() if name != "alpha")

    def forward(self, images: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
        """Every edge is the sum of all operations, weighted by its row of `mixture`, float [6, 5]."""

        def edge(operations: nn.ModuleList, number: int, x: torch.Tensor) -> torch.Tensor:
            weights = mixture[number].unbind()
            # What `none` adds is zero whatever its weight, and so is its weight's gradient.
            parts = [weights[o] * operation(x) for o, operation in enumerate(operations) if o != _NONE]
            return functools.reduce(torch.add, parts)

        return self._run(images, edge)

    def path(self, images: torch.Tensor, operations: Sequence[int]) -> torch.Tensor:
        """The architecture with operation `operations[e]` on edge e: only these run."""
        return self._run(images, lambda candidates, number, x: candidates[operations[number]](x))

    def gated(self, images: torch.Tensor, gates: torch.Tensor, operations: Sequence[int]) -> torch.Tensor:
        """The architecture `operations`, each times its gate; `gates` float [6, 5] are 1 there and 0 elsewhere.

        Only the chosen operations run. An edge adds its other gates to every value as they are, so that they get a
        gradient too: that of an operation whose output is 1 everywhere, as in the code of GDAS' authors.
        """

        def edge(candidates: nn.ModuleList, number: int, x: torch.Tensor) -> torch.Tensor:
            chosen, row = operations[number], gates[number]
            others = torch.cat([row[:chosen], row[chosen + 1 :]]).sum()
            return row[chosen] * candidates[chosen](x) + others

        return self._run(images, edge)

    def _run(self, x: torch.Tensor, edge: Edge) -> torch.Tensor:
        for stage in self.stages:
            x = stage(x, edge) if isinstance(stage, SuperCell) else stage(x)
        return x


def architecture(operations: Sequence[int]) -> str:
    """The string form of the architecture with operation `operations[e]` on edge e."""
    return to_string(tuple(OPERATIONS[o] for o in operations))


def strongest(alpha: torch.Tensor) -> str:
    """The string form of the architecture with the largest alpha of each edge, the first of equal ones."""
    return architecture(alpha.detach().cpu().double().numpy().argmax(axis=1).tolist())
