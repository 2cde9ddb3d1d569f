"""DARTS of second order (see `_darts`)."""

from __future__ import annotations

from naswot_ext.searches import SEARCHES, NetworkSearch, Outcome, Setting
from naswot_ext.searches._darts import darts


def darts_v2(setting: Setting) -> Outcome:
    """One run."""
    return darts(setting, "darts_v2", second_order=True)


SEARCHES.register("darts_v2")(NetworkSearch(darts_v2, needs_labels=True))
