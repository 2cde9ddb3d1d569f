"""Which architectures of a space are scored."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from naswot_ext.errors import NaswotError
from naswot_ext.provenance import read_table
from naswot_ext.seeds import derive
from naswot_ext.spaces import SearchSpace, open_space


def open_listing(
    name: str, network: Mapping[str, Any] | None = None, listing: str | os.PathLike[str] | None = None
) -> tuple[SearchSpace, npt.NDArray[np.int64]]:
    """The space `name`, and the indices that may be drawn: those in the file `listing`, by default the whole space.

    `listing` is a Parquet file of what `benchmarks.architectures` gives. Raises NaswotError as `open_space` does.
    """
    if listing is None:
        space = open_space(name, network)
        return space, np.arange(len(space))
    table = read_table(listing)
    return open_space(name, network, table["arch"].tolist()), table["arch_index"].to_numpy(np.int64)


def sample_architectures(among: npt.NDArray[np.int64] | int, count: int | str, seed: int) -> npt.NDArray[np.int64]:
    """`count` different architecture indices ("all" for all) of those in `among`, drawn without replacement.

    `among` may be a number, for the indices below it. A smaller draw with the same seed is a prefix of a larger one, so
    drawing more keeps the scores there are. Raises NaswotError where there are fewer.
    """
    available = np.arange(among) if isinstance(among, int) else among
    size = len(available)
    if count == "all":
        count = size
    if not 0 < int(count) <= size:
        raise NaswotError(f"At least {count} architectures are to be drawn from {size}. Give 1 to {size}, or all.")
    return available[np.random.default_rng(derive(seed, "sample")).permutation(size)[: int(count)]]
