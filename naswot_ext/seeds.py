"""Seeds derived from (seed, what it is for, which one), so that no score or run depends on its neighbours."""

from __future__ import annotations

import hashlib


def derive(seed: int, *parts: str | int) -> int:
    """A 63-bit seed that depends on nothing but its arguments, equal on every machine and Python version.

    >>> derive(0, "initialisation", 17) == derive(0, "initialisation", 17)
    True
    """
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
