"""Which PyTorch operations are rectifiers, and under which name they are counted.

One rule for the whole family: a unit is active where its **pre-activation is greater than zero**. It is
the paper's binary code for ReLU (Mellor et al. 2021, section 3), and for the others the side of their bend
on which the unit passes its input on.

| name | what runs it |
|---|---|
| `relu` | `nn.ReLU`, `F.relu`, `torch.relu`, `Tensor.relu_` |
| `clamp` | `clamp`, `clip`, `clamp_min` with a lower bound of exactly 0 (with or without an upper one) |
| `relu6`, `hardtanh` | `nn.ReLU6`; `nn.Hardtanh` with any bounds but (0, 6) |
| `leaky_relu`, `prelu`, `rrelu` | the modules and functions of that name |
| `elu`, `selu`, `celu` | likewise |
| `gelu`, `silu`, `mish`, `hardswish`, `softplus` | likewise |
| `threshold` | `nn.Threshold` at exactly 0 |

Not counted, as they gate or squash and have no inactive side: sigmoid, tanh, softmax, hardsigmoid,
log-sigmoid, GLU, softsign, the shrinkage functions. A rectifier that a model spells out in arithmetic,
such as `x * (x > 0)`, `torch.maximum(x, zeros)` or `x * torch.sigmoid(x)`, cannot be told from other
arithmetic and is not counted either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

# The name that one call of an operation counts under, or None where its arguments make it no rectifier.
Name = Callable[[Sequence[Any]], str | None]


def _argument(args: Sequence[Any], position: int, default: Any) -> Any:
    return args[position] if len(args) > position else default


def _always(name: str) -> Name:
    return lambda args: name


def _at_zero(name: str) -> Name:
    def named(args: Sequence[Any]) -> str | None:
        bound = _argument(args, 1, None)
        return name if isinstance(bound, (int, float)) and bound == 0 else None

    return named


def _hardtanh(args: Sequence[Any]) -> str:
    bounds = (_argument(args, 1, -1), _argument(args, 2, 1))
    return "relu6" if bounds == (0, 6) else "hardtanh"


def _elu(args: Sequence[Any]) -> str:
    # Outside inference mode nn.SELU arrives as an ELU with SELU's own scale.
    return "elu" if _argument(args, 2, 1) == 1 else "selu"


# Names of aten operations, without the underscore of their in-place form. The composite ones (relu6, clip,
# prelu, rrelu, selu) are seen whole only where a model turns inference mode on; elsewhere their parts are.
_RECTIFIERS: dict[str, Name] = {
    "relu": _always("relu"),
    "clamp": _at_zero("clamp"),
    "clamp_min": _at_zero("clamp"),
    "clip": _at_zero("clamp"),
    "relu6": _always("relu6"),
    "hardtanh": _hardtanh,
    "leaky_relu": _always("leaky_relu"),
    "prelu": _always("prelu"),
    "_prelu_kernel": _always("prelu"),
    "rrelu": _always("rrelu"),
    "rrelu_with_noise": _always("rrelu"),
    "rrelu_with_noise_functional": _always("rrelu"),
    "elu": _elu,
    "selu": _always("selu"),
    "celu": _always("celu"),
    "gelu": _always("gelu"),
    "silu": _always("silu"),
    "mish": _always("mish"),
    "hardswish": _always("hardswish"),
    "softplus": _always("softplus"),
    "threshold": _at_zero("threshold"),
}

#: The names to choose from with `activations=`.
NAMES: frozenset[str] = frozenset(
    {"relu", "clamp", "relu6", "hardtanh", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu"}
    | {"gelu", "silu", "mish", "hardswish", "softplus", "threshold"}
)

_GATES = frozenset(
    {"sigmoid", "tanh", "hardsigmoid", "log_sigmoid", "log_sigmoid_forward", "glu", "softshrink", "hardshrink"}
    | {"softmax", "_softmax", "_safe_softmax", "maximum", "fmax", "where"}
)

# Operations that run an activation inside something larger: torch's fused convolutions, linear and encoder
# layers, oneDNN's "pointwise" ones, quantized ::*_relu, anybody's custom fused kernel.
_FUSED = re.compile(r"relu|gelu|silu|swish|mish|_activation|_pointwise|transformer_encoder_layer_fwd")


class Role(NamedTuple):
    """What an operation means to the capture. An operation that means nothing has no Role."""

    rectifier: Name | None
    gate: str | None  # an activation that is not counted, for the message when nothing else was seen
    fused: bool  # an activation is hidden in it
    writes: tuple[int, ...]  # positions of the arguments that it changes in place
    writes_named: tuple[str, ...]  # and the keyword-only ones, such as `out`


_roles: dict[Any, Role | None] = {}


def role(op: Any) -> Role | None:
    """The role of an operator overload (`torch.ops.aten.relu.default`), None for most of them."""
    try:
        return _roles[op]
    except KeyError:
        return _roles.setdefault(op, _find_role(op))


def _find_role(op: Any) -> Role | None:
    schema = op._schema
    namespace, full_name = schema.name.split("::")
    name = full_name.removesuffix("_") if schema.is_mutable else full_name
    aten = namespace == "aten"
    rectifier = _RECTIFIERS.get(name) if aten else None
    fused = rectifier is None and bool(_FUSED.search(name)) and not name.endswith("backward")
    written = [(i, a) for i, a in enumerate(schema.arguments) if a.alias_info and a.alias_info.is_write]
    found = Role(
        rectifier=rectifier,
        gate=name.lstrip("_") if aten and name in _GATES else None,
        fused=fused,
        writes=tuple(i for i, a in written if not a.kwarg_only),
        writes_named=tuple(a.name for _, a in written if a.kwarg_only),
    )
    return found if any(found) else None
