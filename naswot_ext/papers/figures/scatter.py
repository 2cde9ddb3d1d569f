"""Score against accuracy, a panel a space and data set.

Mellor et al. (ICML 2021), figures 3, 9 and 10, and arXiv v1 (2020), figure 3: at most 1000 networks a panel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from naswot_ext.figures import WIDE, Scored, counts, drawn, panel_sheet, scored_for, tau_text
from naswot_ext.statistics import pair
from naswot_ext.tables import title
from naswot_ext.truth import final_accuracies

KEEP = 1000  # as the papers draw
COLUMNS = ["space", "scored_on", "dataset", "split", "arch_index", "score", "accuracy"]


def scatter(
    panels: Sequence[tuple[str, str]],
    scored: Sequence[Scored],
    *,
    x_label: str,
    reasons: Mapping[tuple[str, str], str] = MappingProxyType({}),
    split: str = "test",
    keep: int = KEEP,
) -> Figure:
    """A panel for each (space, data set) of `panels`: a dot an architecture, tau and its interval in the title.

    Kendall's tau is of all that were scored; "filtered" is as the reference code plots it (see
    `naswot_ext.statistics.measures`) and stands beside the published number. At most `keep` architectures of a panel
    are drawn, at random. A panel without ground truth in `scored` says why, by `reasons`. A data set without
    accuracies of `split` shows its other split. Raises NaswotError for an unknown split or no panels.
    """
    columns = min(len(panels), 4) if len(panels) > 3 else max(len(panels), 1)
    side = WIDE / max(columns, 3)
    most = max((row.architectures for _, row in _found(panels, scored, split)), default=0)
    some = f"; at most {keep} networks drawn" if most > keep else ""
    return panel_sheet(
        panels,
        scored,
        x_label=x_label + some,
        split=split,
        reasons=reasons,
        columns=columns,
        size=(side, 2.35),
        keep=keep,
        describe=_describe,
    )


def data(
    panels: Sequence[tuple[str, str]], scored: Sequence[Scored], *, split: str = "test", keep: int = KEEP
) -> pd.DataFrame:
    """What `scatter` draws: a row (`COLUMNS`) a dot; the mean score over seeds, -inf where singular, percent."""
    parts = []
    for part, row in _found(panels, scored, split):
        paired = drawn(pair(part.scores, final_accuracies(part.truth)[row.dataset, row.split]), keep)
        facts = {name: getattr(row, name) for name in ("space", "scored_on", "dataset", "split")}
        dots = {"arch_index": paired.arch_index, "score": paired.scores.mean(axis=0), "accuracy": paired.accuracy}
        parts.append(pd.DataFrame(dots).assign(**facts)[COLUMNS])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _found(panels: Sequence[tuple[str, str]], scored: Sequence[Scored], split: str) -> list[tuple[Scored, Any]]:
    found = (scored_for(scored, space, dataset, split) for space, dataset in panels)
    return [panel for panel in found if panel is not None]


def _describe(row: Any) -> str:
    # Beside the published number, its like.
    known = f"filtered {row.kendall_filtered:.2f}" if np.isfinite(row.kendall_filtered) else ""
    if np.isfinite(row.published_kendall):
        known += f" (paper {row.published_kendall:g})" if known else f"paper {row.published_kendall:g}"
    lines = [title(row.space), title(row.dataset), counts(row), f"τ = {tau_text(row)}", known]
    return "\n".join(lines)
