"""Histograms of the correlations of Jacobians over all pairs of images: arXiv v1 (2020), figure 1."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from naswot_ext.errors import NaswotError
from naswot_ext.figures import INK, QUIET, WIDE, accuracy_colour, canvas, style


def histograms(table: pd.DataFrame, *, accuracy: str = "") -> Figure:
    """A column a band of accuracy, a network a histogram of its untrained correlations, coloured by its accuracy.

    `table` has `arch_index`, `arch`, `accuracy` (percent), `band` (text), `low`, `high` (of a bin) and `count` (pairs
    of images). Each histogram has its own height, as in the paper. `accuracy` says which it is, such as "CIFAR-10
    validation". Raises NaswotError where there is no network.
    """
    if table.empty:
        raise NaswotError("There are no correlations of Jacobians to draw.")
    networks = table.drop_duplicates("arch_index").sort_values(["accuracy", "arch_index"])
    bands = [(str(band), part) for band, part in networks.groupby("band", sort=False)]
    rows = max(len(part) for _, part in bands)
    low, high = float(table["low"].min()), float(table["high"].max())
    with style():
        width = min(WIDE, 0.3 + 1.4 * max(len(bands), 2))
        figure = canvas(width, 0.85 + 0.62 * rows)
        grid = figure.subplots(rows, len(bands), squeeze=False, sharex=True)
        for i, (band, part) in enumerate(bands):
            drawn = [table[table["arch_index"] == index] for index in part["arch_index"]]
            for j in range(rows):
                if j < len(drawn):
                    _draw(grid[j, i], drawn[j])
                else:
                    grid[j, i].set_axis_off()
                grid[j, i].set_xlim(low, high)
            last = grid[len(drawn) - 1, i]
            last.tick_params(labelbottom=True)
            last.set_xticks([low, 0, high] if low < 0 < high else [low, high])
            grid[0, i].set_title(band, loc="center", fontsize=7.5)
        pairs = table.groupby("arch_index")["count"].sum()
        least, most = int(pairs[pairs > 0].min() if pairs.any() else 0), int(pairs.max())
        counted = f"{most}" if least == most else f"{least} to {most}"
        between = " " if width > 5 else "\n"
        label = f"correlation of the Jacobians of two images{between}({counted} pairs a network)"
        figure.supxlabel(label, fontsize=8)
        figure.supylabel("pairs of images", fontsize=8)
        n = len(networks)
        told = [f"{n} untrained network{'s' * (n != 1)}, each histogram to its own scale"]
        told += [f"columns and percentages: {accuracy} accuracy"] if accuracy else []
        # In lines, as far as the figure is wide.
        text = "; ".join(told) if width > 5 else ";\n".join(told)
        figure.suptitle(text, x=0.01, ha="left", fontsize=7, color=QUIET)
    return figure


def _draw(axes: Axes, part: pd.DataFrame) -> None:
    part = part.sort_values("low")
    accuracy = float(part["accuracy"].iloc[0])
    counts = part["count"].to_numpy(np.float64)
    axes.stairs(counts, [*part["low"], part["high"].iloc[-1]], fill=True, color=accuracy_colour(accuracy))
    axes.stairs(counts, [*part["low"], part["high"].iloc[-1]], color=INK, linewidth=0.4)
    if not counts.any():
        axes.text(
            0.5, 0.35, "no correlation\nis defined", transform=axes.transAxes, ha="center", va="center", fontsize=6.5
        )
    # Room for the accuracy above.
    axes.set_ylim(0, max(counts.max() * 1.3, 1e-9))
    axes.set_yticks([])
    axes.tick_params(labelbottom=False)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.text(0.98, 1.0, f"{accuracy:.1f} %", transform=axes.transAxes, ha="right", va="top", fontsize=6.5, color=QUIET)
