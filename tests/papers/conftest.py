"""What the papers printed."""

from __future__ import annotations

import pandas as pd
import pytest

from naswot_ext.tables import read_published
from tests.conftest import REPOSITORY


@pytest.fixture(scope="session")
def published() -> pd.DataFrame:
    """The papers' numbers, as the workflow reads them."""
    return read_published(REPOSITORY / "workflow" / "resources" / "published.csv")
