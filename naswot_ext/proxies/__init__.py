"""Training-free proxies, one file each: a function (network, images) -> score, registered under its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from naswot_ext.registry import Registry


class Images(NamedTuple):
    """One batch on the device of the network: images [B, C, H, W], labels [B] or None, the number of classes."""

    images: torch.Tensor
    labels: torch.Tensor | None
    classes: int


class Scored(NamedTuple):
    """A score, higher is better, -inf where it is singular; `units` is N_A where the proxy counts them, else 0."""

    score: float
    units: int = 0


@dataclass(frozen=True)
class Proxy:
    """A proxy and what a reader of a comparison needs to know about it."""

    name: str
    title: str
    cost: str
    compute: Callable[[nn.Module, Images], Scored]


PROXIES: Registry[Proxy] = Registry("proxy", __name__)


def proxy(name: str, title: str, cost: str) -> Callable[[Callable[[nn.Module, Images], Scored]], Proxy]:
    """Decorator: register a function as the proxy `name`, with its axis label and its cost in words."""

    def add(compute: Callable[[nn.Module, Images], Scored]) -> Proxy:
        return PROXIES.register(name)(Proxy(name, title, cost, compute))

    return add


# Shape-only proxies look at two images: BatchNorm in training mode cannot run on one.
SHAPE_BATCH = 2
