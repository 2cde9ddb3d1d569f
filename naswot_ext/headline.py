"""What a run found, in a few lines."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from naswot_ext.papers.summary import totals
from naswot_ext.tables import QUOTED, cell, groups, interval, row_label, spread, title


def headline(tables: str | os.PathLike[str]) -> list[str]:
    """What a run found, in a few lines for its end, from the folder that holds the two CSV files.

    Test accuracy where there is one, else validation: correlations of every proxy, then what searches found.
    """
    lines = []
    correlations = _test_if_any(pd.read_csv(Path(tables) / "correlations.csv"))
    for (space, scored_on, dataset), part in groups(correlations, "space", "scored_on", "dataset"):
        lines.append(
            f"Kendall tau with {title(dataset)} {part[0].split} accuracy"
            f" ({title(space)}, scored on {title(scored_on)}):"
        )
        width = max(len(title(row.proxy)) for row in part)
        for row in part:
            tau = interval(row.kendall, row.kendall_low, row.kendall_high) or "undefined"
            line = f"  {title(row.proxy):<{width}}  {tau:<22}"
            counts = f"{row.architectures} architectures, {row.singular} singular, {row.failed} failed"
            lines.append(f"{line} {counts}{_beside(cell(row.published_kendall, '{:g}'))}")
    searches = _test_if_any(pd.read_csv(Path(tables) / "searches.csv"))
    searches = searches[~searches["published_source"].astype(str).str.endswith(QUOTED)]
    for (space, scored_on, dataset), part in groups(searches, "space", "scored_on", "dataset"):
        lines.append(f"{title(dataset)} {part[0].split} accuracy found ({title(space)}, scored on {title(scored_on)}):")
        labels = [row_label(row) for row in part]
        width = max(map(len, labels))
        for label, row in zip(labels, part, strict=True):
            line = f"  {label:<{width}}  {spread(row.mean, row.std) or 'none':<14}"
            lines.append(f"{line} {row.runs} runs{_beside(spread(row.published_mean, row.published_std))}")
    return lines


def reproduced(summary: str | os.PathLike[str]) -> list[str]:
    """How many of the papers' numbers were reproduced, from summary.csv: a line for each table and figure."""
    table = pd.read_csv(summary)
    names = (table["paper"] + " " + table["item"]).tolist()
    without = (table["too_few_to_tell"] + table["not_comparable"]).tolist()
    counts = zip(names, table["reproduced"], table["differs"], without, table["not_measured"], strict=True)
    width = max(map(len, names), default=0)
    lines = [
        f"  {name:<{width}}  {same:3} reproduced, {other:3} different, {neither:3} without a verdict, "
        f"{none:3} not measured"
        for name, same, other, neither, none in counts
    ]
    return [totals(table), *lines]


def _test_if_any(table: pd.DataFrame) -> pd.DataFrame:
    has_test = table.groupby(["space", "scored_on", "dataset"])["split"].transform(lambda s: (s == "test").any())
    return table[(table["split"] == "test") | ~has_test.astype(bool)]


def _beside(published: str) -> str:
    return f", published {published}" if published else ""
