"""The rules' scripts read what the rules give them, and hand it on: each writes its table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from naswot_ext.provenance import read_provenance, read_table, write_table
from tests.conftest import REPOSITORY
from tests.experiments.small import images, truth

NETWORK = {"channels": 4, "cells": 1}
BY_COUNT = {"by": "random", "dataset": "cifar100", "split": "valid", "count": 2, "seed": 0}
BY_BAND = {"by": "bands", "dataset": "cifar100", "split": "valid", "cuts": [70, 90], "each": 1, "seed": 0}
_RUN = """
import json, runpy, sys
from types import SimpleNamespace as Names
job = json.loads(sys.argv[2])
fields = {key: Names(**value) for key, value in job.items() if key in ("wildcards", "params")}
fields["input"] = type("Input", (Names,), {"get": lambda self, name: getattr(self, name, None)})(**job["input"])
folder = sys.argv[1].rpartition("/")[0]
sys.path.insert(0, folder)
snakemake = Names(**fields, output=job["output"], log=[job["log"]], threads=1)
snakemake.scriptdir, snakemake.config = folder, {"results": "results"}
runpy.run_path(sys.argv[1], {"snakemake": snakemake})
"""


def run(script: str, tmp_path: Path, wildcards: dict[str, str], **params: Any) -> pd.DataFrame:
    """What a script writes, run as Snakemake runs it."""
    write_table(truth(), tmp_path / "truth.parquet")
    output = tmp_path / "out" / f"{script}.parquet"
    job = {
        "wildcards": wildcards,
        "params": {"device": "cpu", **params},
        "input": {"truth": str(tmp_path / "truth.parquet"), "images": str(images(tmp_path / "images.npz"))},
        "output": [str(output)],
        "log": str(tmp_path / "log"),
    }
    file = REPOSITORY / "workflow" / "scripts" / f"{script}.py"
    result = subprocess.run(
        [sys.executable, "-c", _RUN, str(file), json.dumps(job)], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert result.returncode == 0, result.stderr
    assert read_provenance(output)["dataset"] == wildcards["dataset"]
    return read_table(output)


def test_ablation(tmp_path: Path) -> None:
    wildcards = {"space": "nasbench201", "dataset": "blobs", "kind": "minibatch", "proxy": "naswot"}
    options = {"samples": 2, "batch_size": 8, "batch_sizes": [8, 16], "seed": 0}
    table = run("ablation", tmp_path, wildcards, network=NETWORK, proxy="naswot", choose=BY_COUNT, options=options)
    assert table["sample"].tolist() == [0, 0, 1, 1]


def test_training_of_network_k_is_of_the_kth_that_was_chosen(tmp_path: Path) -> None:
    wildcards = {"space": "nasbench201", "dataset": "blobs", "k": "1"}
    options = {"epochs": 1, "held_out": 16, "batch_size": 16}
    table = run("training", tmp_path, wildcards, network=NETWORK, proxy="naswot", choose=BY_COUNT, options=options)
    assert table["epoch"].tolist() == [0, 1]
    both = run(
        "ablation",
        tmp_path,
        {**wildcards, "kind": "gaussian"},
        network=NETWORK,
        proxy="naswot",
        choose=BY_COUNT,
        options={"samples": 1, "batch_size": 8},
    )
    assert table["arch"].unique().tolist() == [both["arch"][1]]


@pytest.mark.parametrize(("script", "column"), [("kernels", "k"), ("jacobian_correlations", "count")])
def test_kernels_and_correlations(tmp_path: Path, script: str, column: str) -> None:
    wildcards = {"space": "nasbench201", "dataset": "blobs"}
    table = run(script, tmp_path, wildcards, network=NETWORK, choose=BY_BAND, options={"seed": 0})
    assert table["band"].unique().tolist() == ["below 70 %", "70 to 90 %", "90 % and more"]
    assert column in table


def test_library(tmp_path: Path) -> None:
    pytest.importorskip("pytorchcv", reason="pytorchcv is not installed (pip install pytorchcv==0.0.74)")
    wildcards = {"dataset": "blobs", "network": "resnet20_cifar10"}
    table = run("library", tmp_path, wildcards, proxy="jacobian", options={"initialisations": 1, "seed": 0})
    assert table["network"].tolist() == ["resnet20_cifar10"]
    # The images here are smaller than the network takes.
    assert table["status"].tolist() == ["failed"]
