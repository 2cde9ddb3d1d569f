"""Kendall's tau of several proxies in several spaces, as grouped bars: Mellor et al. (ICML 2021), figure 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from naswot_ext.config import split_title
from naswot_ext.errors import NaswotError
from naswot_ext.figures import COLUMN, INK, MARK, QUIET, canvas, check_split, style, wrap
from naswot_ext.tables import title

# Of Okabe and Ito, told apart by the colour-blind; none is of the accuracies' scale or the marks of what is published.
_COLOURS = ("#0072b2", "#999999", "#cc79a7", "#56b4e9", "#009e73", "#f0e442")
_PUBLISHED: dict[str, Any] = {"marker": "o", "markersize": 4, "color": MARK, "markerfacecolor": "none"}


def bars(
    rows: pd.DataFrame,
    spaces: Sequence[str],
    proxies: Sequence[str],
    *,
    dataset: str = "cifar10",
    split: str = "test",
    reasons: Mapping[str, str] = MappingProxyType({}),
) -> Figure:
    """Kendall's tau with interval of each of `proxies`, in the order given, in each of `spaces`.

    `rows` are those of correlations.csv; a space whose scores are of several data sets shows those of `dataset` where
    there are such. The tau is `kendall_filtered`, without the networks that the papers' code leaves out, as is the
    published one, the hollow mark. A space without any row says why, by `reasons`; a proxy without one in a space, "not
    measured". Where only the other split is known it is shown, and said.
    Raises NaswotError for an unknown split, or nothing to draw.
    """
    check_split(split)
    if not spaces or not proxies:
        raise NaswotError("Bars need at least one space and one proxy to draw.")
    found = data(rows, spaces, proxies, dataset=dataset, split=split)
    why = {space: wrap(reasons.get(space, "not measured"), 50, 2) for space in spaces}
    heights = [len(proxies) if (found["space"] == space).any() else 1 + why[space].count("\n") for space in spaces]
    with style():
        figure = canvas(COLUMN, 0.9 + 0.16 * sum(heights) + 0.24 * len(spaces))
        axes = figure.add_subplot()
        top, ticks, published = 0.0, [], False
        for space, height in zip(spaces, heights, strict=True):
            part = {row.proxy: row for row in found[found["space"] == space].itertuples()}
            # On white, so that no line of the grid goes through it.
            place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "zorder": 3}
            white = {"facecolor": "white", "linewidth": 0, "pad": 0.5}
            axes.text(0, top, _heading(space, part, split), fontsize=7, bbox=white, **place)
            top += 1.05
            if not part:
                # The first of its lines where a bar would be.
                place["va"] = "top"
                axes.text(0.02, top - 0.4, why[space], color=QUIET, fontsize=6.5, bbox=white, **place)
            for i, proxy in enumerate(proxies if part else ()):
                ticks.append((top + i, title(proxy)))
                published |= _bar(axes, top + i, part.get(proxy), _COLOURS[i % len(_COLOURS)])
            top += height + 0.5
        axes.set_yticks([place for place, _ in ticks], [name for _, name in ticks], fontsize=6.5)
        axes.set_ylim(top - 0.7, -0.6)
        _limits(axes, found)
        axes.axvline(0, color=INK, linewidth=0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        told = "without the least accurate networks,\nas in the papers' code"
        axes.set_xlabel(f"Kendall τ of score and {title(dataset)} accuracy,\n{told}")
        if published:
            note = Line2D([], [], linestyle="none", label="published", **_PUBLISHED)
            axes.legend(handles=[note], loc="lower right", bbox_to_anchor=(1, 1), labelcolor=QUIET)
    return figure


def data(
    rows: pd.DataFrame, spaces: Sequence[str], proxies: Sequence[str], *, dataset: str = "cifar10", split: str = "test"
) -> pd.DataFrame:
    """The rows of correlations.csv that `bars` draws, at most one a space and proxy, in its order."""
    parts = []
    for space in spaces:
        for proxy in proxies:
            part = rows[(rows["space"] == space) & (rows["proxy"] == proxy) & (rows["dataset"] == dataset)]
            part = part[part["architectures"] > 0]
            # Its own images first, then the split that was asked for.
            order = np.lexsort((part["split"] != split, part["scored_on"] != dataset))
            parts.append(part.iloc[order[:1]])
    return pd.concat(parts, ignore_index=True) if parts else rows.iloc[:0]


def _heading(space: str, part: Mapping[Any, Any], split: str) -> str:
    if not part:
        return title(space)
    known = [row.filtered_architectures for row in part.values() if np.isfinite(row.kendall_filtered)]
    # Of scores without any tau, what they are of.
    sizes = sorted({int(n) for n in known or [row.architectures for row in part.values()]})
    n = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    others = sorted({row.split for row in part.values()} - {split})
    return ", ".join([title(space), f"n = {n}", *(f"{split_title(other)} accuracy" for other in others)])


def _bar(axes: Axes, y: float, row: Any, colour: str) -> bool:
    """Draw one bar with its interval and number; whether there is a published value beside it."""
    text, end = "not measured", 0.0
    if row is not None and np.isnan(row.kendall_filtered):
        text = "undefined"
    elif row is not None:
        tau, low, high = row.kendall_filtered, row.kendall_filtered_low, row.kendall_filtered_high
        axes.barh(y, tau, height=0.8, color=colour)
        text, end = f"{tau:.2f}".replace("-", "−"), max(tau, 0.0)
        if np.isfinite(low):
            # An interval of many draws may end on the wrong side of the value by rounding.
            reach = np.maximum([[tau - low], [high - tau]], 0)
            axes.errorbar(tau, y, xerr=reach, fmt="none", ecolor=INK, elinewidth=0.7, capsize=1.5)
            end = max(end, high)
    published = row is not None and np.isfinite(row.published_kendall)
    if published:
        axes.plot(row.published_kendall, y, **_PUBLISHED)
        end = max(end, row.published_kendall)
    offset = 5 if published else 3
    axes.annotate(text, (end, y), (offset, 0), textcoords="offset points", va="center", fontsize=6.5, color=QUIET)
    return published


def _limits(axes: Axes, found: pd.DataFrame) -> None:
    drawn = [*(f"kendall_filtered{end}" for end in ("", "_low", "_high")), "published_kendall"]
    values = found[drawn].to_numpy(np.float64).ravel()
    values = np.append(values[np.isfinite(values)], [0.0])
    low, high = float(values.min()), float(values.max())
    span = high - low or 1
    axes.set_xlim(low - (0.04 * span if low < 0 else 0), high + 0.16 * span)
