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

from naswot_ext.config import split_title
from naswot_ext.errors import NaswotError
from naswot_ext.figures import (
    INK,
    QUIET,
    WIDE,
    accuracy_axis,
    accuracy_colour,
    accuracy_label,
    canvas,
    check_split,
    style,
)
from naswot_ext.papers.figures.labels import label_points
from naswot_ext.papers.live import LIVE, LOOKED_UP
from naswot_ext.tables import title

COLUMNS = ["method", "n_samples", "what", "seconds", "seconds_are", "accuracy", "std", "runs"]
PUBLISHED = "published"
# By what their seconds are: how marks look, and what the legend calls them.
_MARKS = {
    LIVE: ("o", "measured, live seconds"),
    LOOKED_UP: ("s", "measured, looked-up seconds"),
    PUBLISHED: ("o", PUBLISHED),
}


def time(cells: pd.DataFrame, *, dataset: str = "cifar10", split: str = "test", note: str = "") -> Figure:
    """A filled mark a measured search and a hollow one a published: seconds (logarithmic) against accuracy.

    `cells` are those of the paper's table of searches (`naswot_ext.papers.cells.COLUMNS`, and `seconds_are` of
    `naswot_ext.papers.live`, by default looked up, square marks). Bars are the standard deviation over runs; a grey
    line joins what was published and measured of the same search. Methods that have no place here are named below with
    the reason. `note` is said below, too. Raises NaswotError for an unknown split or where no cell has seconds.
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
        axes.set_ylabel(accuracy_label(split, dataset))
        _legend(axes, timed)
        below = _below(marks, _elsewhere(cells, marks), f"{title(dataset)} {split_title(split)}", note)
        if below:
            figure.supxlabel(below, x=0.01, ha="left", fontsize=6.5, color=QUIET)
        _names(axes, timed, places)
    return figure


def data(cells: pd.DataFrame, *, dataset: str = "cifar10", split: str = "test") -> pd.DataFrame:
    """What `time` draws: a row (`COLUMNS`) a mark; `what` is `measured` or `published`, accuracy and std percent.

    `seconds_are` "live", "looked up" or "published"; empty where there are none.
    """
    part = cells[(cells["dataset"] == dataset) & (cells["split"] == split) & (cells["quantity"] == "accuracy_percent")]
    found: list[dict[str, Any]] = []
    for row in part.to_dict("records"):
        for what, start in (("measured", ""), ("published", "published_")):
            if not pd.isna(row[what]):
                seconds = row[f"{start}seconds"]
                known = PUBLISHED if what == PUBLISHED else row.get("seconds_are", LOOKED_UP)
                found.append(
                    {
                        "method": row["method"],
                        "n_samples": row["n_samples"],
                        "what": what,
                        "seconds": seconds,
                        "seconds_are": "" if pd.isna(seconds) else known,
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
            fmt=_MARKS[row.seconds_are][0],
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
    for known, (marker, label) in _MARKS.items():
        part = timed[timed["seconds_are"] == known]
        if len(part):
            runs = pd.to_numeric(part["runs"]).dropna()
            n = "" if runs.empty else f"{runs.min():.0f}" if runs.min() == runs.max() else _range(runs)
            told = f" ({n} runs)" if n else ""
            mark: dict[str, Any] = {"marker": marker, "markersize": 5, "markeredgecolor": INK, "markeredgewidth": 0.7}
            face = "white" if known == PUBLISHED else accuracy_colour(93)
            notes.append(Line2D([], [], linestyle="none", color=face, label=label + told, **mark))
    axes.legend(handles=notes, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, labelcolor=QUIET)


def _range(known: Any) -> str:
    return f"{known.min():.0f} to {known.max():.0f}"


def _elsewhere(cells: pd.DataFrame, marks: pd.DataFrame) -> list[str]:
    """The searches of the table that have accuracies there, but not the one that is drawn."""
    part = cells[(cells["quantity"] == "accuracy_percent") & (cells["measured"].notna() | cells["published"].notna())]
    here = {_name(row) for row in marks.itertuples()}
    return [name for name in dict.fromkeys(_name(row) for row in part.itertuples()) if name not in here]


def _below(marks: pd.DataFrame, elsewhere: Sequence[str], accuracy: str, note: str) -> str:
    """What the marks do not tell, and which searches have none, with the reason."""
    most: dict[str, float] = {}
    rows: list[Any] = list(marks.itertuples())
    for row in rows:
        most[_name(row)] = np.fmax(most.get(_name(row), np.nan), row.seconds)
    reasons = {
        "no seconds known": [name for name, seconds in most.items() if np.isnan(seconds)],
        "0 seconds, for which this axis has no place": [name for name, seconds in most.items() if seconds == 0],
        f"no {accuracy} accuracy in the paper's table": elsewhere,
    }
    left_out = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items() if names)
    told = ["Marks: mean over runs; bars: ± standard deviation."]
    told += [note] if note else []
    if (marks["seconds_are"] == LOOKED_UP).any():
        told.append("Looked-up seconds: of the benchmark's trainings, or of scoring when the scores were made.")
    told += [f"Not shown: {left_out}."] if left_out else []
    return textwrap.fill(" ".join(told), 130)


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
