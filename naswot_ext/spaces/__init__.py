"""Search spaces, one file each: how many architectures, architecture i, build it, sample, mutate."""

from __future__ import annotations

from naswot_ext.registry import Registry
from naswot_ext.spaces._space import SearchSpace

SPACES: Registry[SearchSpace] = Registry("search space", __name__, dashes=True)

__all__ = ["SPACES", "SearchSpace"]
