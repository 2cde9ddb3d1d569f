"""A faster forward pass for networks of convolutional cells: the same codes as the plain modules, in fewer passes.

Run module by module, such a network spends most of its time between the convolutions: each BatchNorm, pooling, sum
and ReLU reads and writes whole feature maps. Here the network is first traced: its own `forward` runs once on symbols
instead of tensors. Of the graph, only what a code depends on is then run: convolutions by torch, and everything
between two of them by two operators of ``csrc/naswot.h``, `batch_norm_affine` and `combine`. That also leaves out what
decides nothing: dead branches, zeros, and what comes after the last rectifier; each unit still counts as often as the
plain network rectifies it.

The sums are rounded in another order than by the plain modules, so that a code can differ where a pre-activation is
zero to within float rounding; `perf/score.py` counts such bits.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as nn_module
from torch.nn.modules.batchnorm import _NormBase

from naswot_ext import ops


class Fusable:
    """Marks a `torch.nn.Module` whose forward pass may be traced: no side effects, no branch on values, one image
    batch in. What the trace does not know sends the network the plain way. What comes after the last rectifier is
    not run, so an error there is not found.
    """


class Unsupported(Exception):
    """The trace met something that it does not know; the plain forward pass does."""


class Pool(NamedTuple):
    """Average pooling, as `combine` takes it."""

    kernel: int = 0
    stride: int = 0
    padding: int = 0
    count_include_pad: int = 0


@dataclass(eq=False, slots=True)
class Node:
    """One value of the traced network: a feature map [B, *shape], by what makes it."""

    kind: str  # input, conv, norm, pool, add, relu, zero, tail
    shape: tuple[int, int, int]
    sources: tuple[Node, ...] = ()
    options: Any = None
    index: int = 0  # the order in which the network made it
    users: int = 0  # operations that read it
    rectified: int = 0  # how often the network rectifies it


@dataclass(eq=False)
class Graph:
    """The values of a network in the order in which it makes them."""

    dtype: torch.dtype
    nodes: list[Node] = field(default_factory=list)
    # What each application of a rectifier rectified, in turn.
    rectified: list[Node] = field(default_factory=list)

    def add(self, kind: str, shape: tuple[int, int, int], *sources: Node, options: Any = None) -> Value:
        """A new value."""
        node = Node(kind, shape, sources, options, len(self.nodes))
        for source in sources:
            source.users += 1
        self.nodes.append(node)
        return Value(self, node)


class Value:
    """What a network sees in place of a tensor while it is traced."""

    __slots__ = ("graph", "node")

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph = graph
        self.node = node

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Value:
        handler = _HANDLERS.get(func)
        if handler is None:
            raise Unsupported(func)
        return handler(*args, **kwargs or {})

    def __add__(self, other: Any) -> Value:
        return _add(self, other)

    def __iadd__(self, other: Any) -> Value:
        # In place: whoever holds this value sees the sum.
        self.node = _add(self, other).node
        return self

    def mul(self, other: Any) -> Value:
        return _mul(self, other)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Value:
        return _tail(self)

    def dim(self) -> int:
        return 4

    def __getattr__(self, name: str) -> Any:
        raise Unsupported(name)


def _map(value: Any) -> tuple[Graph, Node]:
    """The graph and node of a feature map."""
    if not isinstance(value, Value) or value.node.kind == "tail":
        raise Unsupported(value)
    return value.graph, value.node


def _single(value: Any) -> int:
    """The one number of a size that torch takes as a number or as one a dimension."""
    sizes = set(value) if isinstance(value, (tuple, list)) else {value}
    if len(sizes) != 1 or not isinstance(next(iter(sizes)), int):
        raise Unsupported(value)
    return next(iter(sizes))


def _conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Value:
    graph, x = _map(input)
    if not isinstance(weight, Tensor) or isinstance(padding, str):
        raise Unsupported(weight)
    if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
        raise Unsupported("a part of the network in another precision")
    stride, padding, dilation = _single(stride), _single(padding), _single(dilation)
    # oneDNN has crashed on windows that lie in the padding of a channels_last map (uxlfoundation/oneDNN#5942).
    if padding > dilation * (min(weight.shape[2:]) - 1):
        raise Unsupported(padding)
    height, width = (
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel in zip(x.shape[1:], weight.shape[2:], strict=True)
    )
    shape = (weight.shape[0], height, width)
    if height < 1 or width < 1 or weight.shape[1] * groups != x.shape[0]:
        raise Unsupported(shape)
    if x.kind == "zero" and bias is None:
        return graph.add("zero", shape)
    return graph.add("conv", shape, x, options=(weight, bias, stride, padding, dilation, groups))


def _batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    graph, x = _map(input)
    if not training or eps <= 0:
        raise Unsupported("running statistics, or an error")
    for tensor in (weight, bias, running_mean, running_var):
        if tensor is not None and tensor.numel() != x.shape[0]:
            raise Unsupported("another number of channels")
    for tensor in (weight, bias):
        if tensor is not None and tensor.dtype != graph.dtype:
            raise Unsupported("mixed precision")
    if x.kind == "zero" and (bias is None or (bias.device.type == "cpu" and not bias.any())):
        return Value(graph, x)
    return graph.add("norm", x.shape, x, options=(weight, bias, eps))


def _relu(input: Any, inplace: bool = False) -> Value:
    graph, x = _map(input)
    if inplace:
        raise Unsupported("in place")
    while x.kind == "relu":
        x = x.sources[0]
    x.rectified += 1
    graph.rectified.append(x)
    return Value(graph, x) if x.kind == "zero" else graph.add("relu", x.shape, x)


def _add(input: Any, other: Any, alpha: int = 1) -> Value:
    (graph, a), (_, b) = _map(input), _map(other)
    if a.shape != b.shape or alpha != 1:
        raise Unsupported("broadcast")
    if "zero" in (a.kind, b.kind):
        return Value(graph, b if a.kind == "zero" else a)
    return graph.add("add", a.shape, a, b)


def _mul(input: Any, other: Any) -> Value:
    graph, x = _map(input)
    if isinstance(other, (int, float)) and other == 0:
        return graph.add("zero", x.shape)
    raise Unsupported(other)


def _avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Value:
    graph, x = _map(input)
    kernel, padding = _single(kernel_size), _single(padding)
    pool = Pool(kernel, _single(stride) if stride else kernel, padding, int(count_include_pad))
    channels, height, width = x.shape
    height, width = ((size + 2 * padding - kernel) // pool.stride + 1 for size in (height, width))
    if ceil_mode or divisor_override is not None or height < 1 or width < 1:
        raise Unsupported("pooling")
    shape = (channels, height, width)
    return graph.add("zero", shape) if x.kind == "zero" else graph.add("pool", shape, x, options=pool)


def _tail(input: Any, *args: Any, **kwargs: Any) -> Value:
    """What may only come after the last rectifier: nothing is known of its result, and nothing needs to be."""
    if not isinstance(input, Value):
        raise Unsupported(input)
    return input.graph.add("tail", (0, 0, 0))


_HANDLERS: dict[Any, Callable[..., Value]] = {
    torch.conv2d: _conv2d,
    F.batch_norm: _batch_norm,
    F.relu: _relu,
    torch.relu: _relu,
    torch.add: _add,
    torch.mul: _mul,
    F.avg_pool2d: _avg_pool2d,
    F.adaptive_avg_pool2d: _tail,
    torch.flatten: _tail,
    F.linear: _tail,
}


def trace(model: nn.Module, images: Tensor) -> Plan | None:
    """The plan of a network for images [B, C, H, W]; None where the plain forward pass has to do it."""
    if not isinstance(model, Fusable) or images.dim() != 4 or images.requires_grad or images.numel() == 0:
        return None
    dtypes = (torch.float32,) if images.device.type == "cpu" else (torch.float32, torch.bfloat16)
    if images.device.type not in ("cpu", "cuda") or images.dtype not in dtypes:
        return None
    if nn_module._global_forward_hooks or nn_module._global_forward_pre_hooks:
        return None
    if torch.is_autocast_enabled(images.device.type):
        return None
    modules = list(model.modules())
    if any(m._forward_hooks or m._forward_pre_hooks or "forward" in m.__dict__ for m in modules):
        return None
    graph = Graph(images.dtype)
    shape = (images.shape[1], images.shape[2], images.shape[3])
    try:
        with torch.random.fork_rng([images.device] if images.is_cuda else []), _as_scored(modules):
            model(graph.add("input", shape))
    # Whatever goes wrong on symbols is said, if it is wrong at all, by the plain forward pass.
    except Exception:
        return None
    return Plan(graph) if graph.rectified else None


@contextlib.contextmanager
def _as_scored(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Inside, the modes of `forward.undisturbed`, and no normalising layer counts the batches that it sees."""
    modes = [module.training for module in modules]
    norms = [module for module in modules if isinstance(module, _NormBase)]
    counts = [module._buffers.get("num_batches_tracked") for module in norms]
    # Past nn.Module.__setattr__, which takes longer than the rest of the trace.
    try:
        for module in modules:
            module.__dict__["training"] = False
        for module in norms:
            module.__dict__["training"] = True
            module._buffers["num_batches_tracked"] = None
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.__dict__["training"] = mode
        for module, count in zip(norms, counts, strict=True):
            module._buffers["num_batches_tracked"] = count


# What `combine` makes, by itself or with what is added to it.
_SUMS = ("add", "norm", "pool")


class _Term(NamedTuple):
    base: Node  # the map that is in memory: a convolution's, a sum's, or, for a relu, the rectified sum's
    norm: Node | None
    pool: Pool


class _Step(NamedTuple):
    """One live value: made by what its node says and, where there are terms, by their sum."""

    node: Node
    terms: list[_Term]

    @property
    def reads(self) -> list[tuple[Node, bool]]:
        """The maps that it reads, as often as it does."""
        made_of = self.node.sources if self.node.kind == "conv" else ()
        return [_map_of(node) for node in (*made_of, *(term.base for term in self.terms))]


class Plan:
    """What of a traced network is run, in order.

    Attributes:
        units: N_A, the rectified units of one image.
        applications: how many times a rectifier ran.
    """

    def __init__(self, graph: Graph) -> None:
        self._input = graph.nodes[0]
        self._rectified = graph.rectified
        self.units = sum(math.prod(node.shape) for node in graph.rectified)
        self.applications = len(graph.rectified)
        self._steps = _live_steps(graph)
        # Code words of all values in one buffer, those that are rectified equally often side by side.
        self._columns: dict[Node, tuple[int, int]] = {}
        self._groups: list[tuple[int, int, int, int]] = []  # first column, last column, units, how often
        width = 0
        rectified = sorted(set(graph.rectified), key=lambda node: (node.rectified, node.index))
        for weight, nodes in itertools.groupby(rectified, lambda node: node.rectified):
            first, units = width, 0
            for node in nodes:
                units += math.prod(node.shape)
                # A zero has no bits: all images agree in all of its units.
                if node.kind != "zero":
                    self._columns[node] = (width, width + _words(math.prod(node.shape)))
                    width = self._columns[node][1]
            self._groups.append((first, width, units, weight))
        self._width = width
        self._uses = Counter(read for step in self._steps for read in step.reads)

    def run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """K, int64 [B, B], and the number of pre-activations that are not finite, int64 [1]; does not wait for a GPU.

        `images` are float [B, C, H, W], of the shape that was traced; no gradient is recorded.
        """
        words, nonfinite = self._codes(images)
        kernel = torch.zeros(len(images), len(images), dtype=torch.int64, device=images.device)
        for first, last, units, weight in self._groups:
            ops.hamming_words_(kernel, words[:, first:last], units, weight)
        return kernel, nonfinite

    def codes(self, images: Tensor) -> list[Tensor]:
        """The codes themselves, bool [B, H, W, C], of each application in turn: to compare them, on the CPU."""
        words, _ = self._codes(images)
        bits = torch.from_numpy(np.unpackbits(words.numpy().view(np.uint8), axis=1, bitorder="little")).bool()
        codes = []
        for node in self._rectified:
            channels, height, width = node.shape
            shape = (len(images), height, width, channels)
            if node in self._columns:
                first = 64 * self._columns[node][0]
                codes.append(bits[:, first : first + math.prod(node.shape)].reshape(shape))
            else:
                codes.append(torch.zeros(shape, dtype=torch.bool))
        return codes

    def _codes(self, images: Tensor) -> tuple[Tensor, Tensor]:
        layout = torch.channels_last if images.device.type == "cpu" else torch.contiguous_format
        count = len(images)
        options: dict[str, Any] = {"dtype": torch.int64, "device": images.device}
        words, nonfinite = torch.empty(count, self._width, **options), torch.zeros(1, **options)
        maps: dict[tuple[Node, bool], Tensor] = {}
        uses = self._uses.copy()
        dead: dict[tuple[int, ...], list[Tensor]] = {}

        def take(node: Node) -> tuple[Tensor, bool]:
            """The map of a node, and whether this is the last time that it is read and its memory is ours."""
            key = _map_of(node)
            uses[key] -= 1
            if uses[key]:
                return maps[key], False
            return maps.pop(key), key != (self._input, False)

        def reuse(x: Tensor) -> None:
            kept = dead.setdefault(x.shape[1:], [])
            kept.append(x)
            if len(kept) > _KEPT:
                kept.pop(0)

        def new(shape: tuple[int, int, int]) -> Tensor:
            if dead.get(shape):
                return dead[shape].pop()
            return torch.empty((count, *shape), dtype=images.dtype, device=images.device, memory_format=layout)

        with torch.no_grad():
            for node, sum_terms in self._steps:
                if node.kind == "input":
                    maps[node, False] = images.contiguous(memory_format=layout)
                elif node.kind == "zero":
                    maps[node, False] = new(node.shape).zero_()
                elif node.kind == "conv":
                    x, last = take(node.sources[0])
                    maps[node, False] = torch.conv2d(x, *node.options).contiguous(memory_format=layout)
                    if last:
                        reuse(x)
                if not sum_terms:
                    continue
                terms, affines, pooled, last_read = [], [], [], []
                for term in sum_terms:
                    x, last = take(term.base)
                    terms.append(x)
                    affines.append(ops.batch_norm_affine(x, *term.norm.options) if term.norm else None)
                    if term.pool.kernel:
                        pooled.append(x)
                    if last:
                        last_read.append(x)
                # In place, but for pooled maps: a number's neighbours are read after it.
                in_place = [x for x in last_read if all(x is not other for other in pooled)]
                for x in in_place:
                    reuse(x)
                for key in ((node, False), (node, True)):
                    if uses[key] and key not in maps:
                        maps[key] = new(node.shape)
                # The map of a convolution is there already, and only read.
                total = maps.get((node, False)) if node.kind in _SUMS else None
                columns = self._columns.get(node)
                code = None if columns is None else words[:, columns[0] : columns[1]]
                pools = [term.pool for term in sum_terms]
                ops.combine(terms, affines, pools, total, maps.get((node, True)), code, nonfinite)
                for x in last_read:
                    if all(x is not other for other in in_place):
                        reuse(x)
        return words, nonfinite


# What one launch of `combine` takes on CUDA.
_MOST_TERMS = 8
# Dead maps of one shape whose memory is kept for the next ones, the last first, which the caches still hold: a node has
# two outputs.
_KEPT = 2


def _words(units: int) -> int:
    """The columns of code words, a multiple of 8, for so many units."""
    return -(-units // 512) * 8


def _map_of(node: Node) -> tuple[Node, bool]:
    """The node in whose name a map is kept, and whether it is its positive part."""
    return (node.sources[0], True) if node.kind == "relu" else (node, False)


def _terms(node: Node) -> list[_Term]:
    """The terms of a sum, in the order in which the network adds them; as many as `combine` takes."""
    parts = [node] if node.kind != "add" else [*node.sources]
    while len(parts) < _MOST_TERMS and any(map(_inner, parts)):
        at = next(i for i, part in enumerate(parts) if _inner(part))
        parts[at : at + 1] = parts[at].sources
    return [_term(part) for part in parts]


def _inner(node: Node) -> bool:
    return node.kind == "add" and node.users == 1 and not node.rectified


def _term(node: Node) -> _Term:
    if node.kind == "norm":
        return _Term(node.sources[0], node, Pool())
    if node.kind == "pool":
        return _Term(node.sources[0], None, node.options)
    return _Term(node, None, Pool())


def _live_steps(graph: Graph) -> list[_Step]:
    """What the codes depend on, found backwards from the rectified values."""
    live = {node for node in graph.nodes if node.rectified and node.kind != "zero"}
    steps = []
    for node in reversed(graph.nodes):
        if node not in live:
            continue
        terms = []
        if node.kind in _SUMS:
            terms = _terms(node)
        elif node.rectified:
            # The map of a convolution or of the input; its codes and its positive part are made of it.
            terms = [_Term(node, None, Pool())]
        steps.append(_Step(node, terms))
        live.update(home for home, _ in steps[-1].reads)
    return steps[::-1]
