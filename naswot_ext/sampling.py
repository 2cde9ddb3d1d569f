"""Which architectures of a space are scored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from naswot_ext.errors import NaswotError
from naswot_ext.seeds import derive
from naswot_ext.spaces import SPACES


def sample_architectures(space: str, count: int | str, seed: int) -> npt.NDArray[np.int64]:
    """`count` different architecture indices ("all" for the whole space), drawn without replacement.

    A smaller draw with the same seed is a prefix of a larger one, so drawing more keeps the scores there are.
    Raises NaswotError where the space has fewer.
    """
    size = len(SPACES.get(space))
    if count == "all":
        count = size
    if not 0 < int(count) <= size:
        raise NaswotError(f"{space} has {size} architectures; {count} cannot be drawn. Give 1 to {size}, or all.")
    return np.random.default_rng(derive(seed, "sample")).permutation(size)[: int(count)]
