"""The one exception for mistakes that a user can mend, and the helpers that make its message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NaswotError(Exception):
    """Bad input: a config, file, network or image. The message says what, where and what to do.

    Programs print ``str(error)`` and exit non-zero; a traceback would add nothing.
    """


def shown(value: object, length: int = 160) -> str:
    """`value` as messages quote what was given: on one line, and cut after `length` characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists in lists
        text = f"{type(value).__name__} too long to show"
    return text if len(text) <= length else text[: length - 3] + "..."


def one_line(error: object) -> str:
    """The text of another's error as part of a message."""
    return " ".join(str(error).split())


def unknown(kind: str, name: object, known: Iterable[str]) -> NaswotError:
    """The error for a name that is not in `known`, with the nearest known name where one is close."""
    names = sorted(known)
    given = name[:160] if isinstance(name, str) else shown(name)
    nearest = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    # A list that fills the screen would hide the hint.
    known_names = f" Known: {', '.join(names) or 'none'}." if len(names) <= 30 or not hint else ""
    return NaswotError(f"Unknown {kind} {shown(name)}.{hint}{known_names}")
