"""Figures that compare: proxies over spaces, and searches over runs.

In the style of `naswot_ext.figures`, and as there the same data gives the same bytes. Colours diverge from the value
that says nothing (a correlation of 0, a win rate of one half), blue above it and red below, which the colour-blind tell
apart; every cell has its number too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from naswot_ext.errors import NaswotError
from naswot_ext.figures import INK, MARK, QUIET, WIDE, canvas, check_split, split_of_each, style
from naswot_ext.statistics import MeanRanks, mean_ranks, search_tests, search_win_rates
from naswot_ext.statistics.comparison import accuracies
from naswot_ext.tables import accuracy_columns, title

FloatArray = NDArray[np.float64]

BASELINES = ("params", "flops")  # known without running the network

_COLOURS = mpl.colormaps["RdBu"]
BAR = "#4393c3"  # the map's blue
PLAIN = "0.7"
HATCH: dict[str, Any] = {"facecolor": "0.97", "edgecolor": "0.8", "hatch": "/////", "linewidth": 0}
MEASURE_TITLES = {
    "kendall": "Kendall τ",
    "spearman": "Spearman ρ",
    "weighted_tau": "weighted τ",
    "kendall_filtered": "Kendall τ, filtered",
    "partial_kendall": "Kendall τ given parameters",
    "partial_spearman": "Spearman ρ given parameters",
    "partial_pearson": "Pearson r given parameters",
}


def proxy_matrix(rows: pd.DataFrame, *, measure: str = "kendall", split: str = "test") -> Figure:
    """A measure of every proxy (row, best mean first) in every space, images and data set (column), as a heat-map.

    `rows` are those of correlations.csv, `measure` is one of `MEASURE_TITLES`. A data set without accuracies of `split`
    shows its other split. Hatched: not measured, or undefined (with a dash). The last column is the mean over what was
    measured. Raises NaswotError for an unknown split or measure, or no rows.
    """
    rows = _shown(rows, measure, split)
    columns = list(dict.fromkeys(zip(rows["space"], rows["scored_on"], rows["dataset"], rows["split"], strict=True)))
    # The columns of a space stand together, also where the first proxy lacks some.
    spaces = list(dict.fromkeys(rows["space"]))
    columns.sort(key=lambda column: spaces.index(column[0]))
    proxies = _best_first(rows, measure)
    cells = {(row.proxy, (row.space, row.scored_on, row.dataset, row.split)): row for row in rows.itertuples()}
    values = np.full((len(proxies), len(columns) + 1), np.nan)
    for i, proxy in enumerate(proxies):
        for j, column in enumerate(columns):
            if (proxy, column) in cells:
                values[i, j] = getattr(cells[proxy, column], measure)
        if not np.isnan(values[i, :-1]).all():
            values[i, -1] = np.nanmean(values[i, :-1])

    with style():
        cell = min(0.36, (WIDE - 1.2) / len(columns))
        labels = [_question(*column) for column in columns]
        height = 0.19 * len(proxies) + 0.5 + 0.05 * max(len(part) for label in labels for part in label.split("\n"))
        figure, axes = _one(1.2 + cell * (len(columns) + 1.4), height)
        # The mean stands apart.
        places = [*range(len(columns)), len(columns) + 0.4]
        for i, proxy in enumerate(proxies):
            for j, x in enumerate(places):
                value = values[i, j]
                if np.isnan(value) and j < len(columns):
                    undefined = (proxy, columns[j]) in cells
                    _hatched(axes, x, i, "–" if undefined else "")
                elif not np.isnan(value):
                    _cell(axes, x, i, value, value, _short(value), 5.5 if cell < 0.3 else 6)
        for j in range(1, len(columns)):
            if columns[j][0] != columns[j - 1][0]:
                axes.axvline(j - 0.5, color=INK, linewidth=0.6)
        _grid_axes(axes, places, [*labels, "mean"], [title(name) for name in proxies])
        notes = [Patch(label="not measured", **HATCH)] if len(cells) < len(proxies) * len(columns) else []
        _below(axes, f"{_capital(MEASURE_TITLES[measure])} of score and accuracy", notes)
    return figure


def proxy_bars(
    rows: pd.DataFrame, *, measure: str = "kendall", split: str = "test", baselines: Sequence[str] = BASELINES
) -> Figure:
    """A measure of every proxy in one space, as bars with intervals, best first; one panel a data set.

    `rows` are those of correlations.csv for one (space, scored_on). `baselines` are set apart, and the line is the best
    of them: what a proxy has to beat. A data set without accuracies of `split` shows its other split. A proxy whose
    measure is undefined says so. Raises NaswotError for an unknown split or measure, no rows, or several spaces.
    """
    rows = _shown(rows, measure, split)
    if len(rows[["space", "scored_on"]].drop_duplicates()) > 1:
        raise NaswotError("Bars are of one space scored on one data set. Draw one figure for each.")
    panels = list(dict.fromkeys(zip(rows["dataset"], rows["split"], strict=True)))
    with style():
        figure = canvas(3.25 * len(panels), 0.9 + 0.17 * rows["proxy"].nunique())
        for axes, (dataset, shown) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            part = rows[(rows["dataset"] == dataset) & (rows["split"] == shown)]
            _bars(axes, part.sort_values(measure, ascending=False, kind="stable"), measure, baselines)
            axes.set_xlabel(f"{_capital(MEASURE_TITLES[measure])}\nwith {title(dataset)} {shown} accuracy")
        space, scored_on = rows.iloc[0][["space", "scored_on"]]
        heading = f"{title(space)}, scored on {title(scored_on)}"
        figure.suptitle(heading, x=0.01, ha="left", fontsize=mpl.rcParams["axes.titlesize"])
    return figure


def search_ranks(
    searches: Mapping[str, pd.DataFrame], *, heading: str = "", split: str = "test", confidence: float = 0.95
) -> Figure:
    """Which searches find better architectures: critical-difference diagrams, one panel a data set.

    `searches` are the search tables by label. A dot is a search's mean rank over the runs that all share; the bar above
    is the critical difference of Nemenyi's test (Demsar, JMLR 2006), and searches that a line at the right joins are
    not told apart by it. Two searches are compared by the share of runs that each wins instead. A search with fewer
    runs than the most, or whose runs found nothing, would leave as few of all others: it is left out, and named below.
    A data set without accuracies of `split` shows its other split. Raises NaswotError for an unknown split, fewer than
    2 searches or no data set that all have.
    """
    panels = _common_accuracies(searches, split)
    with style():
        kept = {panel: _with_most_runs(searches, *panel) for panel in panels.items()}
        lines = [_left_out(searches, shared) for shared in kept.values()]
        sizes = [0.8 if len(shared) < 3 else 0.95 + 0.17 * len(shared) for shared in kept.values()]
        sizes = [size + 0.13 * (text.count("\n") + bool(text)) for size, text in zip(sizes, lines, strict=True)]
        # Long names take their room to the left of the axes.
        longest = max(len(name) for shared in kept.values() for name in shared)
        width = 3.25 if max(map(len, kept.values())) < 3 else max(4.4, 2.4 + 0.066 * longest)
        figure = canvas(width, sum(sizes) + (0.25 if heading else 0))
        all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=sizes)[:, 0]
        for axes, ((dataset, shown), shared), text in zip(all_axes, kept.items(), lines, strict=True):
            few = len(shared) < 3
            ranks = None if few else mean_ranks(shared, dataset, shown, confidence=confidence)
            if few:
                _wins(axes, shared, dataset, shown)
            elif ranks is None:
                axes.text(0.5, 0.5, "fewer than 2 runs in common", ha="center", color=QUIET, transform=axes.transAxes)
                axes.set_axis_off()
            else:
                _critical_difference(axes, ranks)
            if text:
                # Below the label of the axis, where there is one.
                below = (0, -2 if few or ranks is None else -28)
                where: dict[str, Any] = {
                    "xycoords": ("figure fraction", "axes fraction"),
                    "textcoords": "offset points",
                }
                axes.annotate(text, (0.02, 0), below, **where, va="top", fontsize=6, color=QUIET)
            axes.set_title(f"{title(dataset)} {shown}", fontsize=8)
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", fontsize=mpl.rcParams["axes.titlesize"])
    return figure


def search_wins(searches: Mapping[str, pd.DataFrame], *, heading: str = "", split: str = "test") -> Figure:
    """How often each search (row) finds a better architecture than another (column): heat-maps, one panel a data set.

    `searches` are the search tables by label; the overall winner comes first. A cell is the percentage of the runs that
    both have, ties counting half. A data set without accuracies of `split` shows its other split. Hatched: no run in
    common. Raises NaswotError for an unknown split, fewer than 2 searches or no data set that all have.
    """
    panels = _common_accuracies(searches, split)
    longest = 0.06 * max(map(len, searches))
    with style():
        side = 0.26 * len(searches)
        size = max(side + longest + 0.4, 3.25), (side * 0.75 + longest + 0.8) * len(panels)
        figure = canvas(*size)
        all_axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, (dataset, shown) in zip(all_axes, panels.items(), strict=True):
            counted = _win_rates(axes, searches, dataset, shown)
            _below(axes, f"{title(dataset)} {shown}: wins of the row over\nthe column, % of {counted}", [])
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", fontsize=mpl.rcParams["axes.titlesize"])
    return figure


def _shown(rows: pd.DataFrame, measure: str, split: str) -> pd.DataFrame:
    """The rows of the split that each (space, images, data set) shows."""
    check_split(split)
    if measure not in MEASURE_TITLES:
        raise NaswotError(f"Unknown measure {measure!r} for a figure. Known: {', '.join(MEASURE_TITLES)}.")
    if rows.empty:
        raise NaswotError("There are no correlations to draw.")
    splits = rows.groupby(["space", "scored_on", "dataset"], sort=False)["split"].agg(
        lambda known: split if split in set(known) else known.iloc[0]
    )
    wanted = [splits[key] for key in zip(rows["space"], rows["scored_on"], rows["dataset"], strict=True)]
    return rows[rows["split"] == np.array(wanted)]


def _best_first(rows: pd.DataFrame, measure: str) -> list[str]:
    means = rows.groupby("proxy", sort=False)[measure].mean()
    return [str(name) for name in means.sort_values(ascending=False, kind="stable", na_position="last").index]


def _question(space: str, scored_on: str, dataset: str, split: str) -> str:
    images = "" if scored_on == dataset else f", on {title(scored_on)}"
    return f"{title(space)}\n{title(dataset)} {split}{images}"


def _short(value: float) -> str:
    """.57, -.12, 1: as few characters as a narrow cell has room for."""
    text = f"{value:.2f}".replace("-0.00", "0.00")
    return text.replace("0.", ".", 1).replace("1.00", "1").replace("-", "−") if text != "0.00" else "0"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _one(width: float, height: float) -> tuple[Figure, Axes]:
    # Not narrower than what is written below.
    figure = canvas(max(width, 3.25), height)
    return figure, figure.add_subplot()


def _cell(axes: Axes, x: float, y: float, value: float, signed: float, text: str, size: float) -> None:
    """A square whose colour is of `signed`, from -1 to 1, and its text."""
    colour = _COLOURS((signed + 1) / 2)
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="white", linewidth=0.6))
    # Perceived lightness (Rec. 709), so that the number is read on any colour.
    light = np.dot(colour[:3], (0.2126, 0.7152, 0.0722))
    axes.text(x, y, text, ha="center", va="center_baseline", fontsize=size, color=INK if light > 0.45 else "white")


def _hatched(axes: Axes, x: float, y: float, text: str = "") -> None:
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **HATCH))
    axes.text(x, y, text, ha="center", va="center", fontsize=6, color=QUIET)


def _grid_axes(axes: Axes, places: Sequence[float], columns: list[str], rows: list[str]) -> None:
    axes.set_xlim(-0.5, places[-1] + 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(list(places), columns, rotation=90, fontsize=6, linespacing=1.15, multialignment="left")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _below(axes: Axes, text: str, notes: Sequence[Patch]) -> None:
    """What the cells are, below them since their labels are above; few cells are narrower than the text."""
    axes.set_xlabel(text, loc="right")
    if notes:
        axes.legend(handles=notes, loc="upper left", bbox_to_anchor=(0, 0), labelcolor=QUIET, handlelength=1.4)


def _bars(axes: Axes, part: pd.DataFrame, measure: str, baselines: Sequence[str]) -> None:
    found: list[Any] = list(part.itertuples())
    values = part[measure].to_numpy(np.float64)
    low, high = (part[f"{measure}_{end}"].to_numpy(np.float64) for end in ("low", "high"))
    plain = np.array([row.proxy in baselines for row in found])
    axes.barh(range(len(found)), np.nan_to_num(values), height=0.72, color=np.where(plain, PLAIN, BAR))
    known = ~np.isnan(low)
    # An interval of many draws may end on the wrong side of the value by rounding.
    reach = np.maximum([values - low, high - values], 0)[:, known]
    axes.errorbar(values[known], np.flatnonzero(known), xerr=reach, fmt="none", ecolor=INK, elinewidth=0.7, capsize=1.5)
    if (plain & ~np.isnan(values)).any():
        best = float(np.nanmax(values[plain]))
        axes.axvline(best, color=MARK, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.legend(
            handles=[Patch(color=PLAIN, label="baseline"), axes.lines[-1]],
            labels=["baseline", "best baseline"],
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            labelcolor=QUIET,
            handlelength=1.4,
        )
    ends = np.where(known, high, values)
    for y, (value, end) in enumerate(zip(values, ends, strict=True)):
        text = "undefined" if np.isnan(value) else f"{value:.2f}".replace("-", "−")
        place = max(end, 0) if value > 0 else 0
        axes.annotate(text, (place, y), (3, 0), textcoords="offset points", va="center", fontsize=6, color=QUIET)
    axes.set_yticks(range(len(found)), [title(row.proxy) for row in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.axvline(0, color=INK, linewidth=0.6)
    edges = np.concatenate([values, low, high, [0]])
    lowest, highest = float(np.nanmin(edges)), float(np.nanmax(edges))
    span = highest - lowest or 1
    axes.set_xlim(lowest - (0.04 * span if lowest < 0 else 0), highest + 0.18 * span)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _common_accuracies(searches: Mapping[str, pd.DataFrame], split: str) -> dict[str, str]:
    check_split(split)
    if len(searches) < 2:
        raise NaswotError("A comparison of searches needs at least 2 of them.")
    known = [accuracy_columns(table) for table in searches.values()]
    common = [pair for pair in known[0] if all(pair in columns for columns in known)]
    if not common:
        raise NaswotError("The searches have no accuracy of the same data set and split; there is nothing to compare.")
    return split_of_each(common, split)


def _with_most_runs(searches: Mapping[str, pd.DataFrame], dataset: str, split: str) -> dict[str, pd.DataFrame]:
    """The searches that found something and have as many runs as any of these; all where these are not two."""
    found = accuracies(searches, dataset, split)
    useful = {name: table for name, table in searches.items() if found[name].notna().any()}
    most = max(map(len, useful.values()), default=0)
    kept = {name: table for name, table in useful.items() if len(table) == most}
    return kept if len(kept) > 1 else dict(searches)


def _left_out(searches: Mapping[str, pd.DataFrame], kept: Mapping[str, pd.DataFrame]) -> str:
    names = "; ".join(name for name in searches if name not in kept)
    return textwrap.fill(f"without {names}: fewer runs", 70) if names else ""


def _critical_difference(axes: Axes, found: MeanRanks) -> None:
    ranks = found.ranks.to_numpy(np.float64)
    k = len(ranks)
    rows = np.arange(k)
    axes.hlines(rows, 1, ranks, color="0.85", linewidth=0.8)
    axes.plot(ranks, rows, marker="o", markersize=4, color=BAR, linestyle="none")
    for y, rank in enumerate(ranks):
        axes.annotate(
            f"{rank:.2f}", (rank, y), (5, 0), textcoords="offset points", va="center", fontsize=6, color=QUIET
        )
    axes.set_yticks(rows, [str(name) for name in found.ranks.index])
    furthest = max(float(ranks[-1]), 1 + found.critical_difference)
    axes.set_xlim(1 - 0.02 * (furthest - 1), furthest + 0.15 * (furthest - 1))
    axes.set_ylim(k - 0.4, -1.9)
    axes.set_xlabel(f"mean rank over {found.runs} runs")
    axes.plot([1, 1 + found.critical_difference], [-1.2, -1.2], color=MARK, linewidth=2, solid_capstyle="butt")
    text = f"critical difference {found.critical_difference:.2f}"
    place = 1 + found.critical_difference
    axes.annotate(text, (place, -1.2), (4, 0), textcoords="offset points", va="center", fontsize=6.5, color=INK)
    # Beside the axes, in lanes so that overlapping groups stay apart.
    places = {str(name): y for y, name in enumerate(found.ranks.index)}
    lanes: list[int] = []  # the last row that each lane is taken up to
    for clique in found.cliques:
        first, last = places[str(clique[0])], places[str(clique[-1])]
        lane = next((i for i, taken in enumerate(lanes) if taken < first), len(lanes))
        lanes[lane : lane + 1] = [last]
        x = 1.04 + 0.025 * lane
        axes.plot(
            [x, x],
            [first - 0.25, last + 0.25],
            transform=axes.get_yaxis_transform(),
            color=INK,
            linewidth=2.2,
            solid_capstyle="butt",
            clip_on=False,
            gid="clique",
        )
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _win_rates(axes: Axes, searches: Mapping[str, pd.DataFrame], dataset: str, split: str) -> str:
    """Draw one panel of `search_wins`; gives how many runs the cells are of."""
    rates = search_win_rates(searches, dataset, split)
    order = rates.mean(axis=1).sort_values(ascending=False, kind="stable").index
    values = rates.loc[order, order].to_numpy(np.float64)
    for i, j in np.argwhere(~np.eye(len(values), dtype=bool)).tolist():
        if np.isnan(values[i, j]):
            _hatched(axes, j, i)
        else:
            _cell(axes, j, i, values[i, j], 2 * values[i, j] - 1, f"{100 * values[i, j]:.0f}", 6)
    names = [str(name) for name in order]
    _grid_axes(axes, list(range(len(names))), names, names)
    known = accuracies(searches, dataset, split).notna().astype(int)
    shared = (known.T @ known).to_numpy()[~np.eye(len(names), dtype=bool)]
    fewest, most = int(shared.min()), int(shared.max())
    return f"{most} runs" if fewest == most else f"the {fewest} to {most} runs in common"


def _wins(axes: Axes, searches: Mapping[str, pd.DataFrame], dataset: str, split: str) -> None:
    tested: list[Any] = list(search_tests(searches, dataset, split).itertuples())
    row = tested[0]
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, 0.85)
    if not row.runs:
        axes.text(0.5, 0.5, "no runs in common", ha="center", va="center", color=QUIET)
        return
    shares = (row.win_rate, row.tie_rate, 1 - row.win_rate - row.tie_rate)
    start = 0.0
    for share, colour, inside in zip(shares, (BAR, "0.88", PLAIN), ("white", INK, INK), strict=True):
        axes.barh(0, share, left=start, height=0.6, color=colour)
        if share > 0.08:
            axes.text(start + share / 2, 0, f"{share:.0%}", ha="center", va="center", fontsize=7, color=inside)
        start += share
    axes.text(0, 0.4, str(row.search_a), va="bottom", fontsize=7)
    axes.text(1, 0.4, str(row.search_b), va="bottom", ha="right", fontsize=7)
    p = "< 0.001" if row.p < 0.001 else f"= {row.p:.3f}"
    told = f"wins in {row.runs} runs, ties in the middle; mean difference {row.mean_difference:+.2f}, p {p}"
    axes.text(0, -0.38, told.replace("-", "−"), va="top", fontsize=6, color=QUIET)
