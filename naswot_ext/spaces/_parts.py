"""Networks as lists of calls, each of which makes one module: what builds a network also counts its parameters."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache
from typing import NamedTuple

import torch
from torch import nn


class Part(NamedTuple):
    """One module of a network: the function that makes it, and what it takes."""

    make: Callable[..., nn.Module]
    arguments: tuple[Hashable, ...]

    def build(self) -> nn.Module:
        """The module, freshly initialised."""
        return self.make(*self.arguments)

    def parameters(self) -> int:
        """How many parameters it has; each different call is made once, without numbers."""
        return _parameters(self.make, self.arguments)


@cache
def _parameters(make: Callable[..., nn.Module], arguments: tuple[Hashable, ...]) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make(*arguments).parameters())
