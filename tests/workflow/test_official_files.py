"""The config of all spaces, run on small files in the official formats that stand for the downloads."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from naswot_ext.provenance import read_table
from tests.benchmarks import test_nasbench101 as nasbench101
from tests.benchmarks import test_nds as nds
from tests.datasets.official import cifar10_members, write_tar
from tests.workflow.conftest import Project

CELLS = [
    "011001000 input,conv3x3-bn-relu,output",
    "011001000 input,conv1x1-bn-relu,output",
    "0110001100010000 input,conv3x3-bn-relu,maxpool3x3,output",
]


@pytest.fixture
def official(tmp_path: Path, real_data: Callable[[str], Path]) -> dict[str, str]:
    """{download: a file or folder in its format}."""
    records = [
        nasbench101.row(cell, nasbench101.metrics(test=0.8 + 0.01 * place + 0.001 * run, params=1000 + place))
        for place, cell in enumerate(CELLS)
        for run in range(3)
    ]
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name in ("DARTS", "ResNet"):
            entries = nds.entries(f"nds-{name.lower()}", nds.cells(name))
            archive.writestr(f"nds_data/{name}.json", json.dumps(entries))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    images = write_tar(tmp_path / "cifar-10-python.tar.gz", cifar10_members(pixels, rng.integers(0, 10, 60)))
    return {
        "nats-tss": str(real_data("nats_bench/NATS-tss-v1_0-3ffb9-simple")),
        "nats-sss": str(real_data("nats_bench/NATS-sss-v1_0-50262-simple")),
        "nasbench101": str(nasbench101.write(tmp_path, records)),
        "nds": str(tmp_path / "data.zip"),
        "cifar10": str(images),
    }


def test_the_config_of_all_spaces_runs_on_official_files(
    new_project: Project, checkout: Path, official: dict[str, str]
) -> None:
    config = yaml.safe_load((checkout / "config" / "spaces.yaml").read_text())
    spaces = {
        name: config["spaces"][name] for name in ("nasbench201", "nasbench101", "nats-sss", "nds-darts", "nds-resnet")
    }
    # The official files of the tests hold few architectures, of which all are scored.
    small = {"architectures": "all", "draw_from": "table", "datasets": ["cifar10"]}
    for name, space in spaces.items():
        local = {"local": official[space["benchmark"]["source"]]}
        spaces[name] = {**space, **small, "benchmark": {**space["benchmark"], **local}}
    images = {"cifar10": {"source": "cifar10", "local": official["cifar10"]}}
    searches = {"runs": 5, "algorithms": {"optimal": {"n_samples": [2], "by": "either"}}}
    changes = {"batch_size": 4, "proxies": ["naswot"], "results": "results", "statistics": {"bootstrap": 20}}
    new_project.config = {**config, **changes, "spaces": spaces, "datasets": images, "searches": searches}
    printed = new_project.run()
    # What stands for a download is read, but not passed off as it.
    assert "data.zip of nds" in printed or "is not the nasbench_only108.tfrecord of nasbench101" in printed

    correlations = pd.read_csv(new_project.folder / "results/tables/correlations.csv")
    assert set(correlations["space"]) == set(spaces)
    assert (correlations["failed"] == 0).all()
    # The real files of three architectures, whose accuracies the papers' table has as well.
    truth = read_table(new_project.folder / "results/benchmarks/nasbench201.parquet")
    assert sorted(truth["arch_index"].unique()) == [0, 11, 284]
    assert set(truth["version"]) == {"NATS-tss-v1_0-3ffb9-simple"}
    truth = read_table(new_project.folder / "results/benchmarks/nasbench101.parquet")
    assert truth["arch"].tolist() == CELLS
    np.testing.assert_allclose(truth["test_accuracy"], [80.1, 81.1, 82.1])
    # Nothing is left to do.
    assert new_project.to_do() == {}


def test_a_download_is_planned_where_no_file_is_named(new_project: Project, checkout: Path) -> None:
    new_project.config = yaml.safe_load((checkout / "config" / "spaces.yaml").read_text())
    fetched = set(new_project.to_do()["fetch"])
    assert "downloads/nasbench101/nasbench_only108.tfrecord" in fetched
    assert "downloads/cifar10/cifar-10-python.tar.gz" in fetched
    assert sum(file.startswith("downloads/imagenet16-120/") for file in fetched) == 11
    assert sum(file.startswith("downloads/nds/") for file in fetched) == 1


def test_the_halves_of_cifar10_need_the_split(new_project: Project) -> None:
    new_project.config["datasets"] = {"half": {"source": "cifar10", "part": "train-half"}}
    assert "downloads/cifar10-split/cifar-split.txt" in new_project.to_do()["fetch"]
    new_project.config["datasets"] = {"all": {"source": "cifar10"}}
    assert new_project.to_do()["fetch"] == ["downloads/cifar10/cifar-10-python.tar.gz"]
