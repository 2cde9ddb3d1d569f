"""Search time against accuracy: Mellor et al. (ICML 2021), figure 7, and arXiv v1 (2020), figure 6."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from naswot_ext.errors import NaswotError
from naswot_ext.figures import INK, QUIET, WIDE, accuracy_axis, accuracy_colour, canvas, check_split, style
from naswot_ext.papers.figures.labels import label_points
from naswot_ext.tables import title

COLUMNS = ["method", "n_samples", "what", "seconds", "accuracy", "std", "runs"]


def time(cells: pd.DataFrame, *, dataset: str = "cifar10", split: str = "test", note: str = "") -> Figure:
    """A filled mark a measured search and a hollow one a published: seconds (logarithmic) against accuracy.

    `cells` are those of the paper's table of searches (`naswot_ext.papers.cells.COLUMNS`). Bars are the standard
    deviation over runs; a grey line joins what was published and measured of the same search. Methods without seconds
    are named below. `note` is said below, too. Raises NaswotError for an unknown split or where no cell has seconds.
    """
    check_split(split)
    marks = data(cells, dataset=dataset, split=split)
    timed = marks[np.isfinite(marks["seconds"].to_numpy(np.float64)) & (marks["seconds"] > 0)]
    if timed.empty:
        raise NaswotError(f"No search has seconds and a {title(dataset)} {split} accuracy; there is nothing to draw.")
    with style():
        figure = canvas(WIDE, 3.5)
        axes = figure.add_subplot()
        seconds = timed["seconds"].to_numpy(np.float64)
        axes.set_xscale("log")
        low, high = math.log10(seconds.min()), math.log10(seconds.max())
        margin = 0.08 * (high - low) or 0.5
        # More on the right, where most names go.
        axes.set_xlim(10 ** (low - margin), 10 ** (high + 1.6 * margin))
        if high - low < 1.5:
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
        else:
            axes.xaxis.set_major_locator(LogLocator(numticks=12))
        axes.xaxis.set_minor_formatter(NullFormatter())
        std = timed["std"].fillna(0).to_numpy(np.float64)
        accuracy = timed["accuracy"].to_numpy(np.float64)
        accuracy_axis(axes, "y", np.concatenate([accuracy - std, np.minimum(accuracy + std, 99.9)]))
        places = _draw(axes, timed)
        axes.set_xlabel("search time (s)")
        axes.set_ylabel(f"{title(dataset)} {split} accuracy (%)")
        _legend(axes, timed)
        below = _below(marks, timed, note)
        if below:
            figure.supxlabel(below, x=0.01, ha="left", fontsize=6.5, color=QUIET)
        _names(axes, timed, places)
    return figure


def data(cells: pd.DataFrame, *, dataset: str = "cifar10", split: str = "test") -> pd.DataFrame:
    """What `time` draws: a row (`COLUMNS`) a mark; `what` is `measured` or `published`, accuracy and std percent."""
    part = cells[(cells["dataset"] == dataset) & (cells["split"] == split) & (cells["quantity"] == "accuracy_percent")]
    found: list[dict[str, Any]] = []
    for row in part.to_dict("records"):
        for what, start in (("measured", ""), ("published", "published_")):
            if not pd.isna(row[what]):
                found.append(
                    {
                        "method": row["method"],
                        "n_samples": row["n_samples"],
                        "what": what,
                        "seconds": row[f"{start}seconds"],
                        "accuracy": row[what],
                        "std": row[f"{what}_std"],
                        "runs": row[f"{start}runs"],
                    }
                )
    table = pd.DataFrame(found, columns=COLUMNS)
    numbers = {name: pd.to_numeric(table[name]) for name in ("seconds", "accuracy", "std")}
    return table.assign(**numbers)


def _name(row: Any) -> str:
    if pd.isna(row.n_samples) or row.n_samples == "":
        return title(str(row.method))
    n = row.n_samples
    return f"{title(str(row.method))}, N = {n if isinstance(n, str) else int(n)}"


def _draw(axes: Axes, timed: pd.DataFrame) -> list[tuple[float, float, str]]:
    """Draw the marks; gives the place and name of each search, measured ones where there are such."""
    places: dict[str, tuple[float, float, str]] = {}
    ends: dict[str, list[tuple[float, float]]] = {}
    # The hollow ones first, so that nothing that was measured is covered.
    rows: list[Any] = sorted(timed.itertuples(), key=lambda row: row.what != "published")
    for row in rows:
        name = _name(row)
        face = accuracy_colour(row.accuracy) if row.what == "measured" else "white"
        bar = np.array([[row.std], [min(row.std, 99.9 - row.accuracy)]]) if np.isfinite(row.std) else None
        axes.errorbar(
            row.seconds,
            row.accuracy,
            yerr=bar,
            fmt="o",
            markersize=5,
            color=face,
            markeredgecolor=INK,
            markeredgewidth=0.7,
            ecolor="0.55",
            elinewidth=0.6,
            capsize=1.2,
            zorder=4 if row.what == "measured" else 3,
        )
        places[name] = (row.seconds, row.accuracy, name)
        ends.setdefault(name, []).append((row.seconds, row.accuracy))
    for line in ends.values():
        if len(line) > 1:
            axes.plot(
                *zip(*line, strict=True), color="0.7", linewidth=0.7, linestyle=(0, (2, 1.5)), zorder=1, gid="same"
            )
    return list(places.values())


def _legend(axes: Axes, timed: pd.DataFrame) -> None:
    notes = []
    for what, face in (("measured", accuracy_colour(93)), ("published", "white")):
        part = timed[timed["what"] == what]
        if len(part):
            known = pd.to_numeric(part["runs"]).dropna()
            n = "" if known.empty else f"{known.min():.0f}" if known.min() == known.max() else _range(known)
            runs = f" (mean of {n} runs ± std)" if n else ""
            mark: dict[str, Any] = {"marker": "o", "markersize": 5, "markeredgecolor": INK, "markeredgewidth": 0.7}
            notes.append(Line2D([], [], linestyle="none", color=face, label=what + runs, **mark))
    axes.legend(handles=notes, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, labelcolor=QUIET)


def _range(known: Any) -> str:
    return f"{known.min():.0f} to {known.max():.0f}"


def _below(marks: pd.DataFrame, timed: pd.DataFrame, note: str) -> str:
    names = [_name(row) for row in marks.itertuples()]
    shown = {_name(row) for row in timed.itertuples()}
    left_out = [name for name in dict.fromkeys(names) if name not in shown]
    told = [f"No seconds known, so not shown: {'; '.join(left_out)}."] if left_out else []
    return textwrap.fill(" ".join([*told, note]).strip(), 118)


def _names(axes: Axes, timed: pd.DataFrame, places: list[tuple[float, float, str]]) -> None:
    figure: Any = axes.figure
    figure.canvas.draw()
    # No name on a bar, or on a line between what was published and measured.
    std = timed["std"].fillna(0).to_numpy(np.float64)
    seconds, accuracy = timed["seconds"].to_numpy(np.float64), timed["accuracy"].to_numpy(np.float64)
    ends = [(seconds, accuracy - std), (seconds, np.minimum(accuracy + std, 99.9))]
    low, high = (axes.transData.transform(np.column_stack(end)) for end in ends)
    taken = [Bbox.from_extents(*(start - 2), *(end + 2)) for start, end in zip(low, high, strict=True)]
    for line in axes.lines:
        if line.get_gid() == "same":
            start, end = axes.transData.transform(line.get_xydata())
            # In pieces: the box of a slanted line is mostly empty.
            steps = np.linspace(start, end, 9)
            taken += [Bbox([np.minimum(*pair) - 1, np.maximum(*pair) + 1]) for pair in pairwise(steps)]
    x, y, names = zip(*places, strict=True)
    label_points(
        axes, x, y, _short(names), points=np.column_stack([seconds, accuracy]), obstacles=taken, all_of_them=True
    )


def _short(names: Sequence[str]) -> list[str]:
    """The names, where the second and further ones of a method with several N are only "N = 100"."""
    seen: set[str] = set()
    short = []
    for name in names:
        method, _, n = name.partition(", ")
        short.append(n if n and method in seen else name)
        seen.add(method)
    return short
