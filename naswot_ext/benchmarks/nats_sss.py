"""NATS-Bench's size space, from ``NATS-sss-v1_0-50262-simple`` (Dong et al., TPAMI 2021).

Options: `path`, the folder or the official tar file of it. Trained for 1, 12 and 90 epochs, on CIFAR-10, CIFAR-100 and
ImageNet16-120. How it is read: `_nats`.
"""

from __future__ import annotations

from naswot_ext.benchmarks import _nats

_nats.register("nats-sss", "nats-sss", {"01": 1, "12": 12, "90": 90})
