"""A task that a small supernet learns in seconds: the colour of a blob, anywhere, under noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from naswot_ext.searches import SEARCHES, NetworkSearch, Outcome, Setting
from naswot_ext.spaces import SPACES
from naswot_ext.supernets.nasbench201 import Supernet

CLASSES = 4
_COLOURS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])


def blobs(count: int, side: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 [count, 3, side, side] and labels int64 [count]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=count)
    centres, places = rng.uniform(2, side - 2, (2, count, 1)), np.arange(side)[None]
    rows, columns = np.exp(-((places - centres) ** 2) / 2)
    shapes = rows[:, None, :, None] * columns[:, None, None, :]
    images = 2 * _COLOURS[labels][:, :, None, None] * shapes + 0.3 * rng.standard_normal((count, 3, side, side))
    return images.astype(np.float32), labels.astype(np.int64)


def setting(
    checkpoint: Path,
    count: int = 256,
    seed: int = 0,
    channels: int = 4,
    cells: int = 1,
    say: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> Setting:
    """A run on `count` images of blobs."""
    images, labels = blobs(count)
    return Setting(
        space=SPACES.get("nasbench201").with_network(channels=channels, cells=cells),
        sampled=np.arange(15625),
        images=images,
        labels=labels,
        classes=CLASSES,
        options=options,
        number=0,
        seed=seed,
        network_seed=0,
        device="cpu",
        checkpoint=checkpoint,
        say=say,
    )


def search(name: str, where: Setting) -> Outcome:
    """Run a search that builds networks."""
    found = SEARCHES.get(name)
    assert isinstance(found, NetworkSearch)
    return found.run(where)


def parts(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint holds of each part of a search."""
    return torch.load(checkpoint, weights_only=True)["parts"]


def trained(checkpoint: Path, channels: int = 4, cells: int = 1) -> Supernet:
    """The supernet of a checkpoint, in training mode: BatchNorm goes by the images it is given."""
    state = parts(checkpoint)["supernet"]
    tracks = "stages.1.edges.0.2.2.running_mean" in state
    net = Supernet(channels, cells, CLASSES, track_running_stats=tracks)
    net.load_state_dict(state)
    return net
