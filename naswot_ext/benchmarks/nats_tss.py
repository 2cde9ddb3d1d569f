"""NAS-Bench-201's architectures in NATS-Bench, from ``NATS-tss-v1_0-3ffb9-simple`` (Dong et al., TPAMI 2021).

Options: `path`, the folder or the official tar file of it. Trained for 12 and 200 epochs, on CIFAR-10, CIFAR-100 and
ImageNet16-120; the accuracies differ a little from those of the NAS-Bench-201 files. How it is read: `_nats`.
"""

from __future__ import annotations

from naswot_ext.benchmarks import _nats

_nats.register("nats-tss", "nasbench201", {"12": 12, "200": 200})
