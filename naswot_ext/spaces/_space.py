"""What every search space offers."""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from torch import nn

from naswot_ext.errors import NaswotError, shown, unknown

# No network is that wide or deep; a size by mistake ends in one sentence instead of all memory.
_LARGEST = 10_000


class SearchSpace(ABC):
    """A finite set of architectures in a fixed order, each with a string form.

    An index counts from 0 to ``len(space) - 1`` in the order of the official files. `NETWORK` names the options of
    the networks around the architectures and their defaults; `image_size` is the side of the benchmark's images.
    `decisions` says how many options each independent decision has where an architecture is nothing but a list of
    such decisions; it is empty for other spaces.
    """

    name: str
    title: str
    image_size: int = 32
    NETWORK: ClassVar[Mapping[str, Any]] = {}
    decisions: ClassVar[tuple[int, ...]] = ()

    def __init__(self) -> None:
        self.network: dict[str, Any] = dict(self.NETWORK)

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
    def canonical(self, architecture: str) -> str:
        """The string form of an architecture in any form that the space reads; raises NaswotError for another text."""

    @abstractmethod
    def build(self, architecture: str, num_classes: int = 1) -> nn.Module:
        """The untrained network, initialised by torch's default random generator on the default device."""

    @abstractmethod
    def neighbours(self, architecture: str) -> list[str]:
        """Every architecture that is one edit away, in a fixed order."""

    def encode(self, architecture: str) -> tuple[int, ...]:
        """Which option each of the `decisions` of an architecture takes, from 0; raises NaswotError without any."""
        raise NaswotError(f"An architecture of {self.name} is no list of independent decisions.")

    def decode(self, codes: Sequence[int]) -> str:
        """The string form of an architecture from its `encode`; raises NaswotError for codes of none."""
        raise NaswotError(f"An architecture of {self.name} is no list of independent decisions.")

    def check_codes(self, codes: Sequence[int]) -> Sequence[int]:
        """`codes` themselves; raises NaswotError where they are not one option for each of the `decisions`."""
        if len(codes) != len(self.decisions) or not all(
            0 <= code < count for code, count in zip(codes, self.decisions, strict=True)
        ):
            raise NaswotError(
                f"{shown(tuple(codes))} encodes no architecture of {self.name}: it takes {len(self.decisions)} "
                f"numbers from 0, less than {', '.join(map(str, self.decisions))}."
            )
        return codes

    def with_network(self, **options: Any) -> Self:
        """A copy with other `NETWORK` options; raises NaswotError for one that it has not, or a size that is none."""
        for option, value in options.items():
            if option not in self.NETWORK:
                raise unknown(f"network option of {self.name}", option, self.NETWORK)
            default = self.NETWORK[option]
            is_size = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST
            if isinstance(default, int | None) and not is_size and (value is not None or default is not None):
                raise NaswotError(
                    f"{option} of {self.name} is {shown(value)}; it must be a whole number, 1 to {_LARGEST:,}."
                )
        other = copy.copy(self)
        other.network = {**self.network, **options}
        return other

    def find(self, text: str) -> str:
        """The string form of what a user names: an index, or an architecture in any form; raises NaswotError."""
        text = text.strip()
        if not re.fullmatch(r"-?[0-9]+", text):
            return self.canonical(text)
        if len(text) > 20:  # of thousands of digits, Python makes no number
            raise NaswotError(f"{self.name} has no architecture {shown(text)}.")
        return self.architecture(int(text))

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


class ListedSpace(SearchSpace):
    """A space whose architectures, and their order, stand in a file.

    Without a listing it builds and edits architectures; their number, their order and samples need one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._listing: Sequence[str] | None = None
        self._positions: dict[str, int] | None = None

    def with_listing(self, architectures: Sequence[str]) -> Self:
        """A copy that holds its architectures: canonical string forms, architecture i at position i."""
        other = copy.copy(self)
        other._listing, other._positions = architectures, None
        return other

    def __len__(self) -> int:
        return len(self._listed())

    def architecture(self, index: int) -> str:
        return self._listed()[self.check_index(index)]

    def index(self, architecture: str) -> int:
        """The first index of an architecture of the same `key`; raises NaswotError where the listing has none."""
        if self._positions is None:
            positions: dict[str, int] = {}
            for i, listed in enumerate(self._listed()):
                positions.setdefault(self.key(listed), i)
            self._positions = positions
        found = self._positions.get(self.key(self.canonical(architecture)))
        if found is None:
            raise NaswotError(f"{shown(architecture)} is not among the {len(self)} architectures of {self.name}.")
        return found

    def key(self, architecture: str) -> str:
        """What two string forms of the same architecture have in common."""
        return architecture

    def _listed(self) -> Sequence[str]:
        if self._listing is None:
            raise NaswotError(
                f"The architectures of {self.name} and their order stand in its benchmark's file. Give the list that a "
                f"run has made of it (`--listing RESULTS/architectures/{self.name}.parquet`), or the architecture "
                "itself instead of its number."
            )
        return self._listing
