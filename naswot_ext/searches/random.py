"""Random: one architecture, drawn uniformly. What a search must beat (Mellor et al. 2021, table 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from naswot_ext.searches import SEARCHES, Candidates, Found, Search, draw


def random(among: Candidates, options: Mapping[str, Any], run: int, rng: np.random.Generator) -> Found:
    """One run: it evaluates nothing and takes no time."""
    return Found(int(draw(among, {"n_samples": 1}, rng)[0]), seconds=0.0, evaluations=0)


SEARCHES.register("random")(Search(random, uses_scores=False))
