"""A batch of small images that all tests of the engine score on."""

from __future__ import annotations

from pathlib import Path

import pytest

from naswot_ext.datasets import make_batch, save_batch


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    save_batch(make_batch({"source": "gaussian", "image_size": 8}, 6, seed=0), tmp_path / "batch.npz")
    return tmp_path / "batch.npz"
