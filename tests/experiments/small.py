"""A small space, images that fit it, and a ground truth to choose by: everything here takes a second or two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from naswot_ext.datasets import Batch, save_batch
from naswot_ext.spaces import SPACES, SearchSpace
from tests.supernets.toy import CLASSES, blobs

# None of these has only `none` before its output, but for the last: architecture 0 to the network, all of them `none`.
ARCHITECTURES = (
    "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|nor_conv_3x3~2|",
    "|nor_conv_1x1~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
)


def space() -> SearchSpace:
    """NAS-Bench-201 with narrow, shallow networks."""
    return SPACES.get("nasbench201").with_network(channels=4, cells=1)


def images(path: Path, count: int = 64, seed: int = 0) -> Path:
    """A file of `count` labelled images of 8 x 8 pixels."""
    pixels, labels = blobs(count, seed=seed)
    save_batch(Batch(pixels, labels, CLASSES), path)
    return path


def chosen(count: int = 2) -> pd.DataFrame:
    """The first of `ARCHITECTURES`, as `choose` gives them."""
    names = ARCHITECTURES[:count]
    index = np.array([space().index(name) for name in names], np.int32)
    accuracy = np.array([93.5, 84.25, 10.0])[:count]
    return pd.DataFrame(
        {"arch_index": index, "arch": names, "accuracy": accuracy, "band": ["good", "fair", "bad"][:count]}
    )


def truth(count: int = 200) -> pd.DataFrame:
    """A ground truth of `count` architectures: valid accuracy 50 to 99.9 percent, no test accuracy."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "arch_index": np.arange(count, dtype=np.int32),
            "arch": [space().architecture(i) for i in range(count)],
            "dataset": "cifar100",
            "epochs": 200,
            "valid_accuracy": rng.permutation(np.linspace(50, 99.9, count)),
            "test_accuracy": np.nan,
        }
    )
