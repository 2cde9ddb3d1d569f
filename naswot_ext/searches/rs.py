"""RS: random search, which trains uniform random architectures until the simulated budget is spent.

Options: `budget`, `epochs`, `dataset` (see `_budget`). Source: Bergstra & Bengio, JMLR 2012; as a baseline of
NAS-Bench-201, Dong & Yang, ICLR 2020, table 5. Architectures are drawn with replacement, and paid for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from naswot_ext.searches import SEARCHES, Candidates, Found, Search
from naswot_ext.searches._budget import Budget


def rs(among: Candidates, options: Mapping[str, Any], run: int, rng: np.random.Generator) -> Found:
    """One run; its seconds are those of the simulated trainings."""
    budget = Budget("rs", among, options)
    while budget.evaluate(budget.random(rng)) is not None:
        pass
    return budget.found()


SEARCHES.register("rs")(Search(rs, uses_scores=False))
