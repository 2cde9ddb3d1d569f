"""NASWOT(N): draw N architectures with replacement, output the one with the highest score.

Options: `n_samples`, N; `proxy`, whose scores (default naswot); `how` ranks are combined, where it is an aggregate.
With several seeds of scores, run r uses seed r modulo their number. Source: Mellor et al. 2021, algorithm 1, table 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from naswot_ext.searches import SEARCHES, Candidates, Found, Search, best, draw


def naswot(among: Candidates, options: Mapping[str, Any], run: int, rng: np.random.Generator) -> Found:
    """One run; its seconds are those that scoring the N drawn architectures took."""
    drawn = draw(among, options, rng)
    table = run % len(among.scores)
    values = among.values(table, drawn, options.get("how", "mean"))
    return Found(best(values, drawn), float(among.scores[table].seconds[drawn].sum()), len(drawn))


SEARCHES.register("naswot")(Search(naswot, uses_scores=True))
