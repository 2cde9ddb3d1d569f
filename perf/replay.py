"""Searches that look up, replayed: seconds of 500 runs of each on one core, of the whole of NAS-Bench-201."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from measure import report

from naswot_ext import searches
from naswot_ext.benchmarks import convert
from naswot_ext.spaces import SPACES

OPTIONS = {
    "naswot": {"n_samples": 1000},
    "random": {},
    "optimal": {"n_samples": 100},
    "rs": {},
    "rea": {},
    "area": {},
    "reinforce": {},
    "bohb": {},
}


def ground_truth(table: Path) -> pd.DataFrame:
    """Accuracies after 12 and 200 epochs, and what twelve epochs cost."""
    cost = {"cifar10_halfdata_train_seconds_per_epoch": 12, "cifar10_valid_seconds_per_epoch": 1}
    accuracy = [
        {"dataset": "cifar10", "epochs": 200, "valid": "cifar10_valid_200", "test": "cifar10_test_200"},
        {"dataset": "cifar10", "epochs": 12, "valid": "cifar10_valid_12", "train_seconds": cost},
    ]
    return convert(SPACES.get("nasbench201"), {"source": "table", "path": str(table), "accuracy": accuracy})


def main() -> None:
    """Time each search, by scores that are the numbers of parameters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, help="nasbench201.csv.gz, or a table with its columns")
    parser.add_argument("--runs", type=int, default=500)
    options = parser.parse_args()
    truth = ground_truth(options.table)
    final = truth[truth["epochs"] == 200].sort_values("arch_index")
    scores = pd.DataFrame({"arch_index": final["arch_index"], "score": np.arange(len(final), dtype=float)})
    scores = scores.assign(status="ok", seconds=0.1)
    seconds = {}
    for algorithm, settings in OPTIONS.items():
        among = searches.candidates(
            SPACES.get("nasbench201"), final["arch_index"].to_numpy(), truth, "cifar10", [[scores]]
        )
        start = time.perf_counter()
        searches.run(algorithm, settings, among, options.runs, seed=0)
        seconds[f"{algorithm}_seconds"] = time.perf_counter() - start
    report("replay", runs=options.runs, slowest_seconds=max(seconds.values()), **seconds)


if __name__ == "__main__":
    main()
