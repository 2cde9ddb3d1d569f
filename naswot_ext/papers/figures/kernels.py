"""Normalised kernels of untrained networks as heat maps: Mellor et al. (ICML 2021), figure 1.

Element (i, j) of K / N_A is the share of the N_A rectified units whose codes agree for images i and j.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from naswot_ext.errors import NaswotError
from naswot_ext.figures import QUIET, WIDE, absent_panel, accuracy_colour, canvas, style, wrap
from naswot_ext.tables import title

COLUMNS = ["space", "band", "arch_index", "arch", "accuracy", "units", "row"]
_MAP = "magma"  # not the accuracies' colours
_LARGEST = 1.15  # inches; the side of one kernel


def kernels(
    measured: Mapping[str, pd.DataFrame], *, reasons: Mapping[str, str] = MappingProxyType({}), accuracy: str = ""
) -> Figure:
    """A block a space, a column a band of accuracy, a network a heat map; more accurate to the right and below.

    `measured` are the kernels by space: `arch_index`, `arch`, `accuracy` (percent), `band` (text), `row`, `column`
    (0-based, the upper triangle with its diagonal; below 0 where it failed), `k` and `units`. `reasons` say why a space
    has no rows. The frame of a kernel has the colour of its accuracy; `accuracy` says which that is, such
    as "CIFAR-10 test". Raises NaswotError where there is no space.
    """
    if not measured:
        raise NaswotError("A figure of kernels needs at least one space.")
    bands = {space: _bands(table) for space, table in measured.items()}
    columns = [max(len(found), 2) for found in bands.values()]
    rows = max((len(networks) for found in bands.values() for networks in found.values()), default=1)
    side = min(_LARGEST, (WIDE - 0.55 - 0.2 * len(measured)) / sum(columns))
    known = [_normalised(_measured(table)) for table in measured.values() if len(table)]
    lowest = min((float(values.min()) for values in known if len(values)), default=0.0)
    norm = Normalize(np.floor(20 * lowest) / 20 if lowest < 1 else 0.0, 1.0)
    with style():
        heights = (0.4 + rows * (side + 0.16), 0.5)
        figure = canvas(side * sum(columns) + 0.55 + 0.2 * len(measured), sum(heights))
        halves: Any = figure.subfigures(2, 1, height_ratios=heights)
        above, below = halves
        blocks = above.subfigures(1, len(measured), squeeze=False, width_ratios=columns)
        for block, (space, found), table in zip(blocks[0], bands.items(), measured.values(), strict=True):
            block.suptitle(_heading(space, table), fontsize=8)
            if not found:
                axes = block.subplots()
                reason = wrap(reasons.get(space, "not measured"), int(24 * side))
                absent_panel(axes, "", reason)
                continue
            grid = block.subplots(rows, len(found), squeeze=False)
            for i, (band, networks) in enumerate(found.items()):
                for j in range(rows):
                    grid[j, i].set_axis_off()
                    if j < len(networks):
                        _draw(grid[j, i], table[table["arch_index"] == networks[j]], norm)
                grid[0, i].annotate(
                    # A number stays with its unit.
                    textwrap.fill(band.replace(" %", "\u00a0%"), max(int(20 * side), 8)),
                    (0.5, 1),
                    (0, 13),
                    xycoords="axes fraction",
                    textcoords="offset points",
                    ha="center",
                    fontsize=6.5,
                )
        _scale(below, norm, accuracy)
    return figure


def data(measured: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What `kernels` draws: a row (`COLUMNS`) a row of a network's K, whose elements stand in columns 0, 1, ...

    K is symmetric: what is left of its diagonal is empty. It is drawn divided by `units`, N_A. The columns `arch`,
    `accuracy` (percent) and `band` are filled in on the first row of each network alone.
    """
    parts = []
    for space, table in measured.items():
        known = _measured(table) if len(table) else table
        for index, part in known.groupby("arch_index", sort=False) if len(known) else ():
            matrix = part.pivot(index="row", columns="column", values="k").astype("Int64")
            matrix.columns = [str(column) for column in matrix.columns]
            first = part.iloc[0]
            of_network = {name: [first[name], *[""] * (len(matrix) - 1)] for name in ("band", "arch", "accuracy")}
            parts.append(matrix.reset_index().assign(space=space, arch_index=index, units=first["units"], **of_network))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(parts, ignore_index=True)
    return table[[*COLUMNS, *(name for name in table.columns if name not in COLUMNS)]]


def _bands(table: pd.DataFrame) -> dict[str, list[int]]:
    """{band: the networks in it}, both by rising accuracy."""
    if not len(table):
        return {}
    networks = table.drop_duplicates("arch_index").sort_values(["accuracy", "arch_index"])
    return {str(band): [int(i) for i in part["arch_index"]] for band, part in networks.groupby("band", sort=False)}


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    """Without the rows of networks that failed, which are of no pair of images."""
    return table[table["row"] >= 0]


def _normalised(table: pd.DataFrame) -> NDArray[np.float64]:
    return table["k"].to_numpy(np.float64) / table["units"].to_numpy(np.float64)


def _heading(space: str, table: pd.DataFrame) -> str:
    if not len(table):
        return title(space)
    n = table["arch_index"].nunique()
    return f"{title(space)}, {n} network{'s' * (n != 1)}, {table['row'].max() + 1} images"


def _scale(below: SubFigure, norm: Normalize, accuracy: str) -> None:
    left, axes, right = below.subplots(1, 3, width_ratios=(1, 2, 1))
    left.set_axis_off()
    right.set_axis_off()
    bar = below.colorbar(ScalarMappable(norm, _MAP), cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    frames = f"; frames and percentages: {accuracy} accuracy" if accuracy else ""
    bar.set_label(f"K / N$_A$: share of units that agree for two images{frames}", fontsize=7)


def _draw(axes: Axes, part: pd.DataFrame, norm: Normalize) -> None:
    n = int(part["column"].max()) + 1
    accuracy = float(part["accuracy"].iloc[0])
    axes.set_axis_on()
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.set_title(f"{accuracy:.1f} %", fontsize=6.5, pad=2, loc="center", color=QUIET)
    for spine in axes.spines.values():
        spine.set(visible=True, color=accuracy_colour(accuracy), linewidth=1.6)
    if not n:
        axes.set_box_aspect(1)
        axes.text(0.5, 0.5, "failed", ha="center", va="center", fontsize=6.5, color=QUIET, transform=axes.transAxes)
        return
    kernel = np.full((n, n), np.nan)
    row, column, values = part["row"].to_numpy(), part["column"].to_numpy(), _normalised(part)
    kernel[row, column] = kernel[column, row] = values
    axes.imshow(kernel, cmap=_MAP, norm=norm, interpolation="nearest" if n < 64 else "antialiased")
