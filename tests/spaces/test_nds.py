"""The NDS spaces against the reference code's own networks, pycls' AnyNet, real genotypes, and their definition."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import naswot_ext
from naswot_ext.activation import count_units
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES, _nds_cells
from naswot_ext.spaces.nds import BLOCKS, MEMBERS, OPERATIONS, AnyNetSpace, CellSpace, NetworkDesignSpace
from tests.activation.test_fused import from_plain
from tests.spaces.golden import Fact, facts

GOLDEN = facts("nds")
# As NNI's documentation quotes them from the files.
RESNEXT = {
    "block_type": "res_bottleneck_block",
    "bot_muls": [0.0, 0.25, 0.25, 0.25],
    "ds": [1, 16, 1, 4],
    "num_gs": [1, 2, 1, 2],
    "ss": [1, 1, 2, 2],
    "ws": [16, 64, 128, 16],
}
RESNET = {"block_type": "res_basic_block", "ds": [1, 12, 12, 12], "ss": [1, 1, 2, 2], "ws": [16, 24, 24, 40]}
GENOTYPE = (
    "Genotype(normal=[('none', 0), ('sep_conv_3x3', 1), ('skip_connect', 0), ('max_pool_3x3', 2), "
    "('dil_conv_5x5', 0), ('dil_conv_5x5', 3), ('avg_pool_3x3', 1), ('skip_connect', 4)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('dil_conv_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 1), ('none', 2), ('sep_conv_5x5', 2), "
    "('none', 3), ('dil_conv_3x3', 1), ('max_pool_3x3', 4)], reduce_concat=range(2, 6))"
)


def space(name: str, **network: Any) -> NetworkDesignSpace:
    found = SPACES.get(name)
    assert isinstance(found, NetworkDesignSpace)
    return found.with_network(**network)


def cells(name: str) -> CellSpace:
    found = space(name)
    assert isinstance(found, CellSpace)
    return found


def golden(fact: Fact) -> tuple[NetworkDesignSpace, str]:
    return space(fact.space), fact.arch


def named(fact: Fact) -> str:
    return f"{fact.space}-{fact.params}"


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("fact", GOLDEN, ids=named)
def test_the_parameters_counted_from_the_parts_are_those_of_the_built_network(fact: Fact) -> None:
    owner, architecture = golden(fact)
    as_trained = owner.with_network(stem="trained") if isinstance(owner, AnyNetSpace) else owner
    built = as_trained.build(architecture, owner.trained_classes)
    assert owner.trained_parameters(owner.canonical(architecture), owner.parameter_rules()[0]) == parameters(built)


@pytest.mark.parametrize("fact", GOLDEN, ids=named)
def test_neighbours_are_other_architectures_of_the_space(fact: Fact) -> None:
    owner, architecture = golden(fact)
    canonical = owner.canonical(architecture)
    neighbours = owner.neighbours(architecture)
    assert neighbours == owner.neighbours(canonical)
    assert len(set(neighbours)) == len(neighbours)
    assert canonical not in neighbours
    assert [owner.canonical(neighbour) for neighbour in neighbours] == neighbours
    built = owner.build(neighbours[len(neighbours) // 2])
    assert built(torch.randn(2, 3, fact.image_size, fact.image_size)).shape == (2, 1)


def test_every_member_is_a_space_under_its_name() -> None:
    for name in MEMBERS:
        assert space(name).name == name
        assert space(name).image_size == (224 if name.endswith("-in") else 32)
    assert {n for n in SPACES.names() if n.startswith("nds")} == set(MEMBERS)
    assert space("nds-darts-fix-w-d").file == "DARTS_fix-w-d.json"
    assert space("nds-resnext-a-in").file == "ResNeXt-A_in.json"


def test_all_forms_of_an_architecture_have_one_string_form() -> None:
    darts = space("nds-darts", width=16, depth=8)
    canonical = darts.canonical(GENOTYPE)
    net = json.loads(canonical)
    assert canonical == json.dumps(net, sort_keys=True, separators=(",", ":"))
    assert (net["width"], net["depth"], net["aux"]) == (16, 8, False)
    genotype = net["genotype"]
    assert genotype["normal"][:2] == [["none", 0], ["sep_conv_3x3", 1]]
    assert genotype["reduce_concat"] == [2, 3, 4, 5]
    forms = [
        GENOTYPE.replace("range(2, 6)", "[2, 3, 4, 5]"),
        json.dumps(genotype),
        json.dumps({"genotype": genotype, "width": 16, "depth": 8}),
        # As the files have it; drop path is of training only.
        json.dumps({"aux": False, "genotype": genotype, "drop_prob": 0.2, "width": 16.0, "depth": 8}, indent=1),
        canonical,
    ]
    assert {darts.canonical(form) for form in forms} == {canonical}
    listed = darts.with_listing([darts.neighbours(canonical)[0], canonical, canonical])
    assert (len(listed), listed.index(GENOTYPE), listed.architecture(2)) == (3, 1, canonical)


def test_the_files_name_of_vanilla_blocks_and_empty_fields_change_nothing() -> None:
    vanilla = space("nds-vanilla")
    net = {"block_type": "vanilla_block", "ds": [1, 2, 3], "ws": [16, 32, 64], "ss": [1, 2, 2]}
    as_in_files = net | {"block_type": "double_plain_block", "bot_muls": [], "num_gs": []}
    assert vanilla.canonical(json.dumps(as_in_files)) == vanilla.canonical(json.dumps(net))


def test_real_genotypes_are_read_and_written_alike_and_build(real_data) -> None:
    darts = space("nds-darts", width=16, depth=8)
    genotypes = pd.read_csv(real_data("darts_genotypes_cifar10.csv.gz"))["genotype"]
    assert len(genotypes) == 1000
    forms = [darts.canonical(genotype) for genotype in genotypes]
    assert [darts.canonical(form) for form in forms] == forms
    for form, genotype in zip(forms[::250], genotypes[::250], strict=True):
        network = darts.build(genotype)
        assert network(torch.randn(2, 3, 32, 32)).shape == (2, 1)
        assert parameters(network) == parameters(darts.build(form))


def test_the_auxiliary_head_is_counted_but_never_built() -> None:
    for name, norm in (("nds-darts", 2 * 768), ("nds-darts-in", 0)):
        owner = space(name, width=16, depth=8)
        without = owner.canonical(GENOTYPE)
        with_head = without.replace('"aux":false', '"aux":true')
        assert parameters(owner.build(with_head)) == parameters(owner.build(without))
        # The head reads the second reduction cell's 4 x 64 channels: 1x1 convolution, BatchNorm, 2x2 convolution.
        classes = owner.trained_classes
        head = 4 * 64 * 128 + 2 * 128 + 4 * 128 * 768 + norm + 768 * classes + classes
        counted, left_out = owner.parameter_rules()
        difference = owner.trained_parameters(with_head, counted) - owner.trained_parameters(with_head, left_out)
        assert difference == head
        assert owner.trained_parameters(without, counted) == owner.trained_parameters(without, left_out)


@pytest.mark.parametrize("side", [7, 8])
def test_a_factorised_reduction_reads_each_second_pixel_of_the_image_and_of_its_shift(side: int) -> None:
    module = _nds_cells.FactorizedReduce(2, 4)
    x = torch.randn(3, 2, side, side)
    shifted = torch.zeros(3, 2, side, side)
    shifted[:, :, :-1, :-1] = x.relu()[:, :, 1:, 1:]
    halves = [
        torch.einsum("oi,bihw->bohw", conv.weight[:, :, 0, 0], image[:, :, ::2, ::2])
        for conv, image in ((module.even, x.relu()), (module.odd, shifted))
    ]
    torch.testing.assert_close(module(x), module.norm(torch.cat(halves, 1)))


def test_a_cell_has_each_other_operation_and_each_other_source_as_a_neighbour() -> None:
    owner = cells("nds-darts").with_network(width=16, depth=8)
    neighbours = owner.neighbours(GENOTYPE)
    # Two cells; 8 edges with 7 other operations each; nodes of 2, 3, 4, 5 sources with two edges each.
    assert len(neighbours) == 2 * (8 * 7 + 2 * (1 + 2 + 3 + 4))
    own = json.loads(owner.canonical(GENOTYPE))
    for neighbour in map(json.loads, neighbours):
        genotype = neighbour["genotype"]
        edges = [
            (old, new)
            for kind in ("normal", "reduce")
            for old, new in zip(own["genotype"][kind], genotype[kind], strict=True)
            if old != new
        ]
        assert len(edges) == 1
        assert sum(a != b for a, b in zip(*edges[0], strict=True)) == 1
        assert genotype["normal_concat"] == genotype["reduce_concat"] == [2, 3, 4, 5]
        assert (neighbour["width"], neighbour["depth"]) == (16, 8)
    rng = np.random.default_rng(0)
    assert {owner.mutate(GENOTYPE, rng) for _ in range(50)} < set(neighbours)


def unread(cell: list[list[Any]]) -> list[int]:
    return [node for node in range(2, len(cell) // 2 + 2) if node not in {source for _, source in cell}]


def test_cells_that_concatenate_what_no_node_reads_do_so_after_an_edit() -> None:
    owner, architecture = golden(next(fact for fact in GOLDEN if fact.space == "nds-nasnet"))
    own = json.loads(architecture)["genotype"]
    assert (own["normal_concat"], own["reduce_concat"]) == (unread(own["normal"]), unread(own["reduce"]))
    genotypes = [json.loads(neighbour)["genotype"] for neighbour in owner.neighbours(architecture)]
    assert all(genotype["normal_concat"] == unread(genotype["normal"]) for genotype in genotypes)
    assert all(genotype["reduce_concat"] == unread(genotype["reduce"]) for genotype in genotypes)
    assert any(genotype["normal_concat"] != own["normal_concat"] for genotype in genotypes)


def test_cells_that_concatenate_other_nodes_keep_them() -> None:
    net = json.loads(next(fact for fact in GOLDEN if fact.space == "nds-pnas").arch)
    for kept in ([2, 3, 4, 5, 6], [3, 6]):
        net["genotype"]["normal_concat"] = kept
        found = [json.loads(neighbour)["genotype"] for neighbour in space("nds-pnas").neighbours(json.dumps(net))]
        assert all(genotype["normal_concat"] == kept for genotype in found)


def test_a_stage_moves_one_step_and_a_recorded_stem_stays() -> None:
    owner = space("nds-resnext-a")
    found = [json.loads(neighbour) for neighbour in owner.neighbours(json.dumps(RESNEXT))]
    changes = []
    for net in found:
        changed = [(name, i) for name in RESNEXT for i in range(4) if net[name][i] != RESNEXT[name][i]]
        ((name, stage),) = {c for c in changed if c[0] != "block_type"}
        changes.append((name, stage, net[name][stage]))
    assert [c for c in changes if c[1] == 1] == [
        ("ds", 1, 8),
        ("ws", 1, 32),
        ("ws", 1, 128),
        ("bot_muls", 1, 0.5),
        ("num_gs", 1, 1),
        ("num_gs", 1, 4),
    ]
    assert not [c for c in changes if c[1] == 0]
    # 16 channels at a quarter leave 4, of which 4 groups can be made.
    assert ("num_gs", 3, 4) in changes
    # Off the grid, the nearest steps on both sides.
    resnet = [json.loads(net) for net in space("nds-resnet").neighbours(json.dumps(RESNET))]
    assert sorted({net["ds"][2] for net in resnet}) == [11, 12, 16]


def test_an_edit_whose_groups_do_not_divide_the_bottleneck_is_left_out() -> None:
    net = RESNEXT | {"ws": [16, 24, 64, 64], "bot_muls": [0.0, 0.5, 0.5, 0.5], "num_gs": [1, 3, 4, 4]}
    found = [json.loads(neighbour) for neighbour in space("nds-resnext-a").neighbours(json.dumps(net))]
    # Of 24 x 0.5 = 12 channels 3 groups can be made, and of 24 x 0.25 = 6 and 24; of 16 and 32 at a half none.
    assert {(n["ws"][1], n["bot_muls"][1], n["num_gs"][1]) for n in found} == {
        (24, 0.5, 3),
        (24, 0.25, 3),
        (24, 1.0, 3),
        (24, 0.5, 2),
        (24, 0.5, 4),
    }


def on_the_grid(paper: str) -> list[dict[str, Any]]:
    """Four stages of which the first are one edit away from those that record a stem, and their neighbours are not."""
    net = {"block_type": BLOCKS[paper], "ds": [2, 2, 1, 2], "ws": [64, 64, 128, 256], "ss": [1, 1, 2, 2]}
    if net["block_type"] == "res_bottleneck_block":
        net |= {"bot_muls": [0.5, 0.25, 0.5, 0.5], "num_gs": [1, 2, 2, 4]}
    else:
        net["ws"] = [16, 24, 120, 256]
    return [net, net | {"ds": [1, 2, 1, 2]}, net | {"ss": [2, 1, 2, 2]}]


@pytest.mark.parametrize("name", [name for name in MEMBERS if isinstance(SPACES.get(name), AnyNetSpace)])
def test_every_neighbour_of_stages_has_a_way_back(name: str) -> None:
    owner = space(name)
    for net in on_the_grid(owner.paper):
        canonical = owner.canonical(json.dumps(net))
        neighbours = owner.neighbours(canonical)
        assert len(neighbours) >= 10
        assert [neighbour for neighbour in neighbours if canonical not in owner.neighbours(neighbour)] == []


def pycls_network(net: dict[str, Any], stem: str, width: int, classes: int) -> nn.Module:
    anynet = pytest.importorskip("pycls.models.anynet", reason="pycls is not installed")
    arguments: dict[str, Any] = {"bms": [], "gws": []}
    if "num_gs" in net:
        bottlenecks = [round(w * m) for w, m in zip(net["ws"], net["bot_muls"], strict=True)]
        widths = [bottleneck // groups for bottleneck, groups in zip(bottlenecks, net["num_gs"], strict=True)]
        arguments = {"bms": net["bot_muls"], "gws": widths}
    stages = {name: net[name] for name in ("block_type", "ds", "ws", "ss")}
    return anynet.AnyNet(stem_type=stem, stem_w=width, se_r=None, nc=classes, **stages, **arguments)


def first_stage_left_out(net: dict[str, Any]) -> dict[str, Any]:
    return {name: value if name == "block_type" else value[1:] for name, value in net.items()}


VANILLA = {"block_type": "vanilla_block", "ds": [1, 2, 1], "ws": [16, 24, 40], "ss": [1, 2, 2]}
BOTTLENECK = first_stage_left_out(RESNEXT | {"ds": [1, 2, 1, 3], "num_gs": [1, 2, 4, 1]})
BASIC = {"block_type": "res_basic_block", "ds": [2, 1, 2], "ws": [12, 24, 24], "ss": [1, 2, 1]}
AS_PYCLS = {
    "vanilla": ("nds-vanilla", {}, VANILLA, VANILLA, "simple_stem_in", 12),
    "vanilla trained": ("nds-vanilla", {"stem": "trained"}, VANILLA, VANILLA, "res_stem_cifar", 16),
    "basic": ("nds-resnet", {"stem_channels": 20}, BASIC, BASIC, "res_stem_in", 20),
    "basic, recorded stem as a stage": ("nds-resnet", {}, RESNET, RESNET, "res_stem_in", 12),
    "basic, recorded stem": (
        "nds-resnet",
        {"stem": "trained"},
        RESNET | {"ws": [24, 24, 24, 40]},
        first_stage_left_out(RESNET),
        "res_stem_cifar",
        24,
    ),
    "basic, four stages of blocks": (
        "nds-resnet",
        {"stem": "trained"},
        RESNET | {"ss": [2, 1, 2, 2]},
        RESNET | {"ss": [2, 1, 2, 2]},
        "res_stem_cifar",
        16,
    ),
    "bottleneck": ("nds-resnext-a", {}, BOTTLENECK, BOTTLENECK, "res_stem_in", 12),
    "bottleneck, recorded stem replaced": (
        "nds-resnext-a",
        {},
        RESNEXT,
        first_stage_left_out(RESNEXT),
        "res_stem_in",
        12,
    ),
    "bottleneck, recorded stem": (
        "nds-resnext-b",
        {"stem": "trained"},
        RESNEXT,
        first_stage_left_out(RESNEXT),
        "res_stem_cifar",
        16,
    ),
    "bottleneck on ImageNet": (
        "nds-resnext-b-in",
        {"stem": "trained"},
        BOTTLENECK,
        BOTTLENECK,
        "res_stem_in",
        64,
    ),
}


@pytest.mark.parametrize("case", AS_PYCLS)
def test_a_network_of_stages_is_that_of_pycls(case: str) -> None:
    name, network, net, their_net, stem, width = AS_PYCLS[case]
    theirs = pycls_network(their_net, stem, width, 10)
    ours = space(name, **network).build(json.dumps(net), 10)
    with torch.no_grad():
        for own, their in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            assert own.shape == their.shape
            own.copy_(their)
    x = torch.randn(4, 3, 32, 32)
    assert torch.equal(ours(x), theirs(x))
    assert count_units(ours, x) == count_units(theirs, x)
    # Run by its modules; traced, a bit may differ within rounding of zero.
    assert float(naswot_ext.score(nn.Sequential(*ours), x)) == float(naswot_ext.score(theirs, x))


@pytest.mark.parametrize("name", ["nds-vanilla", "nds-resnet", "nds-resnext-a"])
def test_networks_of_stages_without_maximum_pooling_are_fused(name: str) -> None:
    net = {"nds-vanilla": VANILLA, "nds-resnet": BASIC, "nds-resnext-a": BOTTLENECK}[name]
    torch.manual_seed(7)
    # A handful of bits within rounding of zero.
    assert from_plain(space(name, stem="trained").build(json.dumps(net)), torch.randn(12, 3, 16, 16)) <= 3


def test_weights_are_drawn_as_by_pycls() -> None:
    net = BOTTLENECK | {"ws": [128, 256, 256], "ds": [1, 1, 1]}
    theirs = pycls_network(net, "res_stem_in", 64, 1000)
    ours = space("nds-resnext-a", stem_channels=64).build(json.dumps(net), 1000)
    compared = 0
    for own, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        if own.dim() == 1:  # BatchNorm's weights and the biases are constants
            assert torch.equal(own, their)
        elif own.numel() >= 4_000:
            # A deviation of n draws is known to 1 in sqrt(2 n): 5 of these on both sides.
            assert own.std().item() == pytest.approx(their.std().item(), rel=10 / math.sqrt(2 * own.numel()))
            assert abs(own.mean().item()) < 5 * own.std().item() / math.sqrt(own.numel())
            compared += 1
    assert compared >= 8


def test_resnet_56_has_its_known_number_of_parameters_as_trained() -> None:
    net = {"block_type": "res_basic_block", "ds": [9, 9, 9], "ws": [16, 32, 64], "ss": [1, 2, 2]}
    owner = space("nds-resnet")
    # He et al.'s 853,018, whose shortcuts have no parameters, and two 1x1 convolutions with BatchNorm.
    known = 853_018 + (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
    assert owner.trained_parameters(owner.canonical(json.dumps(net)), AnyNetSpace.AS_TRAINED) == known


def test_convolutions_of_cells_are_initialised_as_torch_does() -> None:
    owner = space("nds-darts", width=16, depth=5)
    convolutions = [m for m in owner.build(GENOTYPE).modules() if isinstance(m, nn.Conv2d)]
    for conv in convolutions:
        bound = 1 / math.sqrt(conv.weight[0].numel())
        assert conv.weight.abs().max() <= bound
        if conv.weight.numel() > 200:
            assert conv.weight.abs().max() > 0.9 * bound


NASNET = json.loads(next(fact for fact in GOLDEN if fact.space == "nds-nasnet").arch)


def changed(**genotype: Any) -> dict[str, Any]:
    return NASNET | {"genotype": NASNET["genotype"] | genotype}


def without(net: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in net.items() if name != field}


NORMAL = NASNET["genotype"]["normal"]


@pytest.mark.parametrize(
    ("name", "architecture", "reason"),
    [
        ("nds-nasnet", "|none~0|", "neither JSON"),
        ("nds-nasnet", "[1, 2]", "must be an object"),
        ("nds-nasnet", "[" * 100_000, "neither JSON"),
        ("nds-nasnet", {}, "no field 'genotype'"),
        ("nds-nasnet", RESNET, "no field 'genotype'"),
        ("nds-nasnet", without(NASNET, "width"), "no field 'width'"),
        ("nds-nasnet", NASNET | {"width": 0}, "width is 0; it must be a whole number from 1 to 100000"),
        ("nds-nasnet", NASNET | {"depth": 7.5}, "depth is 7.5"),
        ("nds-nasnet", NASNET | {"depth": "8"}, "depth is '8'"),
        ("nds-nasnet", NASNET | {"depth": True}, "depth is True"),
        ("nds-nasnet", NASNET | {"aux": 1}, "aux is 1; it must be true or false"),
        ("nds-nasnet-in", NASNET | {"width": 15}, "make it even"),
        ("nds-nasnet", NASNET | {"genotype": 3}, "genotype is 3; it must be an object"),
        ("nds-nasnet", changed(normal="sep_conv_3x3"), "normal is 'sep_conv_3x3'; it must be a list"),
        ("nds-nasnet", changed(normal=NORMAL[:-2]), "normal has 8 operations; it must have two for each of 5 nodes"),
        (
            "nds-nasnet",
            changed(normal=[["conv_3x3"], *NORMAL[1:]]),
            r"normal\[0\] is \['conv_3x3'\]; it must be a pair",
        ),
        ("nds-nasnet", changed(normal=[["none", 0], *NORMAL[1:]]), r"normal\[0\]: Unknown operation 'none'"),
        ("nds-nasnet", changed(normal=[[None, 0], *NORMAL[1:]]), r"normal\[0\]: Unknown operation None"),
        ("nds-nasnet", changed(normal=[["conv_3x33", 0], *NORMAL[1:]]), "Did you mean 'conv_3x3'"),
        ("nds-enas", NASNET, "Unknown operation 'conv_3x1_1x3'"),
        ("nds-nasnet", changed(normal=[["conv_3x3", 2], *NORMAL[1:]]), r"the node of normal\[0\] is 2; .* from 0 to 1"),
        ("nds-nasnet", changed(reduce_concat=[]), "reduce_concat is .*at least one node"),
        ("nds-nasnet", changed(reduce_concat=[3, 3]), "none of them twice"),
        ("nds-nasnet", changed(reduce_concat=[3, 7]), "a node of reduce_concat is 7; .* from 2 to 6"),
        ("nds-darts", GENOTYPE, "Set the network options `width` and `depth`"),
        ("nds-darts", GENOTYPE[:-1], "no `Genotype"),
        ("nds-darts", GENOTYPE.replace("('none', 0)", "__import__('os').getcwd()"), "no `Genotype"),
        ("nds-resnet", NASNET, "no field 'block_type'"),
        ("nds-resnet", VANILLA, "block_type is 'vanilla_block'; it must be 'res_basic_block'"),
        ("nds-resnet", RESNET | {"block_type": ["x"]}, r"block_type is \['x'\]"),
        ("nds-resnet", without(RESNET, "ss"), "no field 'ss'"),
        ("nds-resnet", RESNET | {"ds": [1, 2, 3]}, "ws has 4 stages and ds 3"),
        ("nds-resnet", {name: v if name == "block_type" else [] for name, v in RESNET.items()}, "at least one"),
        ("nds-resnet", RESNET | {"ws": [16, 24, -8, 40]}, r"ws\[2\] is -8; it must be a whole number from 1 to 100000"),
        ("nds-resnet", RESNET | {"ws": 16}, "ws is 16; it must be a list"),
        ("nds-resnet", RESNET | {"se_r": 0.25}, "se_r is 0.25, which this builder does not know"),
        ("nds-resnet", RESNET | {"num_gs": [1, 1, 2, 1]}, "leave them out for res_basic_block"),
        ("nds-resnext-a", without(RESNEXT, "num_gs"), "no field 'num_gs'"),
        ("nds-resnext-a", RESNEXT | {"num_gs": [1, 3, 1, 2]}, r"num_gs\[1\] is 3; .* must divide the bottleneck's 16"),
        ("nds-resnext-a", RESNEXT | {"bot_muls": [0.0, 0.0, 1, 1]}, r"bot_muls\[1\] is 0.0, which leaves no channel"),
        ("nds-resnext-a", RESNEXT | {"bot_muls": [0.0, -1, 1, 1]}, r"bot_muls\[1\] is -1; it must be a number"),
        ("nds-resnext-a", RESNEXT | {"bot_muls": [0.0, "1", 1, 1]}, r"bot_muls\[1\] is '1'; it must be a number"),
        # Numbers that no network has, of which floats and torch make errors of their own.
        ("nds-nasnet", NASNET | {"width": 10**30}, "width is 10+; .* from 1 to 100000"),
        ("nds-nasnet", NASNET | {"depth": 10**6}, "depth is 1000000; .* from 1 to 1000"),
        ("nds-darts", f"Genotype(genotype=0x{'f' * 5000})", "genotype is int too long to show; it must be an"),
        ("nds-resnet", RESNET | {"ws": [16, 24, 24, 10**400]}, r"ws\[3\] is 10+\.\.\.; .* from 1 to 100000"),
        ("nds-resnet", RESNET | {"ds": [1, 2, 3, 10**6]}, r"ds\[3\] is 1000000; .* from 1 to 1000"),
        ("nds-resnet", RESNET | {"ss": [1, 1, 2, 10**30]}, r"ss\[3\] is 10+; .* from 1 to 1000"),
        ("nds-resnet", {n: v if n == "block_type" else [1] * 10**4 for n, v in RESNET.items()}, "at most 100"),
        ("nds-resnext-a", RESNEXT | {"num_gs": [1, 10**30, 1, 2]}, r"num_gs\[1\] is 10+; .* from 1 to 100000"),
        ("nds-resnext-a", RESNEXT | {"ws": [16, 10**400, 64, 64]}, r"ws\[1\] is 10+\.\.\.; .* from 1 to 100000"),
        ("nds-resnext-a", RESNEXT | {"bot_muls": [0.0, 1e308, 1, 1]}, r"bot_muls\[1\] is 1e\+308; .* at most 1000"),
        ("nds-resnext-a", RESNEXT | {"bot_muls": [0.0, 10**400, 1, 1]}, r"bot_muls\[1\] is 10+\.\.\.; .* at most 1000"),
        (
            "nds-resnext-a",
            RESNEXT | {"ws": [16, 10**5, 64, 64], "bot_muls": [0.0, 999, 1, 1]},
            r"bot_muls\[1\] is 999, which makes 99900000 channels of 100000; at most 100000",
        ),
    ],
)
def test_an_architecture_outside_the_space_is_refused(name: str, architecture: Any, reason: str) -> None:
    text = architecture if isinstance(architecture, str) else json.dumps(architecture)
    with pytest.raises(NaswotError, match=reason) as error:
        space(name).canonical(text)
    assert f"is not an architecture of {name}" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


def test_an_unknown_stem_is_refused() -> None:
    with pytest.raises(NaswotError, match="Did you mean 'trained'"):
        space("nds-resnet", stem="traned")


@pytest.mark.parametrize(
    ("name", "options", "known"),
    [
        ("nds-darts", {"stem": "trained"}, "Known: depth, width"),
        ("nds-pnas-in", {"stem_channels": 64}, "Known: depth, width"),
        ("nds-vanilla", {"width": 16}, "Known: stem, stem_channels"),
        ("nds-resnext-b-in", {"depth": 8}, "Known: stem, stem_channels"),
    ],
)
def test_a_network_option_of_the_other_spaces_is_refused(name: str, options: dict[str, Any], known: str) -> None:
    with pytest.raises(NaswotError, match=f"Unknown network option of {name} '{next(iter(options))}'.*{known}"):
        space(name, **options)


def test_a_space_without_its_file_says_where_architectures_are() -> None:
    with pytest.raises(NaswotError, match="stand in its benchmark's file"):
        space("nds-pnas").architecture(0)


def test_the_operations_are_those_of_the_papers() -> None:
    assert {paper: len(operations) for paper, operations in OPERATIONS.items()} == {
        "Amoeba": 8,
        "DARTS": 8,
        "ENAS": 5,
        "NASNet": 13,
        "PNAS": 8,
    }
    for operations in OPERATIONS.values():
        for name in operations:
            for stride in (1, 2):
                out = _nds_cells.operation(name, 4, stride)(torch.randn(2, 4, 8, 8))
                assert out.shape == (2, 4, 8 // stride, 8 // stride)
