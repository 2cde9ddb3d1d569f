"""Training-free proxies, one file each: a function (network, images) -> score, registered under its name.

A user's own proxy is a function in a file of their own, named ``my_proxies.py:function`` wherever a proxy is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
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
    """A proxy's value as its paper defines it, -inf where singular; `units` is N_A where it counts them, else 0."""

    score: float
    units: int = 0


Compute = Callable[[nn.Module, Images], "Scored | float"]
Launch = Callable[[nn.Module, Images], Any]
Finish = Callable[[Sequence[Any]], Sequence["Scored | NaswotError"]]
Convert = Callable[[Scored, Images], Scored]


@dataclass(frozen=True)
class Proxy:
    """A proxy and what a reader of a comparison needs to know about it.

    `compute` may change the network as it likes where it is the only one to score it (see `naswot_ext.gradients` for
    those that share one): it is built anew for each architecture.

    `launch` and `finish`, where a proxy has them, are `compute` in two parts for many networks under way at once:
    `launch` starts one without waiting for the device and keeps nothing of the network; `finish` waits once for all
    that were launched, and gives, in their order, what `compute` would give or raise.

    `converts`, where a proxy has it, names another proxy and gives this one's value from that one's, without a network.

    Attributes:
        title: what its values are, as an axis label.
        cost: what it runs, in words.
        batch: which images it looks at, in words.
        needs_labels: whether it needs the labels of the images.
        higher_is_better: whether a higher value means a better network. Score tables hold what is better the higher it
            is, so the values of a proxy whose lower ones are better stand there with the opposite sign.
    """

    name: str
    title: str
    cost: str
    compute: Compute
    launch: Launch | None = None
    finish: Finish | None = None
    batch: str = "the images, without labels"
    needs_labels: bool = False
    higher_is_better: bool = True
    converts: tuple[str, Convert] | None = None

    @property
    def axis_title(self) -> str:
        """What score tables hold of it, higher is better."""
        return self.title if self.higher_is_better else f"negative {self.title}"

    def score(self, network: nn.Module, batch: Images) -> Scored:
        """What stands in a score table, higher is better; raises NaswotError where `compute` gives no number."""
        return self.oriented(self.compute(network, batch))

    def oriented(self, value: object) -> Scored:
        """A value of this proxy as a score, higher is better; raises NaswotError for what is not a number, or NaN."""
        units = value.units if isinstance(value, Scored) else 0
        number = value.score if isinstance(value, Scored) else value
        if isinstance(number, bool) or not isinstance(number, int | float | np.integer | np.floating):
            of = f" of shape {list(number.shape)}" if isinstance(number, torch.Tensor | np.ndarray) else ""
            raise NaswotError(
                f"The proxy {self.name} returned a {type(number).__name__}{of}; it must return one number: "
                "float(...) of it."
            )
        number = float(number)
        if math.isnan(number):
            raise NaswotError("the score is nan")
        singular = number == -math.inf
        return Scored(number if self.higher_is_better or singular else -number, int(units))


PROXIES: Registry[Proxy] = Registry("proxy", __name__)


def proxy(name: str, title: str, cost: str, **facts: Any) -> Callable[[Compute], Proxy]:
    """Decorator: register a function as the proxy `name`, with its axis label, its cost in words and other facts."""

    def add(compute: Compute) -> Proxy:
        return PROXIES.register(name)(Proxy(name, title, cost, compute, **facts))

    return add


# Shape-only proxies look at two images: BatchNorm in training mode cannot run on one.
SHAPE_BATCH = 2
