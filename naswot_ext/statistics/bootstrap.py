"""The bootstrap: observations drawn with replacement, kept as how often each was drawn.

The same seed and number of observations give the same draws whatever is measured on them, so that differences between
measures, seeds or proxies on the same architectures are of paired draws.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from naswot_ext.errors import NaswotError
from naswot_ext.seeds import derive

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]

# Draws times observations that are worked on at once: what a core's cache holds.
_AT_ONCE = 1 << 18


def check(bootstrap: int, confidence: float) -> None:
    """Raise NaswotError where `bootstrap` is below 1 or `confidence` outside (0, 1)."""
    if bootstrap < 1 or not 0 < confidence < 1:
        raise NaswotError(
            f"Cannot bootstrap {bootstrap} times at confidence {confidence}: statistics.bootstrap must be at least 1, "
            "statistics.confidence between 0 and 1."
        )


def multiplicities(n: int, bootstrap: int, seed: int) -> Iterator[IntArray]:
    """Of `bootstrap` draws of n from n, how often each was drawn: int32 [b, n], a few draws at a time."""
    random = np.random.default_rng(derive(seed, "bootstrap"))
    for done in range(0, bootstrap, step := max(1, _AT_ONCE // n)):
        draws = (random.integers(n, size=n) for _ in range(min(step, bootstrap - done)))
        yield np.stack([np.bincount(drawn, minlength=n) for drawn in draws]).astype(np.int32)


def percentiles(draws: FloatArray, confidence: float) -> tuple[FloatArray, FloatArray]:
    """The percentile interval's ends of each row of `draws` [rows, bootstrap]: two [rows].

    A draw in which the statistic is undefined (NaN) is left out; where these are more than 1 - `confidence` of the
    draws they would decide the interval's ends, and these are NaN.
    """
    tail = (1 - confidence) / 2
    ends = np.full((2, len(draws)), np.nan)
    enough = np.isnan(draws).sum(axis=1) <= (1 - confidence) * draws.shape[1]
    if enough.any():
        ends[:, enough] = np.nanquantile(draws[enough], [tail, 1 - tail], axis=1)
    return ends[0], ends[1]
