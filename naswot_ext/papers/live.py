"""The seconds of searches that scored their networks while they searched, on the machine that ran them.

A search that looks scores up costs what scoring its networks took when the scores were made, in other processes. The
papers time the search as a whole (ICML 2021, figure 7; arXiv 2006.04647v1, figure 6); so does `naswot_live`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from naswot_ext.config import method_key, method_of

LIVE = "live"  # of a search that scored its networks while it searched
LOOKED_UP = "looked up"  # what the benchmark says that trainings took, and scoring when the scores were made


def with_live_seconds(
    cells: pd.DataFrame, live: Sequence[tuple[pd.DataFrame, Mapping[str, Any]]]
) -> tuple[pd.DataFrame, str]:
    """Cells of a table of searches with the seconds of `live`, where the method and N are the same; and a note.

    `live` are search tables (one row a run, with `seconds`) and how each was made. The cells have a further column,
    `seconds_are`: `LIVE` or `LOOKED_UP`, empty where no seconds are measured.
    """
    cells, timed = cells.copy(), []
    cells["seconds_are"] = cells["seconds"].notna().map({True: LOOKED_UP, False: ""})
    for table, made_by in live:
        method = method_of(made_by["algorithm"], made_by.get("proxy"))
        of_method = cells["method"].map(method_key) == method_key(method or "")
        same = of_method & (cells["n_samples"] == made_by["n_samples"]) & cells["measured"].notna()
        if same.any():
            cells.loc[same, "seconds"] = table["seconds"].mean()
            cells.loc[same, "seconds_are"] = LIVE
            timed.append(f"N = {made_by['n_samples']} ({len(table)} runs)")
    note = f"Live seconds: means of whole searches on this machine, {', '.join(timed)}." if timed else ""
    return cells, note
