"""What the first page of the report says of a run: on what it was made, and the numbers to look at first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from naswot_ext.papers.cells import NOT_COMPARABLE, accuracy_name, told
from naswot_ext.papers.summary import distinct, joined, measured, published
from naswot_ext.tables import cell, title

# The numbers that the papers' abstracts and introductions stand on, the same whatever a run finds:
# (paper, item, space, method, n_samples, data set).
_FIRST = [
    ("icml2021", "table2a", "nasbench201", "NASWOT", 100, "cifar10"),
    ("icml2021", "table2a", "nasbench201", "NASWOT", 100, "cifar100"),
    ("icml2021", "table2b", "nats-sss", "NASWOT", 100, "cifar10"),
    ("icml2021", "figure3", "nasbench201", "NASWOT", None, "cifar10"),
    ("arxiv2020", "table1", "nasbench201", "NASWOT-Jacobian", 100, "cifar10"),
    ("arxiv2020", "figure5", "pytorchcv", "NASWOT-Jacobian", None, "cifar10"),
    ("arxiv2020", "rank_claim", "nasbench201", "NASWOT-Jacobian", None, "cifar10"),
]
_WHAT = {
    "accuracy_percent": "{} accuracy",
    "kendall_tau": "Kendall's tau with {} accuracy",
    "rank": "rank of the smallest above 90 % {} accuracy",
    "p_value": "association with {} accuracy",
}


def story(facts: Mapping[str, Any], cells: Iterable[pd.DataFrame]) -> dict[str, str]:
    """The facts of `summary.landing`, from those of the run and the cells of its tables and figures."""
    spaces = [
        f"{title(space)} ({_truth(options)}, {_count(options['architectures'])})"
        for space, options in facts["spaces"].items()
    ]
    images = [f"{title(name)} ({source})" for name, source in facts["datasets"].items()]
    sizes = [f"{facts['batch_size']} a network", *(f"{n} for {proxy}" for proxy, n in facts["batch_sizes"].items())]
    absent = [title(name) for part in facts["absent"].values() for name in part]
    run = {
        "Scale": f"{facts['scale']}, {facts['runs']} runs of a search, seeds {', '.join(map(str, facts['seeds']))}",
        "Ground truth": "; ".join(spaces),
        "Images": f"{', '.join(images)}; {', '.join(sizes)}",
    }
    if absent:
        run["Not at hand"] = "; ".join(dict.fromkeys(absent))
    table = joined(cells)
    return {**run, "distinct": distinct(table), "headline": "\n".join(_headline(table))}


def _truth(options: Mapping[str, Any]) -> str:
    """Where the ground truth of a space comes from, and in what it is unlike the paper's."""
    remark = options.get("remark")
    return f"{options['benchmark']}, {NOT_COMPARABLE}: {remark}" if remark else str(options["benchmark"])


def _count(architectures: int | str) -> str:
    return "all" if architectures == "all" else f"{architectures} scored"


def _headline(cells: pd.DataFrame) -> list[str]:
    rows: list[Any] = list(cells.itertuples())
    # A table has two numbers of each search.
    by_name = {_name(row): row for row in rows if row.split != "valid" or not row.item.startswith("table")}
    return [_line(by_name[name]) for name in _FIRST if name in by_name]


def _name(row: Any) -> tuple[Any, ...]:
    """What `_FIRST` names a cell by."""
    n_samples = None if pd.isna(row.n_samples) else row.n_samples
    return row.paper, row.item, row.space, row.method, n_samples, row.dataset


def _line(row: Any) -> str:
    what = _WHAT[row.quantity].format(accuracy_name(row.dataset, row.split))
    named = f"{row.method}{cell(row.n_samples, ', N = {}')} on {title(row.space)}, {what}"
    found = measured(row)
    return f"{named}: {found or told(row)}, published {published(row)}{f' ({told(row)})' if found else ''}"
