"""What each proxy costs: milliseconds a NAS-Bench-201 network, building left out, one thread, medians."""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from measure import report

from naswot_ext.proxies import PROXIES, Images
from naswot_ext.sampling import sample_architectures
from naswot_ext.scoring import prepare_process
from naswot_ext.spaces import SPACES


def main() -> None:
    """Score the same networks by every proxy, a new network each time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args()
    prepare_process(threads=1)
    space = SPACES.get("nasbench201")
    random = torch.Generator().manual_seed(0)
    images = torch.randn(options.batch_size, 3, 32, 32, generator=random).contiguous(memory_format=torch.channels_last)
    batch = Images(images, torch.randint(10, (options.batch_size,), generator=random), 10)
    drawn = [int(index) for index in sample_architectures(len(space), options.networks + 1, seed=0)]
    found = {}
    for name in PROXIES.names():
        proxy, times = PROXIES.get(name), []
        for index in drawn:
            torch.manual_seed(index)
            network = space.build(space.architecture(index), 10)
            start = time.perf_counter()
            proxy.score(network, batch)
            times.append(1000 * (time.perf_counter() - start))
        # The first one warms up.
        found[f"{name}_ms"] = float(np.median(times[1:]))
        print(f"{name:18} {found[f'{name}_ms']:10.1f} ms")
    report("proxies", networks=options.networks, batch_size=options.batch_size, **found)


if __name__ == "__main__":
    main()
