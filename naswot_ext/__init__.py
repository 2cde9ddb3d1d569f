"""naswot: neural architecture search without training.

>>> import naswot_ext
>>> naswot_ext.score(model, batch)          # doctest: +SKIP
>>> naswot_ext.rank({"a": a, "b": b}, batch)  # doctest: +SKIP

Names are loaded at first use: the workflow reads file names and fingerprints from this package and
should not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["ActivationKernel", "NaswotError", "Score", "__version__", "build_info", "rank", "score"]

if TYPE_CHECKING:
    from naswot_ext.activation import ActivationKernel, Score, rank, score
    from naswot_ext.errors import NaswotError
    from naswot_ext.ops import build_info

_HOME = {
    "ActivationKernel": "activation",
    "NaswotError": "errors",
    "Score": "activation",
    "build_info": "ops",
    "rank": "activation",
    "score": "activation",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"naswot_ext.{_HOME[name]}"), name)
    raise AttributeError(f"module 'naswot_ext' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
