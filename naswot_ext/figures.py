"""Figures for print: score against accuracy, and the accuracy that searches find.

Accuracies have one scale, logarithmic in the error (100 - accuracy), and one colour map on it, the same in every
figure: benchmark accuracies crowd just below the best, where the ranking is decided. Rank correlations do not depend
on the scale. The same data gives the same bytes.
"""

from __future__ import annotations

import math
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import FuncNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from naswot_ext.config import split_title
from naswot_ext.errors import NaswotError
from naswot_ext.files import atomic_path
from naswot_ext.statistics import Paired, pair
from naswot_ext.tables import interval, row_label, spread, title
from naswot_ext.truth import SPLITS, final_accuracies

FloatArray = NDArray[np.float64]

COLUMN = 3.25  # inches: one column of a two-column paper
WIDE = 6.875  # inches: both columns
_PANEL = (COLUMN, 2.75)
_LONGEST_NAME = 33  # characters beside the numbers of a panel
_SHEET_PANEL = (2.3, 2.35)
_SHEET_COLUMNS = 5
INK = "0.15"
QUIET = "0.4"
MARK = "#d55e00"  # not in the colour map, and told from it by the colour-blind
_MEAN: dict[str, Any] = {"marker": "|", "color": INK, "markeredgewidth": 1.6, "linestyle": "none"}
_PUBLISHED: dict[str, Any] = {
    "marker": "o",
    "markersize": 5,
    "color": MARK,
    "markerfacecolor": "none",
    "linestyle": "none",
}
_TICKS = (0, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 92, 94, 95, 96, 97, 98, 99)
# Nothing reads these but a person; a name and a date would make equal figures different files.
_METADATA = {".pdf": {"CreationDate": None, "Creator": None, "Producer": None}, ".png": {"Software": None}}


def _place(accuracy: ArrayLike) -> FloatArray:
    """Percent accuracy -> its place on the scale, 0 at 0% and one more for each tenth of the error; flat from 99.9%."""
    return 2 - np.log10(np.clip(100 - np.asarray(accuracy, dtype=np.float64), 0.1, None))


def _percent(place: ArrayLike) -> FloatArray:
    return 100 - 10 ** (2 - np.asarray(place, dtype=np.float64))


ACCURACY_COLOURS = FuncNorm((_place, _percent), vmin=0, vmax=97)  # of the style's colour map, image.cmap


def accuracy_colour(accuracy: float) -> tuple[float, float, float, float]:
    """The colour (RGBA) of a percent accuracy in every figure."""
    with style():
        return mpl.colormaps[mpl.rcParams["image.cmap"]](float(ACCURACY_COLOURS(accuracy)))


def scatter(
    scores: Sequence[pd.DataFrame], truth: pd.DataFrame, rows: pd.DataFrame, *, x_label: str, split: str = "test"
) -> Figure:
    """Score against accuracy, one panel a data set of the ground truth, for one (space, images, proxy).

    `scores` are the score tables (one an initialisation seed; the mean score is drawn) and `rows` the same proxy's
    rows from `tables.correlation_rows`, whose tau and counts the titles show. A data set without accuracies of
    `split` shows its other split. Singular architectures are marks on the left edge; failed ones are counted.
    Raises NaswotError for an unknown split or a ground truth without accuracies.
    """
    check_split(split)
    final = final_accuracies(truth)
    if not final:
        raise NaswotError("The ground truth has no accuracy to draw scores against.")
    with style():
        panels = split_of_each(final, split)
        figure, all_axes = _figure(len(panels), _PANEL[1])
        for axes, (dataset, shown) in zip(all_axes, panels.items(), strict=True):
            row = rows[(rows["dataset"] == dataset) & (rows["split"] == shown)].iloc[0]
            _scatter_panel(axes, pair(scores, final[dataset, shown]), row)
            axes.set_xlabel(f"{x_label}\nscored on {title(row.scored_on)}{scale_told(axes, 'x')}")
            axes.set_ylabel(accuracy_label(shown, dataset))
    return figure


class Scored(NamedTuple):
    """One space scored on one data set: score tables (one a seed), ground truth, rows of `tables.correlation_rows`.

    `filter_below` is the percent accuracy that the rows' `kendall_filtered` is from; NaN where it is not known.
    """

    scores: Sequence[pd.DataFrame]
    truth: pd.DataFrame
    rows: pd.DataFrame
    filter_below: float = math.nan


def sheet(scored: Sequence[Scored], published: pd.DataFrame, *, x_label: str, split: str = "test") -> Figure:
    """Score against accuracy of one proxy, a panel for each space and data set, all on one sheet.

    First the ten panels of Mellor et al. (ICML 2021), figure 3, of which those without ground truth in `scored` say
    so; then the data sets of the other spaces. A space that was scored on several data sets shows the scores on the
    one of the panel where there are such, else the first. Raises NaswotError for an unknown split.
    """
    paper = published[(published["table"] == "figure3") & (published["measure"] == "kendall_tau")]
    wanted = [(str(row.space), str(row.dataset)) for row in paper.drop_duplicates(["space", "dataset"]).itertuples()]
    others = dict.fromkeys((str(row.space), str(row.dataset)) for part in scored for row in part.rows.itertuples())
    wanted += [panel for panel in others if panel[0] not in set(paper["space"])]
    return panel_sheet(wanted, scored, x_label=x_label, split=split)


def panel_sheet(
    panels: Sequence[tuple[str, str]],
    scored: Sequence[Scored],
    *,
    x_label: str,
    split: str = "test",
    reasons: Mapping[tuple[str, str], str] = MappingProxyType({}),
    columns: int = _SHEET_COLUMNS,
    size: tuple[float, float] = _SHEET_PANEL,
    keep: int | None = None,
    describe: Callable[[Scored, Any], str] | None = None,
    beside: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> Figure:
    """Score against accuracy, a panel for each (space, data set) of `panels`, in rows of `columns`.

    A panel of which `scored` has no ground truth says why, by `reasons` or in general. `size` is that of a panel in
    inches; of more than `keep` architectures, that many (see `drawn`) are drawn. `describe` makes the title from a
    part of `scored` and its row of `tables.correlation_rows`; `beside` is what the title of an empty panel says
    besides its name. Raises NaswotError for an unknown split or no panels.
    """
    check_split(split)
    text_size = 7.5 if describe is None else 6.5
    if not panels:
        raise NaswotError("A sheet needs at least one panel to draw.")
    with style():
        rows = math.ceil(len(panels) / columns)
        figure = canvas(columns * size[0], rows * size[1])
        all_axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, (space, dataset) in zip(all_axes, panels, strict=False):
            found = scored_for(scored, space, dataset, split)
            if found is None:
                reason = reasons.get((space, dataset), "no ground truth in this run")
                wrapped = wrap(reason, int(13 * size[0]))
                lines = [title(space), title(dataset), beside.get((space, dataset), "")]
                absent_panel(axes, "\n".join(filter(None, lines)), wrapped, text_size)
                continue
            part, row = found
            paired = pair(part.scores, final_accuracies(part.truth)[row.dataset, row.split])
            draw_scores(axes, drawn(paired, keep))
            axes.set_xlabel(f"scored on {title(row.scored_on)}{scale_told(axes, 'x')}")
            # A panel is lower than the label is long.
            axes.set_ylabel(accuracy_label(row.split).replace(" (", "\n("))
            heading = _panel_title(row) if describe is None else describe(part, row)
            axes.set_title(heading, fontsize=text_size, pad=4)
        for axes in all_axes[len(panels) :]:
            axes.set_axis_off()
        figure.supxlabel(x_label, fontsize=9)
    return figure


def _panel_title(row: Any) -> str:
    beside = "" if np.isnan(row.published_kendall) else f" (published {row.published_kendall:g})"
    return f"{title(row.space)}\n{title(row.dataset)}, {counts(row)}\nτ = {tau_text(row)}{beside}"


def counts(row: Any) -> str:
    """How many architectures a row of `tables.correlation_rows` is of: "n = 59, 1 singular, 1 failed"."""
    found = [f"n = {row.architectures}"]
    found += [f"{n} {word}" for word, n in (("singular", row.singular), ("failed", row.failed)) if n]
    return ", ".join(found)


def drawn(paired: Paired, keep: int | None) -> Paired:
    """What a panel draws: all, or `keep` architectures at random, the same ones each time."""
    n = len(paired.accuracy)
    if keep is None or n <= keep:
        return paired
    chosen = np.sort(np.random.default_rng(0).choice(n, keep, replace=False))
    return replace(
        paired,
        arch_index=paired.arch_index[chosen],
        scores=paired.scores[:, chosen],
        accuracy=paired.accuracy[chosen],
        params=None if paired.params is None else paired.params[chosen],
    )


def search_figure(tables: Sequence[pd.DataFrame], rows: Sequence[pd.DataFrame], *, split: str = "test") -> Figure:
    """The accuracy that each run of each search found, one panel a data set, searches sorted by their mean.

    `tables` are the search tables of one (space, images) and `rows` those of `tables.search_rows`, in the same order.
    A dot is a run; the bar is their mean, the hollow mark the published mean. A data set without accuracies of
    `split` shows its other split. Raises NaswotError for an unknown split or where no run found an architecture.
    """
    check_split(split)
    every = pd.concat(list(rows), keys=range(len(rows)), names=["search"]).reset_index(level="search")
    every = every[every["runs"] > 0]
    if every.empty:
        raise NaswotError("No run of any search found an architecture; there is nothing to draw.")
    panels = split_of_each(list(zip(every["dataset"], every["split"], strict=True)), split)
    with style():
        figure, all_axes = _figure(len(panels), 0.9 + 0.36 * len(tables))
        for axes, (dataset, shown) in zip(all_axes, panels.items(), strict=True):
            part = every[(every["dataset"] == dataset) & (every["split"] == shown)].sort_values("mean", kind="stable")
            _search_panel(axes, [tables[i][f"{dataset}_{shown}"].dropna() for i in part["search"]], part)
            axes.set_xlabel(accuracy_label(shown, dataset))
    return figure


def save(figure: Figure, *paths: str | os.PathLike[str], dpi: int = 150) -> None:
    """Write a figure to .pdf or .png files, each at once or not at all."""
    with style():
        for path in paths:
            with atomic_path(path) as temporary:
                figure.savefig(temporary, dpi=dpi, metadata=_METADATA[Path(path).suffix])


def canvas(width: float, height: float) -> Figure:
    """An empty figure of a size in inches."""
    # No pyplot: it would keep the figure in a global list and choose a backend for the whole process.
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


@contextmanager
def style() -> Iterator[None]:
    """The project's style over matplotlib's defaults, whatever the user's own settings are."""
    with mpl.style.context(Path(__file__).with_suffix(".mplstyle"), after_reset=True):
        yield


def _figure(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = canvas(_PANEL[0] * panels, height)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def check_split(split: str) -> None:
    """Raises NaswotError for a split that the ground truth cannot have."""
    if split not in SPLITS:
        raise NaswotError(f"Unknown split {split!r} for a figure. Known: {', '.join(SPLITS)}.")


def split_of_each(known: Any, wanted: str) -> dict[str, str]:
    """{data set: `wanted`, or the split that it has}, in the order of `known` (data set, split) pairs."""
    known = list(known)
    return {dataset: wanted if (dataset, wanted) in known else split for dataset, split in known}


def _scatter_panel(axes: Axes, paired: Paired, row: Any) -> None:
    notes = draw_scores(axes, paired)
    if row.failed:
        notes.append(Line2D([], [], linestyle="none", label=f"{row.failed} failed"))
    if not np.isnan(row.published_kendall):
        notes.append(Line2D([], [], linestyle="none", label=f"published τ = {row.published_kendall:g}"))
    heading = f"{title(row.space)}, {title(row.dataset)}\nKendall τ = {tau_text(row)}, n = {row.architectures}"
    _heading(axes, heading, notes)


def tau_text(row: Any) -> str:
    """Kendall's tau of a row of `tables.correlation_rows` with its interval, "undefined" where it is."""
    return interval(row.kendall, row.kendall_low, row.kendall_high, digits=2) or "undefined"


def draw_scores(axes: Axes, paired: Paired) -> list[Line2D]:
    """A dot an architecture, singular ones on the left edge; the notes that explain the marks."""
    score, accuracy = paired.scores.mean(axis=0), paired.accuracy
    finite = np.isfinite(score)
    n = len(score)
    marks: dict[str, Any] = {"c": accuracy[finite], "norm": ACCURACY_COLOURS, "linewidths": 0, "alpha": 0.8}
    axes.scatter(score[finite], accuracy[finite], s=np.clip(6000 / max(n, 1), 2, 12), rasterized=n > 3000, **marks)
    score_axis(axes, "x", score[finite])
    if not finite.any():
        axes.set_xticks([])
    if n:
        accuracy_axis(axes, "y", accuracy)

    notes = []
    if (~finite).any():
        # On the edge whatever the limits are: x in parts of the axes' width, y in percent.
        on_edge = axes.get_yaxis_transform()
        edge: dict[str, Any] = {"marker": ">", "color": MARK, "markersize": 4, "linestyle": "none", "clip_on": False}
        axes.plot(np.zeros((~finite).sum()), accuracy[~finite], transform=on_edge, gid="singular", **edge)
        notes.append(Line2D([], [], label=f"{(~finite).sum()} singular", **edge))
    return notes


def scored_for(scored: Sequence[Scored], space: str, dataset: str, split: str) -> tuple[Scored, Any] | None:
    """What a panel of the sheet shows, and its row; None where nothing of `scored` has its ground truth."""
    # Imagenette stands in for the images of ImageNet, which the networks were trained on.
    trained_on = {dataset, "imagenet"} if dataset == "imagenette2" else {dataset}
    found: list[tuple[bool, Scored, Any]] = []
    for part in scored:
        rows = part.rows[(part.rows["space"] == space) & part.rows["dataset"].isin(trained_on)]
        rows = rows[rows["architectures"] > 0]
        if len(rows):
            row = (rows[rows["split"] == split] if (rows["split"] == split).any() else rows).iloc[0]
            found.append((row["scored_on"] != dataset, part, row))
    return min(found, key=lambda item: item[0])[1:] if found else None


def wrap(text: str, width: int, lines: int = 8) -> str:
    """Text in at most `lines` lines of `width` characters; paths and names of files may break behind / and _."""
    # A vertical tab is white space, so a place to break, that can be told from a space afterwards.
    breakable = re.sub("([/_])", "\\1\v", text)
    options: dict[str, Any] = {"break_on_hyphens": False, "replace_whitespace": False, "expand_tabs": False}
    return textwrap.fill(breakable, width, max_lines=lines, placeholder=" …", **options).replace("\v", "")


def absent_panel(axes: Axes, heading: str, reason: str, size: float | None = None) -> Text:
    """An empty, dashed panel that says why it is empty; its heading in points, by default as the style has it.

    Gives the heading.
    """
    shown = axes.set_title(heading, color=QUIET, fontsize=size, pad=4)
    axes.text(0.5, 0.5, reason, ha="center", va="center", fontsize=7, color=QUIET, transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color="0.85", linestyle=(0, (4, 4)))
    return shown


def _search_panel(axes: Axes, found: Sequence[pd.Series], part: pd.DataFrame) -> None:
    jitter = np.random.default_rng(0)
    searches: list[Any] = list(part.itertuples())
    for y, (values, row) in enumerate(zip(found, searches, strict=True)):
        # The dots fill the lower part of a row of height 1, its label stands above them.
        heights = y + jitter.uniform(-0.2, 0.2, len(values))
        axes.scatter(values, heights, c=values, norm=ACCURACY_COLOURS, s=4, linewidths=0, alpha=0.5, clip_on=False)
        axes.plot(row.mean, y, markersize=14, **_MEAN)
        if not np.isnan(row.published_mean):
            axes.plot(row.published_mean, y, **_PUBLISHED)
        for x, text, side in ((0, row_label(row), "left"), (1, spread(row.mean, row.std), "right")):
            # A long name must not reach the numbers.
            size = min(7.0, 7.0 * _LONGEST_NAME / max(len(text), 1))
            axes.text(x, y + 0.48, text, ha=side, va="center", fontsize=size, transform=axes.get_yaxis_transform())
    published = part["published_mean"].dropna().to_numpy(np.float64)
    accuracy_axis(axes, "x", np.concatenate([*found, published]))
    axes.set_ylim(-0.45, len(part) - 0.3)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    fewest, most = part["runs"].min(), part["runs"].max()
    count = f"{most}" if fewest == most else f"{fewest} to {most}"
    notes = [Line2D([], [], label=f"mean of {count} runs", markersize=8, **_MEAN)]
    if part["published_mean"].notna().any():
        notes.append(Line2D([], [], label="published mean", **_PUBLISHED))
    first = part.iloc[0]
    _heading(axes, f"{title(first['space'])}, scored on {title(first['scored_on'])}", notes)


def _heading(axes: Axes, text: str, notes: Sequence[Line2D]) -> None:
    """The title, and below it one line of notes, outside the axes so that they never cover data."""
    axes.set_title(text, pad=17 if notes else 5)
    if notes:
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": len(notes)}
        # The title's pad keeps the room for it; in the layout, a long line would narrow the axes.
        axes.legend(handles=notes, **place, labelcolor=QUIET).set_in_layout(False)


def accuracy_label(split: str, dataset: str = "") -> str:
    """What an axis of `accuracy_axis` is called: whose accuracy, and that its scale is not linear."""
    return f"{title(dataset)} {split_title(split)} accuracy (%, log error)".strip()


def scale_told(axes: Axes, which: str) -> str:
    """What the label of the "x" or "y" axis of scores says of its scale, once `score_axis` has chosen it."""
    return "" if getattr(axes, f"get_{which}scale")() == "linear" else ", log scale"


def score_axis(axes: Axes, which: str, score: FloatArray) -> None:
    """Scale and numbers of the "x" or "y" axis, which shows finite scores of any size and sign.

    Logarithmic, also for negative scores, where a linear axis would crowd most of them at one end; the label should
    say so, see `scale_told`. It has at least three numbers.
    """
    axis = getattr(axes, f"{which}axis")
    set_scale, set_limits = (getattr(axes, f"set_{which}{part}") for part in ("scale", "lim"))
    if _spans_decades(score):
        set_scale("log")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    elif _spans_decades(-score):
        low, high = math.log10(-score.max()), math.log10(-score.min())
        margin = 0.04 * (high - low)
        set_scale(
            "function", functions=(lambda x: -np.log10(np.maximum(-x, 1e-300)), lambda y: -(10 ** -np.asarray(y)))
        )
        set_limits(-(10 ** (high + margin)), -(10 ** (low - margin)))
        # About five numbers, whatever the span.
        steps = (1, 2, 5) if high - low < 2 else (1, 3) if high - low < 3.5 else (1,)
        ticks = [-step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
        axis.set_ticks([tick for tick in ticks if low - margin <= math.log10(-tick) <= high + margin])
    elif len(score):
        axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 4, 5, 10], min_n_ticks=3))
    if len(score) and np.abs(score).max() >= 10_000:
        # 200k, 1M: long numbers would run into each other.
        axis.set_major_formatter(EngFormatter(sep=""))


def _spans_decades(values: FloatArray) -> bool:
    """Whether positive values spread so far that a linear axis would crowd most of them at its start."""
    if len(values) == 0 or values.min() <= 0:
        return False
    low, high = np.quantile(values, [0.05, 0.95])
    return bool(high > 5 * low)


def accuracy_axis(axes: Axes, which: str, accuracy: FloatArray) -> None:
    """Scale, limits and ticks of the "x" or "y" axis, which shows accuracies in percent; at least one."""
    set_scale, set_limits, set_ticks = (getattr(axes, f"set_{which}{part}") for part in ("scale", "lim", "ticks"))
    low, high = _place(accuracy.min()), _place(accuracy.max())
    margin = 0.04 * (high - low) or 0.1
    set_scale("function", functions=(_place, _percent))
    set_limits(_percent(low - margin), _percent(high + margin))
    # Where accuracies lie so close together that fewer than three of these show, the scale is in finer steps.
    finer = (np.arange(0, 99.9, step).tolist() for step in (5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01))
    for steps in (_TICKS, *finer):
        ticks: list[float] = []
        apart = (0.08 if steps is _TICKS else 0.2) * (high - low)
        for tick in reversed(steps):
            inside = low - margin <= _place(tick) <= high + margin
            if inside and (not ticks or _place(ticks[-1]) - _place(tick) > apart):
                ticks.append(float(tick))
        if len(ticks) > 2:
            break
    set_ticks(ticks, [f"{tick:.4g}" for tick in ticks])
