"""What the first page of the report says of a run: on what it was made, and the numbers to look at first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from naswot_ext.papers.cells import NOT_MEASURED, told
from naswot_ext.papers.summary import joined, measured, published
from naswot_ext.tables import cell, title

# The numbers that the papers' abstracts and introductions stand on: (paper, item, method, n_samples, data set, split).
_FIRST = [
    ("icml2021", "table2a", "NASWOT", 100, "cifar10", "test"),
    ("icml2021", "table2a", "NASWOT", 100, "cifar100", "test"),
    ("icml2021", "table2b", "NASWOT", 100, "cifar10", "test"),
    ("icml2021", "figure3", "NASWOT", None, "cifar10", "test"),
    ("arxiv2020", "table1", "NASWOT-Jacobian", 10, "cifar10", "test"),
    ("arxiv2020", "figure5", "NASWOT-Jacobian", None, "cifar10", "test"),
    ("arxiv2020", "rank_claim", "NASWOT-Jacobian", None, "cifar10", "valid"),
]
_WHAT = {
    "accuracy_percent": "{} accuracy found",
    "kendall_tau": "Kendall's tau with {} accuracy",
    "rank": "rank of the smallest network above 90 % {} accuracy",
    "p_value": "association with {} accuracy at equal parameters",
}


def story(facts: Mapping[str, Any], cells: Iterable[pd.DataFrame]) -> dict[str, str]:
    """The facts of `summary.landing`, from those of the run and the cells of its tables and figures."""
    spaces = [
        f"{title(space)} ({_count(options['architectures'])}, ground truth: {options['benchmark']})"
        for space, options in facts["spaces"].items()
    ]
    images = [f"{title(name)} ({source})" for name, source in facts["datasets"].items()]
    sizes = [f"{facts['batch_size']} a network", *(f"{n} for {proxy}" for proxy, n in facts["batch_sizes"].items())]
    absent = [title(name) for part in facts["absent"].values() for name in part]
    run = {
        "Scale": f"{facts['scale']}, {facts['runs']} runs of a search, seeds {', '.join(map(str, facts['seeds']))}",
        "Spaces": ", ".join(spaces),
        "Images": f"{', '.join(images)}; {', '.join(sizes)}",
    }
    if absent:
        run["Not at hand"] = "; ".join(dict.fromkeys(absent))
    return {**run, "headline": "\n".join(_headline(joined(cells)))}


def _count(architectures: int | str) -> str:
    return "all architectures" if architectures == "all" else f"{architectures} architectures"


def _headline(cells: pd.DataFrame) -> Sequence[str]:
    lines = []
    for paper, item, method, n_samples, dataset, split in _FIRST if len(cells) else []:
        found = cells[(cells["paper"] == paper) & (cells["item"] == item) & (cells["method"] == method)]
        found = found[(found["dataset"] == dataset) & (found["split"] == split) & found["measured"].notna()]
        rows = sorted(found.itertuples(), key=lambda row: _preference(row, n_samples))
        lines += [_line(row) for row in rows[:1]]
    return lines


def _preference(row: Any, n_samples: int | None) -> tuple[bool, bool]:
    """A number with a verdict comes first, then the one that is asked for."""
    return row.verdict == NOT_MEASURED, row.n_samples != n_samples


def _line(row: Any) -> str:
    what = _WHAT[row.quantity].format(f"{title(row.dataset)} {row.split}")
    named = f"{row.method}{cell(row.n_samples, ', N = {}')} on {title(row.space)}, {what}"
    return f"{named}: {measured(row)}, published: {published(row)} ({told(row)})"
