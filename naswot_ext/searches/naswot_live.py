"""NASWOT(N) with the scoring done while searching, so that its seconds are those of the whole search here and now.

Options: `n_samples`, N; `proxy`, the score (default naswot). Run r scores the same architectures, initialisations and
images as run r of the search that looks up (`naswot.py`), and finds the same architecture where the ground truth covers
the draw. Source: Mellor et al. 2021, algorithm 1; "Search (s)" of table 2.
"""

from __future__ import annotations

import time

import numpy as np

from naswot_ext import devices
from naswot_ext.errors import NaswotError
from naswot_ext.proxy_names import find
from naswot_ext.scoring import Engine, in_flight_on
from naswot_ext.searches import SEARCHES, NetworkSearch, Outcome, Setting, best
from naswot_ext.searches._live import batch_of


def naswot_live(setting: Setting) -> Outcome:
    """One run; a network that fails or is singular is never chosen, and none is found where all are."""
    count = setting.options["n_samples"]
    if not 0 < count <= len(setting.sampled):
        raise NaswotError(f"n_samples is {count}, but {len(setting.sampled)} architectures were drawn.")
    rng = np.random.default_rng(setting.seed)
    drawn = setting.sampled[rng.integers(len(setting.sampled), size=count)]
    name = setting.options.get("proxy", "naswot")
    start = time.perf_counter()
    engine = Engine(setting.space, [find(name)], batch_of(setting, [name]), setting.network_seed, setting.device)
    # An architecture that was drawn twice has the same score both times.
    different = np.unique(drawn)
    rows = [row for chunk in engine.score(different, in_flight_on(setting.device)) for row in chunk]
    scores = dict.fromkeys(different.tolist(), np.nan)
    scores |= {row["arch_index"]: row["score"] for row in rows if row["status"] == "ok"}
    devices.synchronise(setting.device)
    found = best(np.array([scores[index] for index in drawn.tolist()]), drawn)
    arch = setting.space.architecture(found) if found >= 0 else ""
    return Outcome(arch, time.perf_counter() - start, count)


SEARCHES.register("naswot_live")(NetworkSearch(naswot_live, needs_labels=False))
