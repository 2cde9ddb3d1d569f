"""What the first page of the report says of a run: on what it was made, and the numbers to look at first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from naswot_ext.tables import title

# The numbers that the papers' abstracts and introductions stand on: (paper, item, method, n_samples, data set, split).
_FIRST = [
    ("icml2021", "table2a", "NASWOT", 100, "cifar10", "test"),
    ("icml2021", "table2a", "NASWOT", 100, "cifar100", "test"),
    ("icml2021", "table2b", "NASWOT", 100, "cifar10", "test"),
    ("icml2021", "figure3", "NASWOT", None, "cifar10", "test"),
    ("arxiv2020", "table1", "NASWOT-Jacobian", 10, "cifar10", "test"),
    ("arxiv2020", "rank_claim", "NASWOT-Jacobian", None, "cifar10", "valid"),
]


def story(facts: Mapping[str, Any], cells: Iterable[pd.DataFrame]) -> dict[str, str]:
    """The facts of `summary.landing`, from those of the run and the cells of its tables and figures."""
    spaces = [
        f"{title(space)} ({_count(options['architectures'])}, ground truth: {options['benchmark']})"
        for space, options in facts["spaces"].items()
    ]
    images = [f"{title(name)} ({source})" for name, source in facts["datasets"].items()]
    sizes = [f"{facts['batch_size']} a network", *(f"{n} for {proxy}" for proxy, n in facts["batch_sizes"].items())]
    absent = [title(name) for part in facts["absent"].values() for name in part]
    told = {
        "Scale": f"{facts['scale']}, {facts['runs']} runs of a search, seeds {', '.join(map(str, facts['seeds']))}",
        "Spaces": ", ".join(spaces),
        "Images": f"{', '.join(images)}; {', '.join(sizes)}",
    }
    if absent:
        told["Not at hand"] = ", ".join(dict.fromkeys(absent))
    known = [part for part in cells if len(part)]
    table = pd.concat(known, ignore_index=True) if known else pd.DataFrame()
    return {**told, "headline": "\n".join(_headline(table))}


def _count(architectures: int | str) -> str:
    return "all architectures" if architectures == "all" else f"{architectures} architectures"


def _headline(cells: pd.DataFrame) -> Sequence[str]:
    lines = []
    for paper, item, method, n_samples, dataset, split in _FIRST if len(cells) else []:
        found = cells[(cells["paper"] == paper) & (cells["item"] == item) & (cells["method"] == method)]
        found = found[(found["dataset"] == dataset) & found["split"].isin([split])]
        found = found[found["n_samples"].isna() if n_samples is None else found["n_samples"] == n_samples]
        for row in found[found["measured"].notna()].head(1).itertuples():
            lines.append(_line(row))
    return lines


def _line(row: Any) -> str:
    digits = {"accuracy_percent": 2, "kendall_tau": 3, "rank": 0}[row.quantity]
    what = {"accuracy_percent": f"{title(row.dataset)} {row.split} accuracy (%)", "kendall_tau": "Kendall's tau"}
    n = "" if pd.isna(row.n_samples) else f", N = {row.n_samples:.0f}"
    named = f"{row.method}{n} on {title(row.space)}, {what.get(row.quantity, row.quantity)}"
    return f"{named}: {row.measured:.{digits}f}, published {row.published:.{digits}f} ({row.verdict})"
