"""Score against accuracy of the networks of the package pytorchcv: arXiv v1 (2020), figure 5."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from naswot_ext.errors import NaswotError
from naswot_ext.figures import (
    ACCURACY_COLOURS,
    INK,
    MARK,
    WIDE,
    accuracy_axis,
    canvas,
    scale_told,
    score_axis,
    style,
)
from naswot_ext.papers.figures.labels import label_points

FloatArray = NDArray[np.float64]

COLUMNS = ["network", "accuracy", "params", "initialisations", "singular", "failed", "score", "score_std"]


def library(
    table: pd.DataFrame,
    *,
    x_label: str,
    accuracy: str = "CIFAR-10",
    note: str = "",
    known: int | None = None,
    labels: int = 40,
) -> Figure:
    """A dot a network: the mean score of its initialisations with its standard deviation, against its accuracy.

    `table` has `network`, `accuracy` (percent, as the package states it), `params`, `seed`, `score` and `status`, a row
    an initialisation. Up to `labels` networks are named, as many as fit without covering anything, those at the ends
    first. One that is singular in an initialisation is a mark on the left edge; failed ones are counted. `note`, such
    as the association given parameters, is in the title, and `known`, how many networks the package has, where not all
    are drawn. Raises NaswotError where there is no network.
    """
    found = data(table)
    if found.empty:
        raise NaswotError("There is no score of a network of the library to draw.")
    found = found[np.isfinite(found["accuracy"].to_numpy(np.float64))]
    scores = found["score"].to_numpy(np.float64)
    drawn = found[np.isfinite(scores)]
    with style():
        figure = canvas(WIDE, 3.6)
        axes = figure.add_subplot()
        x, y = drawn["score"].to_numpy(np.float64), drawn["accuracy"].to_numpy(np.float64)
        spread = drawn["score_std"].fillna(0).to_numpy(np.float64)
        score_axis(axes, "x", x)
        axes.errorbar(x, y, xerr=spread, fmt="none", ecolor="0.6", elinewidth=0.6, zorder=1)
        axes.scatter(x, y, s=16, c=y, norm=ACCURACY_COLOURS, edgecolors=INK, linewidths=0.4, zorder=2)
        if len(found):
            accuracy_axis(axes, "y", found["accuracy"].to_numpy(np.float64))
        singular = found[np.isneginf(scores)]
        if len(singular):
            edge = axes.get_yaxis_transform()
            axes.plot(
                np.zeros(len(singular)),
                singular["accuracy"],
                ">",
                color=MARK,
                markersize=4,
                clip_on=False,
                transform=edge,
            )
        axes.set_xlabel(x_label + scale_told(axes, "x"))
        axes.set_ylabel(f"{accuracy} accuracy, as the package states it (%, log error)")
        axes.set_title(
            "\n".join(filter(None, [_counted(found, len(drawn), len(singular), known), textwrap.fill(note, 105)])),
            fontsize=7.5,
        )
        _label(axes, x, y, spread, [str(name).removesuffix("_cifar10") for name in drawn["network"]], labels)
    return figure


def data(table: pd.DataFrame) -> pd.DataFrame:
    """What `library` draws: a row (`COLUMNS`) a network, by accuracy.

    `score` is the mean over the initialisations that did not fail, -inf where one is singular, NaN where all failed;
    `score_std` their population standard deviation.
    """
    found = []
    for network, part in table.groupby("network", sort=False):
        known = part.loc[part["status"] != "failed", "score"].dropna().to_numpy(np.float64)
        finite = len(known) > 0 and bool(np.isfinite(known).all())
        found.append(
            {
                "network": network,
                "accuracy": part["accuracy"].iloc[0],
                "params": part["params"].iloc[0],
                "initialisations": len(known),
                "singular": int((part["status"] == "singular").sum()),
                "failed": int((part["status"] == "failed").sum()),
                "score": known.mean() if finite else -np.inf if len(known) else np.nan,
                "score_std": known.std() if finite else np.nan,
            }
        )
    return pd.DataFrame(found, columns=COLUMNS).sort_values(["accuracy", "network"], ignore_index=True)


def _counted(found: pd.DataFrame, drawn: int, singular: int, known: int | None) -> str:
    seeds = found.loc[found["initialisations"] > 0, "initialisations"]
    n = "" if seeds.empty else f"{seeds.max()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    of = f" of {known}" if known is not None and drawn < known else ""
    told = [f"{drawn}{of} network{'s' * bool(of or drawn != 1)}"]
    if n:
        told.append("1 initialisation each" if n == "1" else f"mean ± standard deviation of {n} initialisations")
    if singular:
        told.append(f"{singular} singular (left edge)")
    failed = int(found["score"].isna().sum())
    if failed:
        told.append(f"{failed} failed")
    return ", ".join(told)


def _label(axes: Axes, x: FloatArray, y: FloatArray, spread: FloatArray, names: list[str], most: int) -> None:
    """Name the outermost networks first, then those between, as far as there is room."""
    if not len(x):
        return
    figure: Any = axes.figure
    figure.canvas.draw()
    shown = axes.transData.transform(np.column_stack([x, y]))
    far = np.abs(shown - np.median(shown, axis=0)).max(axis=1)
    order = np.argsort(-far, kind="stable")[:most]
    ends = [axes.transData.transform(np.column_stack([x + sign * spread, y])) for sign in (-1, 1)]
    bars = [Bbox.from_extents(*(left - 1), *(right + 1)) for left, right in zip(*ends, strict=True)]
    # All networks' marks and bars are in the way of a name, also of those that have none.
    label_points(axes, x[order], y[order], [names[i] for i in order], points=np.column_stack([x, y]), obstacles=bars)
