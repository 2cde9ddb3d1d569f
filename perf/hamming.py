"""naswot::hamming_accumulate_ against dense float products and against a plain read of the same memory."""

from __future__ import annotations

import argparse
import statistics

import torch
from measure import report, seconds

from naswot_ext import ops

# A layer of 16 x 32 x 32 units, of 64 x 64 x 16, and one far larger than any cache but the machine's last.
UNITS = (16_384, 65_536, 1_048_576)


def dense(activations: torch.Tensor) -> torch.Tensor:
    """The paper's two products: units active in both images, and inactive in both."""
    codes = (activations > 0).float()
    inactive = 1 - codes
    return codes @ codes.T + inactive @ inactive.T


def main() -> None:
    """Print one line a size, then the JSON line: medians over the sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    ratios, fractions = {}, {}
    for units in UNITS:
        # Enough copies that each run reads memory which the last one has not just left in a near cache.
        copies = [torch.randn(options.batch, units) for _ in range(max(1, 2**26 // (options.batch * units)))]
        kernel = torch.zeros(options.batch, options.batch, dtype=torch.int64)

        def ours(copies: list[torch.Tensor] = copies, kernel: torch.Tensor = kernel) -> None:
            for activations in copies:
                ops.hamming_accumulate_(kernel, activations)

        def theirs(copies: list[torch.Tensor] = copies) -> None:
            for activations in copies:
                dense(activations)

        def read(copies: list[torch.Tensor] = copies) -> None:
            for activations in copies:
                activations.sum()

        ours_s, read_s = seconds(ours, options.repeats), seconds(read, options.repeats)
        dense_s = seconds(theirs, 3)
        ratios[units], fractions[units] = dense_s / ours_s, read_s / ours_s
        gigabytes = len(copies) * copies[0].nbytes / 1e9
        print(
            f"D = {units:>9,}: {gigabytes / ours_s:6.1f} GB/s, plain read {gigabytes / read_s:6.1f} GB/s; "
            f"dense products take {ratios[units]:5.1f} times as long"
        )
    report(
        "hamming",
        dense_over_ours=statistics.median(ratios.values()),
        bandwidth_fraction=statistics.median(fractions.values()),
        by_units={str(u): {"dense_over_ours": ratios[u], "bandwidth_fraction": fractions[u]} for u in UNITS},
    )


if __name__ == "__main__":
    main()
