"""Labels beside what they name, placed so that they cover neither each other nor the marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, NDArray

from naswot_ext.figures import QUIET

FloatArray = NDArray[np.float64]

SIZE = 6.5  # points; the smallest text of a figure
_DISTANCES = (5.0, 8.5, 13.0, 19.0, 26.0, 34.0, 43.0, 54.0, 66.0, 80.0)  # points, nearest first
_DIRECTIONS = ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1))
_LEADER: dict[str, Any] = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2}


def label_points(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    texts: Sequence[str],
    *,
    points: ArrayLike | None = None,
    obstacles: Sequence[Bbox] = (),
    size: float = SIZE,
    all_of_them: bool = False,
) -> list[bool]:
    """Write `texts` beside the points (x, y) [n] in data units, the first ones first; which of them were written.

    A label goes to the nearest place, of eight directions, where it covers no label, none of `points` [m, 2] (data
    units; by default those named) and none of `obstacles` (pixels); further off it gets a thin line. One without such
    a place is left out, or, with `all_of_them`, written where it covers the least. Call it when everything else is
    drawn: the layout stays as it is then.
    """
    figure: Any = axes.figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    unit = figure.dpi / 72
    named = np.column_stack([np.asarray(x, float), np.asarray(y, float)])
    places = axes.transData.transform(named)
    others = axes.transData.transform(named if points is None else np.asarray(points, float))
    marks = np.concatenate([others - 2.5 * unit, others + 2.5 * unit], axis=1)
    taken = np.concatenate([marks, np.array([box.extents for box in obstacles]).reshape(-1, 4)])
    inside = axes.get_window_extent(renderer)
    written = []
    for (px, py), text in zip(places, texts, strict=True):
        label = _annotation(axes, (px, py), text, size)
        extent = label.get_window_extent(renderer)
        best: tuple[float, Any] | None = None
        for distance in _DISTANCES:
            for dx, dy in _DIRECTIONS:
                # On the diagonals as far off as on the axes.
                step = distance * unit / (np.sqrt(2) if dx and dy else 1)
                left = px + dx * step - extent.width * (1 - dx) / 2
                bottom = py + dy * step - extent.height * (1 - dy) / 2
                box = np.array([left, bottom, left + extent.width, bottom + extent.height])
                if box[0] < inside.x0 or box[1] < inside.y0 or box[2] > inside.x1 or box[3] > inside.y1:
                    continue
                covered = _overlap(box, taken)
                if distance > _DISTANCES[0]:
                    # Nor may its line cross a label or another mark.
                    line = _pieces((px, py), (px + dx * step, py + dy * step), unit)
                    covered += sum(_overlap(piece, taken) for piece in line)
                if best is None or covered < best[0]:
                    best = covered, (dx, dy, step, distance, box)
                if not covered:
                    break
            if best is not None and not best[0]:
                break
        fits = best is not None and (not best[0] or all_of_them)
        written.append(fits)
        label.remove()
        if fits and best is not None:
            dx, dy, step, distance, box = best[1]
            _annotation(
                axes, (px, py), text, size, (dx * step / unit, dy * step / unit), (dx, dy), distance > _DISTANCES[0]
            )
            taken = np.concatenate([taken, box[None]])
            if distance > _DISTANCES[0]:
                taken = np.concatenate([taken, _pieces((px, py), (px + dx * step, py + dy * step), unit)])
    return written


def label_ends(axes: Axes, x: ArrayLike, y: ArrayLike, texts: Sequence[str], *, size: float = SIZE) -> None:
    """Write `texts` to the right of the ends (x, y) [n] of lines, moved apart where they would overlap.

    They stand below each other, right of the last end; one `x` for all will do. The room for them is the axes' right
    margin, or what is beyond the axes. A label that had to move has a thin line to its end. Call it when everything
    else is drawn.
    """
    figure: Any = axes.figure
    figure.canvas.draw()
    unit = figure.dpi / 72
    heights = np.asarray(y, float)
    ends = axes.transData.transform(np.column_stack([np.broadcast_to(np.asarray(x, float), heights.shape), heights]))
    right = ends[:, 0].max(initial=-np.inf)
    low, high = axes.get_window_extent().intervaly
    places = _apart(ends[:, 1], 1.25 * size * unit, low, high)
    for (px, py), place, text in zip(ends, places, texts, strict=True):
        moved = abs(place - py) > 1.5 * unit
        # Room for the lines of those that moved, and all labels below each other.
        offset = ((right - px) / unit + 12, (place - py) / unit)
        _annotation(axes, (px, py), text, size, offset, (1, 0), moved or len(texts) > 1)


def _apart(wanted: FloatArray, gap: float, low: float, high: float) -> FloatArray:
    """Places at least `gap` apart, in the order of `wanted` and near it, between `low` and `high` where they fit."""
    if not len(wanted):
        return wanted
    order = np.argsort(wanted, kind="stable")
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1)) if (high - low) > 0 else gap
    # Runs of labels that touch are centred on the mean of what they want.
    runs: list[list[float]] = []
    for value in wanted[order]:
        runs.append([value])
        while len(runs) > 1:
            upper, lower = runs[-1], runs[-2]
            if _start(upper, gap, low, high) - _start(lower, gap, low, high) >= gap * len(lower):
                break
            runs[-2:] = [lower + upper]
    places = np.concatenate([_start(run, gap, low, high) + gap * np.arange(len(run)) for run in runs])
    result = np.empty_like(wanted)
    result[order] = places
    return result


def _start(run: list[float], gap: float, low: float, high: float) -> float:
    length = gap * (len(run) - 1)
    return float(np.clip(np.mean(run) - length / 2, low, max(high - length, low)))


def _pieces(start: tuple[float, float], end: tuple[float, float], unit: float) -> FloatArray:
    """A line as small boxes [n, 4]; its own box would be mostly empty. Without its beginning, which is a mark."""
    steps = np.linspace(start, end, 12)
    steps = steps[np.hypot(*(steps - np.array(start)).T) > 4 * unit]
    return np.concatenate([steps - 0.5 * unit, steps + 0.5 * unit], axis=1)


def _overlap(box: FloatArray, boxes: FloatArray) -> float:
    """The area that a box [4] (x0, y0, x1, y1) has in common with `boxes` [n, 4]."""
    width = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0])
    height = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1])
    return float((np.maximum(width, 0) * np.maximum(height, 0)).sum())


def _annotation(
    axes: Axes,
    at: tuple[float, float],
    text: str,
    size: float,
    offset: tuple[float, float] = (0, 0),
    direction: tuple[int, int] = (0, 0),
    leader: bool = False,
) -> Annotation:
    # Held by data, not by pixels, so that it is right at any resolution.
    x, y = axes.transData.inverted().transform(at)
    # The line starts where the label was held, so that it runs where it was found free.
    corner = ((1 - direction[0]) / 2, (1 - direction[1]) / 2)
    label = axes.annotate(
        text,
        (float(x), float(y)),
        offset,
        textcoords="offset points",
        ha=("right", "center", "left")[direction[0] + 1],
        va=("top", "center", "bottom")[direction[1] + 1],
        fontsize=size,
        color=QUIET,
        arrowprops=_LEADER | {"relpos": corner} if leader else None,
        annotation_clip=False,
    )
    label.set_in_layout(False)
    return label
