"""What every search space offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
from torch import nn

from naswot_ext.errors import NaswotError


class SearchSpace(ABC):
    """A finite set of architectures in a fixed order, each with a string form.

    An index counts from 0 to ``len(space) - 1`` in the order of the official files.
    """

    name: str
    title: str

    @abstractmethod
    def __len__(self) -> int:
        """The number of architectures."""

    @abstractmethod
    def architecture(self, index: int) -> str:
        """The string form of architecture `index`; raises NaswotError outside the space."""

    @abstractmethod
    def index(self, architecture: str) -> int:
        """The index of a string form; raises NaswotError where the space does not hold it."""

    @abstractmethod
    def build(self, architecture: str, num_classes: int = 1) -> nn.Module:
        """The untrained network, initialised by torch's default random generator on the default device."""

    @abstractmethod
    def neighbours(self, architecture: str) -> list[str]:
        """Every architecture that is one edit away, in a fixed order."""

    def check_index(self, index: int) -> int:
        """`index` itself; raises NaswotError outside the space."""
        if not 0 <= index < len(self):
            raise NaswotError(f"{self.name} has no architecture {index}; its indices run from 0 to {len(self) - 1}.")
        return index

    def sample(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """`count` uniform random indices, drawn with replacement."""
        return rng.integers(len(self), size=count)

    def mutate(self, architecture: str, rng: np.random.Generator) -> str:
        """A uniform random one of the neighbours (regularised evolution's step, Real et al. 2019)."""
        neighbours = self.neighbours(architecture)
        return neighbours[rng.integers(len(neighbours))]
