"""Search spaces, one file each: how many architectures, architecture i, build it, sample, mutate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from naswot_ext.registry import Registry
from naswot_ext.spaces._space import ListedSpace, SearchSpace

SPACES: Registry[SearchSpace] = Registry("search space", __name__, dashes=True)


def open_space(
    name: str, network: Mapping[str, Any] | None = None, listing: Sequence[str] | None = None
) -> SearchSpace:
    """The space `name` with `network` options and, where its architectures stand in a file, their `listing`.

    Raises NaswotError for an unknown name or option. A space that enumerates its architectures ignores a listing.
    """
    space = SPACES.get(name).with_network(**(network or {}))
    if listing is not None and isinstance(space, ListedSpace):
        space = space.with_listing(listing)
    return space


__all__ = ["SPACES", "ListedSpace", "SearchSpace", "open_space"]
