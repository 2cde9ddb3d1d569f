"""Where the tests find real data, and small things that many of them need."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
_NAMED = os.environ.get("NASWOT_REAL_DATA")
REAL_DATA = Path(_NAMED) if _NAMED else REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """A file of NASWOT_REAL_DATA (default ../shared/data) by its name.

    Absent, the test is skipped with that name; where the folder was named on purpose, as in CI, it fails instead.
    """

    def find(name: str) -> Path:
        path = REAL_DATA / name
        if not path.exists():
            (pytest.fail if _NAMED else pytest.skip)(f"{name} is not in {REAL_DATA} (set NASWOT_REAL_DATA)")
        return path

    return find
