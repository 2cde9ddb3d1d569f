"""NAS-Bench-101: 423,624 cells of at most 7 vertices and 9 edges (Ying et al., ICML 2019).

A cell is a directed acyclic graph from an input to an output vertex; each vertex between them has an operation. The
string form is the adjacency matrix row by row and the operations, ``0110010100010000 input,conv3x3-bn-relu,...``; it
may hold vertices that do not lie between input and output, which every use leaves out. Also read is the JSON
``{"adjacency": ..., "operations": ...}``, each as such a text or as lists. The network: a 3x3 convolution to
`stem_channels`, `stacks` stacks of `modules` cells, between them 2x2 max-pooling and twice the channels, global
average pooling, a linear classifier. The benchmark trained 128 channels; the papers' scores are of 16.

Weights are drawn as by the benchmark: convolutions from a normal distribution truncated at two deviations, of
variance 1 / inputs of a unit; the classifier's uniformly (Glorot). The reference code draws from wider normal
distributions instead; as BatchNorm follows each convolution, that changes no score of codes.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from naswot_ext.errors import NaswotError, shown, unknown
from naswot_ext.spaces import SPACES
from naswot_ext.spaces._prototype import prototyped
from naswot_ext.spaces._space import ListedSpace

# In the order that numbers them in the benchmark's hash.
OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
MAX_VERTICES = 7
MAX_EDGES = 9
_FORM = (
    'a form of this space is "0100010... input,conv3x3-bn-relu,...,output": the adjacency matrix row by row, '
    'a space, and the operations; or the JSON {"adjacency": ..., "operations": ...}'
)


class Cell(NamedTuple):
    """A cell: the vertices that feed each vertex, in order, and each vertex's operation ("input", ..., "output")."""

    sources: tuple[tuple[int, ...], ...]
    operations: tuple[str, ...]

    def __str__(self) -> str:
        vertices = range(len(self.operations))
        digits = "".join("1" if source in self.sources[target] else "0" for source in vertices for target in vertices)
        return f"{digits} {','.join(self.operations)}"

    @property
    def edges(self) -> list[tuple[int, int]]:
        """All (source, target)."""
        return [(source, target) for target, sources in enumerate(self.sources) for source in sources]


def parse(architecture: str) -> Cell:
    """The cell of a string form or JSON, as it is given; raises NaswotError where it is not one of the space."""
    text = architecture.strip()
    digits, operations = _from_json(text) if text.startswith("{") else _from_text(text)
    return _checked(architecture, digits, operations)


def _from_text(text: str) -> tuple[str, tuple[str, ...]]:
    digits, _, operations = text.replace("\t", " ").partition(" ")
    return digits, tuple(map(str.strip, operations.split(",")))


def _from_json(text: str) -> tuple[str, tuple[str, ...]]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NaswotError(f"{shown(text)} is not a NAS-Bench-101 cell: it is broken JSON ({error}).") from None
    for field in ("adjacency", "operations"):
        if field not in fields:
            raise NaswotError(f'{shown(text)} is not a NAS-Bench-101 cell: the JSON has no "{field}"; {_FORM}.')
    for field in fields:
        if field not in ("adjacency", "operations"):
            raise unknown("key of a NAS-Bench-101 cell", field, ("adjacency", "operations"))
    adjacency, operations = fields["adjacency"], fields["operations"]
    if isinstance(adjacency, list) and all(isinstance(row, list) and len(row) == len(adjacency) for row in adjacency):
        adjacency = "".join(str(int(edge)) if edge in (0, 1) else "?" for row in adjacency for edge in row)
    if isinstance(operations, str):
        operations = [operation.strip() for operation in operations.split(",")]
    if not isinstance(adjacency, str) or not isinstance(operations, list):
        raise NaswotError(
            f"{shown(text)} is not a NAS-Bench-101 cell: the adjacency is a square list of lists of 0 and 1, or their "
            "digits row by row; the operations are a list, or separated by commas."
        )
    return adjacency.strip(), tuple(map(str, operations))


def _checked(architecture: str, digits: str, operations: tuple[str, ...]) -> Cell:
    """The cell of a matrix's digits and the operations, if it is one of the space."""
    size = math.isqrt(len(digits))
    if size * size != len(digits) or size < 2 or digits.strip("01"):
        raise NaswotError(f"{shown(architecture)} is not a NAS-Bench-101 cell: no square matrix of 0 and 1; {_FORM}.")
    if len(operations) != size:
        raise NaswotError(
            f"{shown(architecture)} is not a NAS-Bench-101 cell: {size} vertices, but {len(operations)} operations."
        )
    for operation in operations[1:-1]:
        if operation not in OPERATIONS:
            raise unknown("NAS-Bench-101 operation", operation, OPERATIONS)
    if (operations[0], operations[-1]) != ("input", "output"):
        raise NaswotError(
            f"{shown(architecture)} is not a NAS-Bench-101 cell: the first operation must be input and the last "
            f"output, not {shown(operations[0])} and {shown(operations[-1])}."
        )
    if any("1" in digits[row * size : row * size + row + 1] for row in range(size)):
        raise NaswotError(
            f"{shown(architecture)} is not a NAS-Bench-101 cell: an edge leads to its own or an earlier vertex. Order "
            "the vertices so that the matrix has ones above its diagonal only."
        )
    sources = tuple(tuple(s for s in range(target) if digits[s * size + target] == "1") for target in range(size))
    cell = Cell(sources, operations)
    _within_limits(prune(cell))
    return cell


def _within_limits(pruned: Cell) -> Cell:
    vertices, edges = len(pruned.sources), sum(map(len, pruned.sources))
    if vertices > MAX_VERTICES or edges > MAX_EDGES:
        raise NaswotError(
            f"{shown(str(pruned))} is not a NAS-Bench-101 cell: {vertices} vertices and {edges} edges lie between "
            f"input and output; at most {MAX_VERTICES} and {MAX_EDGES} may."
        )
    return pruned


def prune(cell: Cell) -> Cell:
    """The vertices on a way from the input to the output, and their edges; raises NaswotError where there is none."""
    sources, last = cell.sources, len(cell.operations) - 1
    reached = [True] + [False] * last
    for vertex in range(1, last + 1):
        reached[vertex] = any(reached[source] for source in sources[vertex])
    needed = {last}
    for vertex in range(last, 0, -1):
        if vertex in needed:
            needed.update(source for source in sources[vertex] if reached[source])
    if not reached[last]:
        raise NaswotError(f"{shown(str(cell))} is not a NAS-Bench-101 cell: no way leads from the input to the output.")
    if len(needed) == last + 1:
        return cell
    kept = sorted(needed)
    place = {vertex: i for i, vertex in enumerate(kept)}
    return Cell(
        tuple(tuple(place[source] for source in sources[vertex] if source in needed) for vertex in kept),
        tuple(cell.operations[vertex] for vertex in kept),
    )


def cell_hash(cell: Cell) -> str:
    """The benchmark's own name of a cell, the same for all isomorphic ones: 32 hexadecimal digits."""
    sources, operations = prune(cell)
    vertices = range(len(operations))
    targets: list[list[int]] = [[] for _ in vertices]
    for vertex, entering in enumerate(sources):
        for source in entering:
            targets[source].append(vertex)
    labels = (-1, *map(OPERATIONS.index, operations[1:-1]), -2)
    # Each vertex starts as its degrees and label, and as often as there are vertices takes in its neighbours' names.
    names = [_first_name(len(targets[v]), len(sources[v]), labels[v]) for v in vertices]
    for _ in vertices:
        names = [
            _md5(
                f"{''.join(sorted([names[s] for s in sources[v]]))}|"
                f"{''.join(sorted([names[t] for t in targets[v]]))}|{names[v]}"
            )
            for v in vertices
        ]
    return _md5(str(sorted(names)))


@functools.cache
def _first_name(leaving: int, entering: int, label: int) -> str:
    return _md5(str((leaving, entering, label)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def vertex_channels(cell: Cell, inputs: int, outputs: int) -> list[int]:
    """The channels of each vertex of a pruned cell.

    The vertices that feed the output share its channels, the first of them one more where that leaves a rest; any
    other has as many as the widest vertex that it feeds.
    """
    last = len(cell.operations) - 1
    channels = [inputs, *[0] * (last - 1), outputs]
    concatenated = [source for source in cell.sources[last] if source != 0]
    for place, vertex in enumerate(concatenated):
        channels[vertex] = outputs // len(concatenated) + (place < outputs % len(concatenated))
    for target in range(last - 1, 0, -1):
        for source in cell.sources[target]:
            if source not in (0, *concatenated):
                channels[source] = max(channels[source], channels[target])
    return channels


class Convolution(nn.Conv2d):
    """A convolution without bias that keeps the map's size, initialised as in the benchmark."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=False)

    def reset_parameters(self) -> None:
        """Draw from a normal distribution truncated at two deviations, of variance 1 / fan-in."""
        if self.weight.is_meta:
            return  # a prototype's, without numbers; torch would load its compiler for them, which takes a second
        # Truncation leaves this part of the deviation.
        deviation = 1 / math.sqrt(self.weight[0].numel()) / 0.87962566103423978
        nn.init.trunc_normal_(self.weight, std=deviation, a=-2 * deviation, b=2 * deviation)


class Classifier(nn.Linear):
    """The last layer, initialised as in the benchmark."""

    def reset_parameters(self) -> None:
        """Glorot's uniform distribution; no bias."""
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)


@prototyped
def _conv_bn_relu(inputs: int, outputs: int, kernel: int) -> nn.Module:
    return nn.Sequential(Convolution(inputs, outputs, kernel), nn.BatchNorm2d(outputs), nn.ReLU())


def _operation(name: str, channels: int) -> nn.Module:
    if name == "maxpool3x3":
        return nn.MaxPool2d(3, stride=1, padding=1)
    return _conv_bn_relu(channels, channels, 1 if name == "conv1x1-bn-relu" else 3)


class CellModule(nn.Module):
    """One cell: a vertex operates on the sum of its sources, of which the cell's input is projected.

    The output concatenates its sources and adds the cell's projected input, if that feeds it.
    """

    def __init__(self, cell: Cell, inputs: int, outputs: int) -> None:
        super().__init__()
        self.sources = cell.sources
        self.channels = vertex_channels(cell, inputs, outputs)
        # By the name of their vertex: names of children are text.
        self.operations, self.projections = nn.ModuleDict(), nn.ModuleDict()
        for vertex, sources in enumerate(cell.sources):
            if 0 in sources:
                self.projections[str(vertex)] = _conv_bn_relu(inputs, self.channels[vertex], 1)
            if 0 < vertex < len(cell.sources) - 1:
                self.operations[str(vertex)] = _operation(cell.operations[vertex], self.channels[vertex])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = [x]
        last = len(self.sources) - 1
        for vertex in range(1, last + 1):
            entering = [values[source] for source in self.sources[vertex] if source != 0]
            if vertex < last:
                # A source may have one channel more, where channels could not be shared evenly.
                terms = [value[:, : self.channels[vertex]] for value in entering]
            else:
                terms = [torch.cat(entering, 1)] if len(entering) > 1 else entering
            if 0 in self.sources[vertex]:
                terms.append(self.projections[str(vertex)](x))
            # Never in place: a term may be the output of a ReLU that another vertex, or a score, still reads.
            values.append(functools.reduce(torch.add, terms))
            if vertex < last:
                values[vertex] = self.operations[str(vertex)](values[vertex])
        return values[last]


class Network(nn.Sequential):
    """The skeleton around one pruned cell.

    Takes images float [B, 3, H, W] (32 x 32 in the benchmark), gives logits [B, num_classes].
    """

    def __init__(self, cell: Cell, stem_channels: int, stacks: int, modules: int, num_classes: int) -> None:
        layers: list[nn.Module] = [_conv_bn_relu(3, stem_channels, 3)]
        inputs = stem_channels
        for stack in range(stacks):
            if stack > 0:
                # Maps of odd sides are padded, as by the benchmark.
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            for _ in range(modules):
                layers.append(CellModule(cell, inputs, stem_channels << stack))
                inputs = stem_channels << stack
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), Classifier(inputs, num_classes))


def _edits(cell: Cell) -> Iterator[Cell]:
    """The single edits of a pruned cell, those outside the space and isomorphic ones among them.

    One edge less or more, one operation changed, one vertex with one edge in and one out put in.
    """
    operations, edges = cell.operations, frozenset(cell.edges)
    pairs = list(itertools.permutations(range(len(operations)), 2))
    for pair in pairs:
        yield from _ordered(edges ^ {pair}, operations)
    for vertex in range(1, len(operations) - 1):
        for other in OPERATIONS:
            yield Cell(cell.sources, (*operations[:vertex], other, *operations[vertex + 1 :]))
    # The new vertex gets the place before the output.
    new, output = len(operations) - 1, len(operations)
    moved = {new: output}
    edges = frozenset((source, moved.get(target, target)) for source, target in edges)
    for source, target in pairs:
        for operation in OPERATIONS:
            way = {(moved.get(source, source), new), (new, moved.get(target, target))}
            yield from _ordered(edges | way, (*operations[:-1], operation, operations[-1]))


def _ordered(edges: Set[tuple[int, int]], operations: Sequence[str]) -> Iterator[Cell]:
    """The cell with its vertices in an order in which all edges lead to later ones; none where they form a cycle."""
    left, order = list(range(len(operations))), []
    while left:
        # The output, which comes last, stays behind vertices that no longer lead to it.
        free = [vertex for vertex in left if not any(target == vertex and source in left for source, target in edges)]
        if not free:
            return
        order.append(free[0])
        left.remove(free[0])
    place = {vertex: i for i, vertex in enumerate(order)}
    sources = tuple(tuple(sorted(place[source] for source, target in edges if target == vertex)) for vertex in order)
    yield Cell(sources, tuple(operations[vertex] for vertex in order))


class NasBench101(ListedSpace):
    """The space. Its order is that of the benchmark's file."""

    name = "nasbench101"
    title = "NAS-Bench-101"
    NETWORK: ClassVar[Mapping[str, Any]] = {"stem_channels": 16, "stacks": 3, "modules": 3}

    def canonical(self, architecture: str) -> str:
        return str(parse(architecture))

    def key(self, architecture: str) -> str:
        return cell_hash(parse(architecture))

    def build(self, architecture: str, num_classes: int = 1) -> nn.Module:
        cell = prune(parse(architecture))
        sharing = sum(source != 0 for source in cell.sources[-1])
        if self.network["stem_channels"] < sharing:
            raise NaswotError(
                f"{sharing} vertices of {shown(architecture)} share the output's channels, but stem_channels is "
                f"{self.network['stem_channels']}. Give at least {sharing}; the papers' scores used 16."
            )
        return Network(cell, **self.network, num_classes=num_classes)

    def neighbours(self, architecture: str) -> list[str]:
        cell = prune(parse(architecture))
        found = {cell_hash(cell): ""}
        for edited in _edits(cell):
            with contextlib.suppress(NaswotError):
                pruned = _within_limits(prune(edited))
                found.setdefault(cell_hash(pruned), str(pruned))
        return list(found.values())[1:]


SPACES.register("nasbench101")(NasBench101())
