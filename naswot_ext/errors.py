"""The one exception for mistakes that a user can mend, and the helper that suggests the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NaswotError(Exception):
    """Bad input: a config, file, network or image. The message says what, where and what to do.

    Programs print ``str(error)`` and exit non-zero; a traceback would add nothing.
    """


def unknown(kind: str, name: object, known: Iterable[str]) -> NaswotError:
    """The error for a name that is not in `known`, with the nearest known name where one is close."""
    names = sorted(known)
    nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    # A list that fills the screen would hide the hint.
    known_names = f" Known: {', '.join(names) or 'none'}." if len(names) <= 30 or not hint else ""
    return NaswotError(f"Unknown {kind} {name!r}.{hint}{known_names}")
