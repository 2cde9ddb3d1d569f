"""The two tables of tests: which proxies rank differently, and which searches find better architectures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from naswot_ext.statistics import proxy_tests, search_tests
from naswot_ext.statistics.comparison import PROXY_TEST_COLUMNS, SEARCH_TEST_COLUMNS
from naswot_ext.tables import accuracy_columns, groups, interval, section, title, write_csv, write_text
from naswot_ext.truth import final_accuracies

_WHERE = ["space", "scored_on", "dataset", "split"]
_DIGITS = "{:.6f}"


def proxy_test_rows(
    scores: Mapping[str, Sequence[pd.DataFrame]], truth: pd.DataFrame, *, space: str, scored_on: str, **options: Any
) -> pd.DataFrame:
    """`statistics.proxy_tests` of all proxies of one (space, images) for each data set and split, one under the other.

    `scores` are the score tables of each proxy, one a seed; `options` are bootstrap and confidence.
    """
    parts = [
        proxy_tests(scores, accuracy, **options).assign(space=space, scored_on=scored_on, dataset=dataset, split=split)
        for (dataset, split), accuracy in final_accuracies(truth).items()
    ]
    return _joined(parts, PROXY_TEST_COLUMNS)


def search_test_rows(
    searches: Mapping[str, pd.DataFrame], *, space: str, scored_on: str, **options: Any
) -> pd.DataFrame:
    """`statistics.search_tests` of all searches of one (space, images) for each data set and split that all have."""
    common = [
        pair
        for pair in accuracy_columns(next(iter(searches.values())))
        if all(pair in accuracy_columns(table) for table in searches.values())
    ]
    parts = [
        search_tests(searches, dataset, split, **options).assign(
            space=space, scored_on=scored_on, dataset=dataset, split=split
        )
        for dataset, split in common
    ]
    return _joined(parts, SEARCH_TEST_COLUMNS)


def _joined(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """The parts one under the other; no rows where the ground truth has not one accuracy."""
    whole = [*_WHERE, *columns]
    return pd.concat(parts, ignore_index=True)[whole] if parts else pd.DataFrame(columns=whole)


def write_proxy_tests(
    parts: Iterable[pd.DataFrame], csv: str | os.PathLike[str], markdown: str | os.PathLike[str]
) -> None:
    """Join the rows of all spaces into proxy_tests.csv and its twin for people."""
    table = pd.concat(list(parts), ignore_index=True)
    write_csv(table, csv, dict.fromkeys(("tau_a", "tau_b", "difference", "low", "high"), _DIGITS) | _P_FORMATS)
    lines = [
        "# Which proxies rank differently",
        "",
        "Difference of Kendall's tau of two proxies on the same architectures, with its bootstrap interval. p: "
        "two-sided, corrected for all pairs of a table (Holm).",
    ]
    for (space, scored_on, dataset, split), part in groups(table, *_WHERE):
        body = [
            [
                title(row.proxy_a),
                title(row.proxy_b),
                interval(row.difference, row.low, row.high),
                _p(row.p_holm),
                str(row.architectures),
            ]
            for row in part
        ]
        heading = f"{title(space)}, scored on {title(scored_on)}: {title(dataset)} {split} accuracy"
        lines += section(heading, ["First", "Second", "First minus second", "p", "Architectures"], body)
    write_text("\n".join(lines) + "\n", markdown)


def write_search_tests(
    parts: Iterable[pd.DataFrame], csv: str | os.PathLike[str], markdown: str | os.PathLike[str]
) -> None:
    """Join the rows of all spaces into search_tests.csv and its twin for people."""
    table = pd.concat(list(parts), ignore_index=True)
    columns = ("mean_difference", "low", "high", "win_rate", "tie_rate")
    write_csv(table, csv, dict.fromkeys(columns, _DIGITS) | _P_FORMATS)
    lines = [
        "# Which searches find better architectures",
        "",
        "Difference of the accuracy (percentage points) that two searches find in the same runs, with its bootstrap "
        "interval; how often the first is better, and how often they are equal. p: Wilcoxon's signed-rank test, "
        "two-sided, corrected for all pairs of a table (Holm).",
    ]
    for (space, scored_on, dataset, split), part in groups(table, *_WHERE):
        body = [
            [
                row.search_a,
                row.search_b,
                interval(row.mean_difference, row.low, row.high, digits=2),
                "" if pd.isna(row.win_rate) else f"{100 * row.win_rate:.0f}% (equal {100 * row.tie_rate:.0f}%)",
                _p(row.p_holm),
                str(row.runs),
            ]
            for row in part
        ]
        heading = f"{title(space)}, scored on {title(scored_on)}: {title(dataset)} {split} accuracy"
        lines += section(heading, ["First", "Second", "First minus second", "First wins", "p", "Runs"], body)
    write_text("\n".join(lines) + "\n", markdown)


_P_FORMATS = dict.fromkeys(("p", "p_holm"), "{:.3g}")


def _p(value: float) -> str:
    if pd.isna(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
