"""Training-free proxies, one file each: a function (network, images) -> score, registered under its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from naswot_ext.errors import NaswotError
from naswot_ext.registry import Registry


class Images(NamedTuple):
    """One batch on the device of the network: images [B, C, H, W], labels [B] or None, the number of classes.

    The images are finite, and in the network's precision.
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    classes: int


class Scored(NamedTuple):
    """A score, higher is better, -inf where it is singular; `units` is N_A where the proxy counts them, else 0."""

    score: float
    units: int = 0


Compute = Callable[[nn.Module, Images], Scored]
Launch = Callable[[nn.Module, Images], Any]
Finish = Callable[[Sequence[Any]], Sequence[Scored | NaswotError]]


@dataclass(frozen=True)
class Proxy:
    """A proxy and what a reader of a comparison needs to know about it.

    `launch` and `finish`, where a proxy has them, are `compute` in two parts for many networks under way at once:
    `launch` starts one without waiting for the device and keeps nothing of the network; `finish` waits once for all
    that were launched, and gives, in their order, what `compute` would give or raise.
    """

    name: str
    title: str
    cost: str
    compute: Compute
    launch: Launch | None = None
    finish: Finish | None = None


PROXIES: Registry[Proxy] = Registry("proxy", __name__)


def proxy(
    name: str, title: str, cost: str, launch: Launch | None = None, finish: Finish | None = None
) -> Callable[[Compute], Proxy]:
    """Decorator: register a function as the proxy `name`, with its axis label and its cost in words."""

    def add(compute: Compute) -> Proxy:
        return PROXIES.register(name)(Proxy(name, title, cost, compute, launch, finish))

    return add


# Shape-only proxies look at two images: BatchNorm in training mode cannot run on one.
SHAPE_BATCH = 2
