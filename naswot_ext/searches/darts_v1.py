"""DARTS of first order (see `_darts`)."""

from __future__ import annotations

from naswot_ext.searches import SEARCHES, NetworkSearch, Outcome, Setting
from naswot_ext.searches._darts import darts


def darts_v1(setting: Setting) -> Outcome:
    """One run."""
    return darts(setting, "darts_v1", second_order=False)


SEARCHES.register("darts_v1")(NetworkSearch(darts_v1, needs_labels=True))
