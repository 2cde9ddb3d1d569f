"""What searches that score while they search share."""

from __future__ import annotations

from collections.abc import Sequence

from naswot_ext.datasets import Batch
from naswot_ext.errors import NaswotError
from naswot_ext.proxies import Images
from naswot_ext.proxy_names import find
from naswot_ext.scoring import to_device
from naswot_ext.searches import Setting


def batch_of(setting: Setting, proxies: Sequence[str]) -> Images:
    """The images of a search on its device; raises NaswotError where they lack labels that a proxy needs."""
    without = [name for name in proxies if find(name).needs_labels and setting.labels is None]
    if without:
        raise NaswotError(f"The proxy {', '.join(without)} needs the labels of the images, and these have none.")
    return to_device(Batch(setting.images, setting.labels, setting.classes), setting.device)
