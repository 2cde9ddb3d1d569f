"""naswot::hamming_accumulate_ against dense float products and against a plain read of the same memory.

The contenders take turns, so that whatever else the machine does meets all of them; each figure is a ratio of medians
over single calls. A plain read is the fastest of several passes over the activations that torch has: a sum alone is not
it, as it walks along one page at a time and a processor can do better with several.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from measure import report
from torch import Tensor

from naswot_ext import ops

# A layer of 16 x 32 x 32 units, of 64 x 64 x 16, and one far larger than any cache but the machine's last.
UNITS = (16_384, 65_536, 1_048_576)
COLUMNS = torch.ones(16_384)

READS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": torch.sum,
    "product of halves": lambda x: torch.dot(*x.view(2, -1)),
    "product with a cached vector": lambda x: torch.mv(x.view(-1, len(COLUMNS)), COLUMNS),
}


def dense(total: np.ndarray, activations: Tensor) -> np.ndarray:
    """The paper's two products, of units active in both images and inactive in both, added on the host."""
    codes = (activations > 0).float()
    inactive = 1 - codes
    return total + (codes @ codes.T).cpu().numpy() + (inactive @ inactive.T).cpu().numpy()


def medians(contenders: dict[str, Callable[[Tensor], object]], inputs: list[Tensor], repeats: int) -> dict[str, float]:
    """Seconds a call, by contender: the median over `repeats` rounds of all inputs after one that warms up."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(repeats + 1):
        for name, call in contenders.items():
            for x in inputs:
                start = time.perf_counter()
                call(x)
                if round_ > 0:
                    times[name].append(time.perf_counter() - start)
    return {name: statistics.median(all_) for name, all_ in times.items()}


def main() -> None:
    """Print one line a size, then the JSON line: medians over the sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    by_units: dict[str, dict[str, float | str]] = {}
    ratios, fractions = [], []
    for units in UNITS:
        # Enough copies that each call reads memory which the last one has not just left in a near cache.
        copies = [torch.randn(options.batch, units) for _ in range(max(1, 2**26 // (options.batch * units)))]
        kernel = torch.zeros(options.batch, options.batch, dtype=torch.int64)
        total = np.zeros((options.batch, options.batch))
        ops.hamming_accumulate_(kernel, copies[0])
        if not np.array_equal(kernel.numpy(), dense(total, copies[0])):
            raise SystemExit(f"D = {units}: the kernel is not the dense products'.")

        def ours(x: Tensor, kernel: Tensor = kernel) -> None:
            ops.hamming_accumulate_(kernel, x)

        def theirs(x: Tensor, total: np.ndarray = total) -> None:
            dense(total, x)

        seconds = medians({"ours": ours, **READS, "dense": theirs}, copies, options.repeats)
        read = min(READS, key=seconds.__getitem__)
        ratios.append(seconds["dense"] / seconds["ours"])
        fractions.append(seconds[read] / seconds["ours"])
        rate = {name: copies[0].nbytes / 1e9 / seconds[name] for name in seconds}
        by_units[str(units)] = {
            "dense_over_ours": round(ratios[-1], 4),
            "bandwidth_fraction": round(fractions[-1], 4),
            "gigabytes_per_second": round(rate["ours"], 4),
            "plain_read": read,
            "plain_read_gigabytes_per_second": round(rate[read], 4),
        }
        print(
            f"D = {units:>9,}: {rate['ours']:6.1f} GB/s, plain read {rate[read]:6.1f} GB/s ({read}; "
            f"{', '.join(f'{name} {rate[name]:.1f}' for name in READS if name != read)}); "
            f"dense products take {ratios[-1]:5.1f} times as long"
        )
    report(
        "hamming",
        dense_over_ours=statistics.median(ratios),
        bandwidth_fraction=statistics.median(fractions),
        by_units=by_units,
    )


if __name__ == "__main__":
    main()
