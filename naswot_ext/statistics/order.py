"""Counting who is above whom, of observations that occur several times: what all rank statistics are made of.

A bootstrap draw has the values of the whole sample, each a number of times (perhaps none). So all sorting is done once,
and a draw costs O(n log n) additions over arrays of draws, no sort.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

IntArray = NDArray[np.int32]


class Level(NamedTuple):
    """Of each of n observations in each of b draws: how many have a lower and how many the same value; [b, n]."""

    below: IntArray
    equal: IntArray  # itself included


class Order:
    """The order of values x [n], not NaN."""

    def __init__(self, x: NDArray[Any]) -> None:
        self.rank = stats.rankdata(x, method="dense").astype(np.int64) - 1
        self._order = np.argsort(self.rank, kind="stable")
        self._starts = np.flatnonzero(np.diff(self.rank[self._order], prepend=-1))
        self.tied = len(self._starts) < len(self.rank)

    def level(self, m: IntArray) -> Level:
        """Where each observation stands among those drawn, each m [b, n] times."""
        equal = np.add.reduceat(_take(m, self._order), self._starts, axis=1, dtype=np.int32)
        below = np.cumsum(equal, axis=1, dtype=np.int32) - equal
        return Level(_take(below, self.rank), _take(equal, self.rank))


class Concordance:
    """The pairs of observations that x [n] and y [n] order alike, less those that they order oppositely."""

    def __init__(self, x: Order, y: Order) -> None:
        n = len(x.rank)
        # Where no two have the same x (y), nothing is tied in it but an observation with itself.
        self._by_x_then_y = Order(x.rank * n + y.rank) if x.tied else None
        self._by_y_then_x = Order(y.rank * n + x.rank) if y.tied else None
        # By x; among equals by falling y, so that whoever comes before and has less y has less x too.
        by_x = np.lexsort((-y.rank, x.rank))
        self._there, self._back = by_x, np.argsort(by_x)
        self._width = 1 << (n - 1).bit_length()  # halves of halves; the rest is never drawn
        heights = np.full(self._width, n)
        heights[:n] = y.rank[by_x]
        self._merges = [_merge(heights, half) for half in _powers(self._width)]

    def __call__(self, m: IntArray, x: Level, y: Level) -> IntArray:
        """[b, n]: for each observation, the drawn ones that it is concordant with less the discordant ones.

        With m [b, n] how often each was drawn, and its levels in x and in y.
        """
        size = m.sum(axis=1, dtype=np.int32, keepdims=True)
        # All that follows is in quarters of an observation: those with less x and the same y, or less y and the same x,
        # count half, and those with the same of both a quarter.
        lower = 4 * _take(self._before_and_below(_take(m, self._there)), self._back)
        same = m
        if self._by_x_then_y is not None:
            pair = self._by_x_then_y.level(m)
            lower += 2 * (pair.below - x.below)
            same = pair.equal if self._by_y_then_x is not None else m
        if self._by_y_then_x is not None:
            lower += 2 * (self._by_y_then_x.level(m).below - y.below)
        return lower + same + size - (2 * x.below + x.equal) - (2 * y.below + y.equal)

    def _before_and_below(self, m: IntArray) -> IntArray:
        """Of each, how many come before it and have less y: merge sort's count, all merges planned beforehand."""
        draws, n = m.shape
        padded = np.zeros((draws, self._width), np.int32)
        padded[:, :n] = m
        found = np.zeros_like(padded)
        total = np.zeros((draws, self._width // 2 + 1), np.int32)
        for half, (left, below) in zip(_powers(self._width), self._merges, strict=True):
            np.cumsum(_take(padded, left), axis=1, out=total[:, 1:])
            counts = _take(total, below).reshape(draws, -1, half) - total[:, :-1:half, None]
            found.reshape(draws, -1, 2, half)[:, :, 1] += counts
        return found[:, :n]


def _powers(width: int) -> list[int]:
    return [1 << level for level in range(width.bit_length() - 1)]


def _merge(heights: NDArray[np.int64], half: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The left halves' positions, each half by height; for the right ones, how many of these are before and below."""
    blocks = heights.reshape(-1, 2, half)
    # Heights above those of all blocks before, so that one search serves all blocks.
    keys = blocks + (np.arange(len(blocks)) * (int(heights.max()) + 1))[:, None, None]
    within = np.argsort(keys[:, 0], axis=1, kind="stable")
    left = within + np.arange(0, len(heights), 2 * half)[:, None]
    lefts = np.take_along_axis(keys[:, 0], within, axis=1)
    return left.ravel(), np.searchsorted(lefts.ravel(), keys[:, 1].ravel(), side="left")


def _take(values: IntArray, index: NDArray[np.integer[Any]]) -> IntArray:
    # The indices are ours: numpy need not check them.
    return np.take(values, index, axis=1, mode="clip")
