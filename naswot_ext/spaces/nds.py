"""Network Design Spaces: the spaces of NASNet, AmoebaNet, PNAS, ENAS and DARTS, and of ResNet, ResNeXt and Vanilla.

Thousands of networks of each were drawn at random and trained on CIFAR-10, and of some on ImageNet (`-in`)
(Radosavovic, Johnson, Xie, Lo & Dollar, "On Network Design Spaces for Visual Recognition", ICCV 2019). Which networks,
and their order, stand in the files. The string form is the `net` of a file's entry as compact JSON with sorted fields.

Networks of cells have the options `width` and `depth`, of genotypes that come without.

`stem` and `stem_channels` are of ResNet, ResNeXt and Vanilla. The papers' code scored these with stems of 12 channels
of its own (`reference`): 7x7 of stride 2 and max pooling for ResNet and ResNeXt, 3x3 of stride 2 for Vanilla, also on
32x32 images, and all recorded stages after it. `trained` is the stem that they were trained with: on CIFAR-10 the
first of four stages records a 3x3 stem of that width; where none is recorded, it is pycls' own for these spaces, 3x3
with 16 channels, and 7x7 of stride 2 and max pooling with 64 on ImageNet. A first stage of bot_mul 0 cannot be blocks:
it records the stem in both cases.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from torch import nn

from naswot_ext.errors import NaswotError, shown, unknown
from naswot_ext.spaces import SPACES, ListedSpace, _anynet, _nds_cells, _nds_text
from naswot_ext.spaces._anynet import BASIC, BOTTLENECK, VANILLA, AnyNet, Stage
from naswot_ext.spaces._nds_cells import Cell, CellNet

MEMBERS = (
    "nds-amoeba",
    "nds-amoeba-in",
    "nds-darts",
    "nds-darts-fix-w-d",
    "nds-darts-in",
    "nds-enas",
    "nds-enas-fix-w-d",
    "nds-enas-in",
    "nds-nasnet",
    "nds-nasnet-in",
    "nds-pnas",
    "nds-pnas-fix-w-d",
    "nds-pnas-in",
    "nds-resnet",
    "nds-resnext-a",
    "nds-resnext-a-in",
    "nds-resnext-b",
    "nds-resnext-b-in",
    "nds-vanilla",
)

# By paper, as pycls lists them.
OPERATIONS: dict[str, tuple[str, ...]] = {
    "Amoeba": (
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
        "avg_pool_3x3",
        "max_pool_3x3",
        "dil_sep_conv_3x3",
        "conv_7x1_1x7",
    ),
    "DARTS": (
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    ),
    "ENAS": ("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"),
    "NASNet": (
        "skip_connect",
        "conv_3x1_1x3",
        "conv_7x1_1x7",
        "dil_conv_3x3",
        "avg_pool_3x3",
        "max_pool_3x3",
        "max_pool_5x5",
        "max_pool_7x7",
        "conv_1x1",
        "conv_3x3",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
    ),
    "PNAS": (
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
        "conv_7x1_1x7",
        "skip_connect",
        "avg_pool_3x3",
        "max_pool_3x3",
        "dil_conv_3x3",
    ),
}
# Of the papers whose cells concatenate all nodes; the others concatenate those that no node reads.
_CONCATENATES_ALL = ("DARTS", "PNAS")

BLOCKS = {"ResNet": BASIC, "ResNeXt-A": BOTTLENECK, "ResNeXt-B": BOTTLENECK, "Vanilla": VANILLA}
# Widths and depths evenly spaced in the logarithm, as NDS draws them; the rounding to whole depths and to widths that
# are multiples of 8 is ours.
_DEPTHS_TO_24 = (1, 2, 3, 5, 7, 11, 16, 24)
_WIDTHS_BY_8 = (16, 24, 32, 40, 56, 72, 96, 120, 152, 200, 256)
_DOUBLED_DEPTHS = (1, 2, 4, 8, 16)
_BOT_MULS = (0.25, 0.5, 1.0)
# {field of a stage: its steps}
_STEPS: dict[str, dict[str, tuple[float, ...]]] = {
    "ResNet": {"depth": _DEPTHS_TO_24, "width": _WIDTHS_BY_8},
    "Vanilla": {"depth": _DEPTHS_TO_24, "width": _WIDTHS_BY_8},
    "ResNeXt-A": {
        "depth": _DOUBLED_DEPTHS,
        "width": (16, 32, 64, 128, 256),
        "bot_mul": _BOT_MULS,
        "num_gs": (1, 2, 4),
    },
    "ResNeXt-B": {
        "depth": _DOUBLED_DEPTHS,
        "width": (64, 128, 256, 512, 1024),
        "bot_mul": _BOT_MULS,
        "num_gs": (1, 2, 4, 8, 16),
    },
}
STEMS = ("reference", "trained")


class NetworkDesignSpace(ListedSpace):
    """What the spaces share. `file` is the name of the JSON file of the space in the download."""

    def __init__(self, paper: str, variant: str = "") -> None:
        super().__init__()
        self.imagenet = variant == "_in"
        self.paper = paper
        self.file = f"{paper}{variant}.json"
        self.name = f"nds-{paper}{variant}".lower().replace("_", "-")
        self.title = f"NDS-{paper}" + {"": "", "_in": " (ImageNet)", "_fix-w-d": " (fixed width and depth)"}[variant]
        self.image_size = 224 if self.imagenet else 32
        self.trained_classes = 1000 if self.imagenet else 10

    def canonical(self, architecture: str) -> str:
        """The string form of the JSON of a `net`; of cells also of a genotype alone, where width and depth are set."""
        return self._text(self._parse(architecture))

    def canonical_net(self, net: Any) -> str:
        """The string form of the `net` of a file's entry; raises NaswotError where it is not of this space."""
        try:
            return self._text(self._read(_nds_text.fields(net, "net")))
        except NaswotError as error:
            raise NaswotError(f"no architecture of {self.name}: {error}") from None

    @abstractmethod
    def parameter_rules(self) -> Sequence[str]:
        """What the files leave open about the networks as trained, each answer a name for `trained_parameters`."""

    @abstractmethod
    def trained_parameters(self, architecture: str, rule: str) -> int | None:
        """The parameters of the network as trained, counted from the parts that `build` uses; None without an answer.

        What it was trained with is its classifier (10 classes, or 1,000 of ImageNet) and what the `rule` says.
        """

    @abstractmethod
    def _read(self, net: Any) -> Any: ...

    @abstractmethod
    def _text(self, net: Any) -> str: ...

    def _parse(self, architecture: str) -> Any:
        try:
            return self._read(_nds_text.load(architecture))
        except NaswotError as error:
            raise NaswotError(f"{shown(architecture)} is not an architecture of {self.name}: {error}") from None


class CellSpace(NetworkDesignSpace):
    """Networks of cells: DARTS and the like.

    A neighbour has another operation on one edge, or the edge begins at another node; width and depth stay. Where a
    cell concatenates the nodes that none reads, it does so after the edit as well; otherwise the same nodes as before.
    """

    NETWORK: ClassVar[Mapping[str, Any]] = {"width": None, "depth": None}
    WITH_AUXILIARY, WITHOUT_AUXILIARY = "with the auxiliary head where aux is true", "without the auxiliary head"

    def __init__(self, paper: str, variant: str = "") -> None:
        super().__init__(paper, variant)
        self.operations = OPERATIONS[paper]
        self.nodes = 4 if paper == "DARTS" else 5

    def build(self, architecture: str, num_classes: int = 1) -> nn.Module:
        return _nds_cells.CellNetwork(_nds_cells.plan(self._parse(architecture), self.imagenet, num_classes))

    def neighbours(self, architecture: str) -> list[str]:
        net = self._parse(architecture)
        return [self._text(net._replace(normal=cell)) for cell in self._edited(net.normal)] + [
            self._text(net._replace(reduce=cell)) for cell in self._edited(net.reduce)
        ]

    def parameter_rules(self) -> Sequence[str]:
        return self.WITH_AUXILIARY, self.WITHOUT_AUXILIARY

    def trained_parameters(self, architecture: str, rule: str) -> int | None:
        net = self._parse(architecture)
        plan = _nds_cells.plan(net, self.imagenet, self.trained_classes)
        auxiliary = plan.auxiliary.parameters() if net.aux and rule == self.WITH_AUXILIARY else 0
        return sum(part.parameters() for part in plan.parts()) + auxiliary

    def _edited(self, cell: Cell) -> Iterator[Cell]:
        for position, (operation, source) in enumerate(cell.edges):
            edits = [(other, source) for other in self.operations if other != operation]
            edits += [(operation, other) for other in range(position // 2 + 2) if other != source]
            for edit in edits:
                edges = (*cell.edges[:position], edit, *cell.edges[position + 1 :])
                yield Cell(edges, self._concat(cell, edges))

    def _concat(self, cell: Cell, edges: tuple[tuple[str, int], ...]) -> tuple[int, ...]:
        everything = len(cell.concat) == self.nodes
        if (everything and self.paper in _CONCATENATES_ALL) or set(cell.concat) != set(self._unread(cell.edges)):
            return cell.concat
        return self._unread(edges)

    def _unread(self, edges: tuple[tuple[str, int], ...]) -> tuple[int, ...]:
        read = {source for _, source in edges}
        return tuple(node for node in range(2, self.nodes + 2) if node not in read)

    def _read(self, net: Any) -> CellNet:
        read = _nds_text.cell_net(net, self.operations, self.nodes, self.network["width"], self.network["depth"])
        if self.imagenet and read.width % 2:
            raise NaswotError(f"width is {read.width}; networks for ImageNet halve it in their stem, so make it even.")
        return read

    def _text(self, net: CellNet) -> str:
        return _nds_text.cell_text(net)


class AnyNetSpace(NetworkDesignSpace):
    """Networks of stages: ResNet, ResNeXt and Vanilla.

    A neighbour has one number of one stage, its depth, width, bot_mul or num_gs, moved to the next step below or above
    of those in `_STEPS`, the nearest ones where it is none of them; what has no whole groups is left out. A stage that
    records the stem is not edited, and no edit makes one: there would be no way back.
    """

    NETWORK: ClassVar[Mapping[str, Any]] = {"stem_channels": 12, "stem": "reference"}
    # Parameters do not show a stem's stride or pooling, so two kinds of stems and the usual widths are all there is.
    _OTHER_STEMS: ClassVar[Mapping[str, tuple[str, int]]] = {
        f"with a {size} stem of {width} channels before all stages": (kind, width)
        for size, kind in (("3x3", "res_stem_cifar"), ("7x7", "res_stem_in"))
        for width in (12, 16, 32, 64)
    }
    AS_TRAINED = "with the stem that its network option `trained` builds"

    def __init__(self, paper: str, variant: str = "") -> None:
        super().__init__(paper, variant)
        self.block = BLOCKS[paper]

    def with_network(self, **options: Any) -> Self:
        other = super().with_network(**options)
        if other.network["stem"] not in STEMS:
            raise unknown(f"stem of {self.name}", other.network["stem"], STEMS)
        return other

    def build(self, architecture: str, num_classes: int = 1) -> nn.Module:
        net = self._parse(architecture)
        if self.network["stem"] == "trained":
            net, stem, width = self._as_trained(net)
        else:
            net = _without_recorded_stem(net)
            stem = "simple_stem_in" if self.block == VANILLA else "res_stem_in"
            width = self.network["stem_channels"]
        kind = _anynet.AnyNetwork if stem == "res_stem_in" else _anynet.FusableAnyNetwork
        return kind(_anynet.plan(net, stem, width, num_classes))

    def neighbours(self, architecture: str) -> list[str]:
        net = self._parse(architecture)
        found = []
        for position, stage in enumerate(net.stages):
            if position == 0 and self._records_stem(net):
                continue
            for field, steps in _STEPS[self.paper].items():
                now = getattr(stage, field)
                below, above = [step for step in steps if step < now], [step for step in steps if step > now]
                for step in (*below[-1:], *above[:1]):
                    edited = stage._replace(**{field: step})
                    neighbour = AnyNet(net.block, (*net.stages[:position], edited, *net.stages[position + 1 :]))
                    has_groups = edited.bottleneck and edited.bottleneck % edited.num_gs == 0
                    if has_groups and self._records_stem(neighbour) == self._records_stem(net):
                        found.append(self._text(neighbour))
        return found

    def parameter_rules(self) -> Sequence[str]:
        return (self.AS_TRAINED,) if self.network["stem"] == "trained" else (self.AS_TRAINED, *self._OTHER_STEMS)

    def trained_parameters(self, architecture: str, rule: str) -> int | None:
        net = self._parse(architecture)
        if rule == self.AS_TRAINED:
            net, stem, width = self._as_trained(net)
        elif net.stages[0].bot_mul == 0:
            return None
        else:
            stem, width = self._OTHER_STEMS[rule]
        return sum(part.parameters() for part in _anynet.plan(net, stem, width, self.trained_classes))

    def _records_stem(self, net: AnyNet) -> bool:
        first: Stage = net.stages[0]
        return first.bot_mul == 0 or (not self.imagenet and len(net.stages) == 4 and first.depth == first.stride == 1)

    def _as_trained(self, net: AnyNet) -> tuple[AnyNet, str, int]:
        """The stages after the stem, and its kind and width."""
        stem, width = ("res_stem_in", 64) if self.imagenet else ("res_stem_cifar", 16)
        if self._records_stem(net):
            return AnyNet(net.block, net.stages[1:]), stem, net.stages[0].width
        return net, stem, width

    def _read(self, net: Any) -> AnyNet:
        return _nds_text.any_net(net, self.block)

    def _text(self, net: AnyNet) -> str:
        return _nds_text.any_text(net)


def _without_recorded_stem(net: AnyNet) -> AnyNet:
    return AnyNet(net.block, net.stages[1:]) if net.stages[0].bot_mul == 0 else net


def _register(space: NetworkDesignSpace) -> None:
    SPACES.register(space.name)(space)


for _paper in OPERATIONS:
    for _variant in ("", "_in", "_fix-w-d"):
        if _variant != "_fix-w-d" or _paper in ("DARTS", "ENAS", "PNAS"):
            _register(CellSpace(_paper, _variant))
for _paper in BLOCKS:
    for _variant in ("", "_in") if _paper.startswith("ResNeXt") else ("",):
        _register(AnyNetSpace(_paper, _variant))
