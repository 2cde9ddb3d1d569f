"""What searches over independent decisions ask of a space."""

from __future__ import annotations

from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SearchSpace


def decisions_of(search: str, space: SearchSpace) -> tuple[int, ...]:
    """How many options each decision has; raises NaswotError for a space that is no plain product of decisions."""
    if not space.decisions:
        raise NaswotError(
            f"The search {search} learns independent decisions, but an architecture of {space.name} is no list of "
            "such; use rs, rea or area there."
        )
    return space.decisions
