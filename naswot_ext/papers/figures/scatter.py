"""Score against accuracy, a panel a space and data set.

Mellor et al. (ICML 2021), figures 3, 9 and 10, and arXiv v1 (2020), figure 3: at most 1000 networks a panel.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from naswot_ext.figures import WIDE, Scored, counts, drawn, panel_sheet, scored_for, tau_text
from naswot_ext.papers.items import ITEMS
from naswot_ext.statistics import pair
from naswot_ext.tables import interval, published_tau, title
from naswot_ext.truth import final_accuracies

KEEP = 1000  # as the papers draw
# Of the panel, so the same for each of its dots.
_OF_PANEL = [
    "architectures",
    "singular",
    "failed",
    *(f"kendall{end}" for end in ("", "_low", "_high")),
    "filtered_architectures",
    *(f"kendall_filtered{end}" for end in ("", "_low", "_high")),
]
COLUMNS = ["space", "scored_on", "dataset", "split", "arch_index", "score", "accuracy", *_OF_PANEL]
COLUMNS += ["filter_below", "published_kendall"]
# The caption of the figure of 2020 says validation, in all panels; that of 2021 says so, too, but its code reads test.
_SPLITS = {"arxiv2020": "valid"}

Panel = tuple[str, str]


def scatter(
    panels: Sequence[Panel],
    scored: Sequence[Scored],
    *,
    x_label: str,
    reasons: Mapping[Panel, str] = MappingProxyType({}),
    published: pd.DataFrame | None = None,
    split: str = "test",
    keep: int = KEEP,
) -> Figure:
    """A panel for each (space, data set) of `panels`: a dot an architecture, tau and its interval in the title.

    Kendall's tau is of all that were scored. Where the paper prints one, it stands below the tau that is its like:
    without the networks that the reference code leaves out (see `naswot_ext.statistics.measures`), with their number.
    `published` (all of published.csv) has the paper's also for panels that are empty, or of the other split. At most
    `keep` architectures of a panel are drawn, at random. A panel without ground truth in `scored` says why, by
    `reasons`. The score of 2020 stands against validation accuracy, any other against that of `split`; a data set
    without it shows its other split. Raises NaswotError for an unknown split or no panels.
    """
    shown = _split(scored, split)
    columns = min(len(panels), 4) if len(panels) > 3 else max(len(panels), 1)
    side = WIDE / max(columns, 3)
    found = _found(panels, scored, shown)
    most = max((row.architectures for _, row in found), default=0)
    lines = [x_label + (f"; at most {keep} networks drawn" if most > keep else "")]
    if any(np.isfinite(_published(row, published)) for _, row in found):
        told = "second τ: without networks below this accuracy, as in the paper's code"
        lines += textwrap.wrap(told, int(13 * columns * side))
    proxy = next((str(name) for part in scored for name in part.rows["proxy"]), "")
    beside = {panel: _of_paper(_known(published, *panel, proxy)) for panel in panels}
    return panel_sheet(
        panels,
        scored,
        x_label="\n".join(lines),
        split=shown,
        reasons=reasons,
        columns=columns,
        size=(side, 2.6),
        keep=keep,
        describe=partial(_describe, published=published),
        beside=beside,
    )


def data(
    panels: Sequence[Panel],
    scored: Sequence[Scored],
    *,
    published: pd.DataFrame | None = None,
    split: str = "test",
    keep: int = KEEP,
) -> pd.DataFrame:
    """What `scatter` draws: a row (`COLUMNS`) a dot; the mean score over seeds, -inf where singular, percent.

    The columns from `architectures` on are of the panel, as in correlations.csv: they repeat on each of its rows.
    """
    parts = []
    for part, row in _found(panels, scored, _split(scored, split)):
        paired = drawn(pair(part.scores, final_accuracies(part.truth)[row.dataset, row.split]), keep)
        facts = {name: getattr(row, name) for name in ("space", "scored_on", "dataset", "split", *_OF_PANEL)}
        facts |= {"filter_below": part.filter_below, "published_kendall": _published(row, published)}
        dots = {"arch_index": paired.arch_index, "score": paired.scores.mean(axis=0), "accuracy": paired.accuracy}
        parts.append(pd.DataFrame(dots).assign(**facts)[COLUMNS])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _split(scored: Sequence[Scored], split: str) -> str:
    """The split of the paper whose score it is."""
    proxies = {proxy for part in scored for proxy in part.rows["proxy"]}
    papers = {item.paper for item in ITEMS if item.kind == "scatter" and proxies & set(item.proxies)}
    return next((_SPLITS[paper] for paper in papers if paper in _SPLITS), split)


def _found(panels: Sequence[Panel], scored: Sequence[Scored], split: str) -> list[tuple[Scored, Any]]:
    found = (scored_for(scored, space, dataset, split) for space, dataset in panels)
    return [panel for panel in found if panel is not None]


def _known(published: pd.DataFrame | None, space: str, dataset: str, proxy: str) -> float:
    return float("nan") if published is None else published_tau(published, space, dataset, proxy, dataset, "test")


def _published(row: Any, published: pd.DataFrame | None) -> float:
    """The paper's tau of a panel, whichever split it shows here."""
    if np.isfinite(row.published_kendall):
        return float(row.published_kendall)
    return _known(published, row.space, row.scored_on, row.proxy)


def _of_paper(tau: float) -> str:
    return f"paper: τ = {tau:g}" if np.isfinite(tau) else ""


def _describe(part: Scored, row: Any, *, published: pd.DataFrame | None) -> str:
    lines = [title(row.space), title(row.dataset), counts(row), f"τ = {tau_text(row)}"]
    if of_paper := _of_paper(_published(row, published)):
        kept = "filtered" if np.isnan(part.filter_below) else f"from {part.filter_below:g} % up"
        tau, low, high = row.kendall_filtered, row.kendall_filtered_low, row.kendall_filtered_high
        lines.append(kept if np.isnan(tau) else f"{kept}: n = {row.filtered_architectures:.0f}")
        lines.append(f"τ = {interval(tau, low, high, digits=2) or 'undefined'}")
        lines.append(of_paper)
    return "\n".join(lines)
