"""Architectures of NDS as text: what is read, checked and written."""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Mapping
from typing import Any

from naswot_ext.errors import NaswotError, shown, unknown
from naswot_ext.spaces._anynet import BOTTLENECK, VANILLA, AnyNet, Stage
from naswot_ext.spaces._nds_cells import Cell, CellNet

_GENOTYPE = ("normal", "normal_concat", "reduce", "reduce_concat")
_SHOWN = 80
# Bounds that are far above all that NDS drew, but keep what follows within the numbers that torch can handle.
_MOST_CHANNELS = 100_000
_MOST_LAYERS, _MOST_STAGES, _MOST_STRIDE, _MOST_BOT_MUL = 1000, 100, 1000, 1000


def load(text: str) -> dict[str, Any]:
    """The fields of a `net` or of a genotype: JSON, or Python's text of the named tuple `Genotype` of DARTS."""
    text = text.strip()
    if text.startswith("Genotype"):
        return _genotype(text)
    try:
        net = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NaswotError(
            f"it is neither JSON ({error}) nor `Genotype(normal=..., ...)`. Give the `net` of an entry as JSON."
        ) from None
    return fields(net, "the architecture")


def _genotype(text: str) -> dict[str, Any]:
    """The keyword arguments of a call, as literals; DARTS writes its concatenations as `range(2, 6)`."""
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "Genotype" or call.args:
            raise ValueError("it is not one call with named arguments")
        return {str(keyword.arg): _literal(keyword.value) for keyword in call.keywords}
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise NaswotError(f"it is no `Genotype(normal=[('skip_connect', 0), ...], ...)`: {error}.") from None


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "range" and not node.keywords:
        return list(range(*(ast.literal_eval(argument) for argument in node.args))[:100])
    return ast.literal_eval(node)


def cell_net(
    net: Mapping[str, Any], operations: Collection[str], nodes: int, width: int | None, depth: int | None
) -> CellNet:
    """A network of cells of `nodes` nodes; `width` and `depth` are those of a genotype that comes without.

    Fields that do not describe the network, such as `drop_prob`, are passed over, as by the papers' code.
    """
    if "genotype" not in net and any(name in net for name in _GENOTYPE):
        if width is None or depth is None:
            raise NaswotError(
                "a genotype alone does not say how wide and deep the network is. Set the network options `width` and "
                "`depth`, or give a `net` with genotype, width, depth and aux."
            )
        net = {"genotype": net, "width": width, "depth": depth}
    genotype = fields(_field(net, "genotype"), "genotype")
    aux = net.get("aux", False)
    if not isinstance(aux, bool):
        raise NaswotError(f"aux is {shown(aux, _SHOWN)}; it must be true or false.")
    return CellNet(
        normal=_cell(genotype, "normal", operations, nodes),
        reduce=_cell(genotype, "reduce", operations, nodes),
        width=_whole(_field(net, "width"), "width", most=_MOST_CHANNELS),
        depth=_whole(_field(net, "depth"), "depth", most=_MOST_LAYERS),
        aux=aux,
    )


def _cell(genotype: Mapping[str, Any], kind: str, operations: Collection[str], nodes: int) -> Cell:
    edges = []
    for position, edge in enumerate(_list(_field(genotype, kind), kind)):
        what = f"{kind}[{position}]"
        if not isinstance(edge, (list, tuple)) or len(edge) != 2:
            raise NaswotError(f"{what} is {shown(edge, _SHOWN)}; it must be a pair of an operation and a node.")
        if not isinstance(edge[0], str) or edge[0] not in operations:
            raise NaswotError(f"{what}: {unknown('operation', edge[0], operations)}")
        edges.append((edge[0], _whole(edge[1], f"the node of {what}", least=0, most=position // 2 + 1)))
    if len(edges) != 2 * nodes:
        raise NaswotError(f"{kind} has {len(edges)} operations; it must have two for each of {nodes} nodes.")
    name = f"{kind}_concat"
    concat = [
        _whole(node, f"a node of {name}", least=2, most=nodes + 1) for node in _list(_field(genotype, name), name)
    ]
    if not concat or len(set(concat)) != len(concat):
        raise NaswotError(f"{name} is {shown(concat, _SHOWN)}; it must name at least one node, and none of them twice.")
    return Cell(tuple(edges), tuple(concat))


def cell_text(net: CellNet) -> str:
    """The string form of a network of cells."""
    genotype = {
        "normal": net.normal.edges,
        "normal_concat": net.normal.concat,
        "reduce": net.reduce.edges,
        "reduce_concat": net.reduce.concat,
    }
    return _compact({"genotype": genotype, "width": net.width, "depth": net.depth, "aux": net.aux})


def any_net(net: Mapping[str, Any], block: str) -> AnyNet:
    """A network of stages of `block`; the files' `double_plain_block` is `vanilla_block`.

    A first stage of bot_mul 0 is no stage of blocks but the record of the stem. Raises NaswotError for a field that the
    builder does not know, unless it is empty.
    """
    given = _field(net, "block_type")
    if (VANILLA if given == "double_plain_block" else given) != block:
        raise NaswotError(f"block_type is {shown(given, _SHOWN)}; it must be {block!r}.")
    names = ["ds", "ws", "ss"]
    # The files may have the bottlenecks' fields, empty, for other blocks.
    names += [name for name in ("bot_muls", "num_gs") if block == BOTTLENECK or net.get(name)]
    values = {name: _list(_field(net, name), name) for name in names}
    for name, value in net.items():
        if name != "block_type" and name not in values and value:
            raise NaswotError(f"{name} is {shown(value, _SHOWN)}, which this builder does not know. Leave it out.")
    for name, value in values.items():
        if len(value) != len(values["ds"]) or not 1 <= len(value) <= _MOST_STAGES:
            raise NaswotError(
                f"{name} has {len(value)} stages and ds {len(values['ds'])}; give as many, at least one and at most "
                f"{_MOST_STAGES}."
            )
    stages = tuple(_stage(values, position) for position in range(len(values["ds"])))
    if block != BOTTLENECK and any((stage.bot_mul, stage.num_gs) != (1.0, 1) for stage in stages):
        raise NaswotError(f"bot_muls and num_gs are of {BOTTLENECK} only; leave them out for {block}.")
    return AnyNet(block, stages)


def _stage(values: Mapping[str, list[Any]], position: int) -> Stage:
    def whole(name: str, most: int) -> int:
        return _whole(values[name][position], f"{name}[{position}]", most=most)

    bot_mul = values["bot_muls"][position] if "bot_muls" in values else 1.0
    if isinstance(bot_mul, bool) or not isinstance(bot_mul, (int, float)) or not 0 <= bot_mul <= _MOST_BOT_MUL:
        raise NaswotError(
            f"bot_muls[{position}] is {shown(bot_mul, _SHOWN)}; it must be a number above 0, at most {_MOST_BOT_MUL}."
        )
    groups = whole("num_gs", _MOST_CHANNELS) if "num_gs" in values else 1
    depth, width, stride = whole("ds", _MOST_LAYERS), whole("ws", _MOST_CHANNELS), whole("ss", _MOST_STRIDE)
    stage = Stage(depth, width, stride, float(bot_mul), groups)
    if not (bot_mul == 0 and position == 0 and len(values["ds"]) > 1):
        if stage.bottleneck < 1:
            raise NaswotError(f"bot_muls[{position}] is {bot_mul!r}, which leaves no channel of {stage.width}.")
        if stage.bottleneck > _MOST_CHANNELS:
            raise NaswotError(
                f"bot_muls[{position}] is {bot_mul!r}, which makes {stage.bottleneck} channels of {stage.width}; at "
                f"most {_MOST_CHANNELS} are read."
            )
        if stage.bottleneck % groups:
            raise NaswotError(
                f"num_gs[{position}] is {groups}; it is the number of groups and must divide the bottleneck's "
                f"{stage.bottleneck} channels."
            )
    return stage


def any_text(net: AnyNet) -> str:
    """The string form of a network of stages."""
    written: dict[str, Any] = {
        "block_type": net.block,
        "ds": [stage.depth for stage in net.stages],
        "ws": [stage.width for stage in net.stages],
        "ss": [stage.stride for stage in net.stages],
    }
    if net.block == BOTTLENECK:
        written["bot_muls"] = [stage.bot_mul for stage in net.stages]
        written["num_gs"] = [stage.num_gs for stage in net.stages]
    return _compact(written)


def _compact(net: Mapping[str, Any]) -> str:
    return json.dumps(net, sort_keys=True, separators=(",", ":"))


def fields(value: Any, what: str) -> dict[str, Any]:
    """`value` itself, the object `what`; raises NaswotError where it is none."""
    if not isinstance(value, dict):
        raise NaswotError(f"{what} is {shown(value, _SHOWN)}; it must be an object with fields.")
    return value


def _field(owner: Mapping[str, Any], name: str) -> Any:
    if name not in owner:
        raise NaswotError(f"it has no field {name!r}; its fields are {shown(list(owner), _SHOWN)}.")
    return owner[name]


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise NaswotError(f"{what} is {shown(value, _SHOWN)}; it must be a list.")
    return list(value)


def _whole(value: Any, what: str, *, least: int = 1, most: int) -> int:
    whole = not isinstance(value, bool) and isinstance(value, (int, float)) and value == value // 1
    if not whole or not least <= value <= most:
        raise NaswotError(f"{what} is {shown(value, _SHOWN)}; it must be a whole number from {least} to {most}.")
    return int(value)
