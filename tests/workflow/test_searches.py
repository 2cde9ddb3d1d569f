"""Every kind of search in one run: with a simulated budget, building networks, sharing weights, and what is quoted."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from naswot_ext.config import NETWORK_SEARCHES
from naswot_ext.provenance import read_table
from naswot_ext.spaces import SPACES
from tests.workflow.conftest import Project

SMALL = {"channels": 2, "cells": 1}
FOUND = "results/searches/nasbench201/blobs"
# 12 epochs of 10 s and a look of 5 s: 16 trainings fit into the budget.
TRAINING, BUDGET = 12 * 10 + 5, 2060
SUPERNET = {"supernet": SMALL, "runs": 1, "images": 16, "batch_size": 8}
SHARED = {**SUPERNET, "epochs": 1}
SIMULATED = {"budget": BUDGET}
# In the order of the schema, which is that of the tables.
SEARCHES: dict[str, dict[str, Any]] = {
    "naswot": {"n_samples": [3]},
    "rs": SIMULATED,
    "rea": SIMULATED,
    "area": {**SIMULATED, "population": 4, "n_samples": 6},
    "reinforce": SIMULATED,
    "bohb": SIMULATED,
    "naswot_live": {"n_samples": [3], "runs": 1},
    "funnel": {"keep": 2, "runs": 1},
    "nasi": {**SUPERNET, "steps": 2, "runs": 2, "published": "NASI(4T)"},
    "rsps": {**SHARED, "samples": 2, "evaluation_batch": 8},
    **dict.fromkeys(("darts_v1", "darts_v2", "gdas"), SHARED),
    "setn": {**SHARED, "samples": 2, "evaluation_batch": 8},
    "enas": {**SHARED, "samples": 2, "controller_steps": 1, "controller_aggregate": 2},
}


def write_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((32, 3, 8, 8)).astype(np.float32)
    np.savez(folder / "blobs.npz", images=images, labels=np.arange(32) % 4)


def write_truth(folder: Path) -> pd.DataFrame:
    """Accuracies and costs of all architectures, which tell an architecture's number; by architecture."""
    space = SPACES.get("nasbench201")
    number = np.arange(len(space))
    table = pd.DataFrame(
        {
            "arch": [space.architecture(int(index)) for index in number],
            "valid": number / 200,
            "test": number / 200 + 1,
            "short": number / 300,
            "epoch": 10,
            "look": 5,
        }
    )
    table.to_csv(folder / "truth.csv", index=False)
    return table.set_index("arch")


@pytest.fixture(scope="module")
def searched(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run of every search. For reading only."""
    project = Project(tmp_path_factory.mktemp("searched"), checkout)
    write_images(project.folder)
    write_truth(project.folder)
    seconds = {"epoch": 12, "look": 1}
    project.config["spaces"]["nasbench201"] |= {
        "network": SMALL,
        "draw_from": "space",
        "benchmark": {
            "source": "table",
            "path": "truth.csv",
            "accuracy": [
                {"dataset": "cifar10", "epochs": 200, "valid": "valid", "test": "test"},
                {"dataset": "cifar10", "epochs": 12, "valid": "short", "train_seconds": seconds},
            ],
        },
    }
    project.config |= {"batch_size": 16, "datasets": {"blobs": {"source": "npz", "path": "blobs.npz"}}}
    project.config["searches"] = {"runs": 3, "algorithms": copy.deepcopy(SEARCHES), "quoted": ["GDAS"]}
    project.config["scoring"]["shard_size"] = 6
    (project.folder / "printed").write_text(project.run())
    return project


@pytest.fixture(scope="module")
def truth(searched: Project) -> pd.DataFrame:
    """The user's table, by architecture."""
    return pd.read_csv(searched.folder / "truth.csv").set_index("arch")


@pytest.fixture
def changeable(searched: Project, tmp_path: Path) -> Project:
    """A copy of the run, to change and run."""
    shutil.copytree(searched.folder, tmp_path / "searched")
    return Project(tmp_path / "searched", searched.checkout, copy.deepcopy(searched.config))


def label(algorithm: str) -> str:
    """What a search is called in files."""
    return "-".join([algorithm, *map(str, SEARCHES[algorithm].get("n_samples", []))] if "naswot" in algorithm else
                    [algorithm])  # fmt: skip


def runs_of(project: Project, algorithm: str) -> pd.DataFrame:
    return read_table(project.folder / FOUND / f"{label(algorithm)}.parquet")


@pytest.mark.parametrize("algorithm", SEARCHES)
def test_a_search_has_its_runs_and_the_accuracies_of_what_they_found(
    searched: Project, truth: pd.DataFrame, algorithm: str
) -> None:
    runs = runs_of(searched, algorithm)
    assert runs["run"].tolist() == list(range(SEARCHES[algorithm].get("runs", 3)))
    assert (runs["arch_index"] >= 0).all()
    expected = truth.loc[runs["arch"]]
    assert runs["arch_index"].tolist() == (expected["valid"] * 200).round().astype(int).tolist()
    assert runs["cifar10_valid"].tolist() == expected["valid"].tolist()
    assert runs["cifar10_test"].tolist() == expected["test"].tolist()
    assert runs["evaluations"].gt(0).all()
    if algorithm != "naswot":  # whose scores were taken without their seconds
        assert runs["seconds"].gt(0).all()


@pytest.mark.parametrize("algorithm", ["rs", "rea", "area", "reinforce", "bohb"])
def test_a_budget_is_spent_on_short_trainings(searched: Project, algorithm: str) -> None:
    runs = runs_of(searched, algorithm)
    assert runs["evaluations"].tolist() == [BUDGET // TRAINING] * 3
    assert runs["seconds"].tolist() == [float(BUDGET // TRAINING * TRAINING)] * 3


def test_all_searches_start_their_runs_from_the_same_seeds(searched: Project) -> None:
    assert {tuple(runs_of(searched, name)["seed"][:1]) for name in SEARCHES} == {
        tuple(runs_of(searched, "rs")["seed"][:1])
    }
    assert runs_of(searched, "nasi")["seed"].tolist() == runs_of(searched, "rs")["seed"][:2].tolist()


def test_scoring_while_searching_finds_what_looking_up_finds(searched: Project) -> None:
    live, looked_up = runs_of(searched, "naswot_live"), runs_of(searched, "naswot")
    assert live["arch"].tolist() == looked_up["arch"].tolist()[:1]


def test_the_table_has_every_search_beside_what_was_published_and_what_is_only_quoted(searched: Project) -> None:
    rows = pd.read_csv(searched.folder / "results/tables/searches.csv")
    assert rows["algorithm"].drop_duplicates().tolist() == [*SEARCHES, "GDAS"]
    assert set(rows["dataset"]) == {"cifar10"}
    by_search = rows.set_index(["algorithm", "split"])
    for algorithm, options in SEARCHES.items():
        runs = runs_of(searched, algorithm)
        for split in ("valid", "test"):
            row = by_search.loc[algorithm, split]
            assert row["runs"] == options.get("runs", 3)
            assert row["mean"] == pytest.approx(runs[f"cifar10_{split}"].mean(), abs=1e-6)
            if algorithm in NETWORK_SEARCHES:
                assert row["search_seconds"] == pytest.approx(runs["seconds"].mean(), abs=1e-3)
    published = by_search["published_mean"]
    assert published["rea", "valid"] == 91.19
    assert published["nasi", "test"] == 93.55
    assert published["gdas"].equals(published["GDAS"])
    assert published["GDAS"].notna().all()
    assert published["funnel"].isna().all()
    quoted = by_search.loc["GDAS"]
    assert quoted["runs"].tolist() == [0, 0]
    assert quoted["mean"].isna().all()
    assert quoted["published_source"].str.endswith("quoted: not run here").all()


def test_the_report_holds_the_tables_and_figures_that_compare(searched: Project) -> None:
    page = (searched.folder / "results/report.html").read_text()
    for table in ("searches", "correlations", "proxies_tests", "searches_tests"):
        for form in ("csv", "html"):
            assert f"results/tables/{table}.{form}" in page
    for figure in (
        "proxies",
        "nasbench201/blobs/proxies",
        "nasbench201/blobs/searches",
        "nasbench201/blobs/search_ranks",
    ):
        assert f"results/figures/{figure}.png" in page
    assert "quoted: not run here" in (searched.folder / "results/tables/searches.html").read_text()
    assert "NASI" in (searched.folder / "printed").read_text()


def test_runs_of_a_search_by_networks_in_one_job_are_those_in_many(changeable: Project) -> None:
    in_two_jobs = runs_of(changeable, "nasi")
    parts = changeable.folder / FOUND / "nasi"
    assert {p.name for p in parts.iterdir()} == {"runs-0-0.parquet", "runs-1-1.parquet"}
    changeable.config["searches"]["algorithms"]["nasi"]["runs_per_job"] = 2
    changeable.run(f"{FOUND}/nasi.parquet")
    assert (parts / "runs-0-1.parquet").exists()
    in_one_job = runs_of(changeable, "nasi")
    assert in_one_job["arch"].nunique() > 1
    assert in_one_job.drop(columns="seconds").equals(in_two_jobs.drop(columns="seconds"))


def _wait_for(file: Path) -> None:
    for _ in range(6000):
        if file.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"{file.name} did not appear")


def test_a_search_that_trains_goes_on_where_it_was_killed_and_finds_the_same(
    changeable: Project, changed: Callable[[str, str, str], Any]
) -> None:
    options = {**SHARED, "epochs": 60, "runs": 2, "runs_per_job": 2}
    changeable.config["searches"]["algorithms"] |= {"gdas@whole": options, "gdas@killed": options}
    checkpoint = changeable.folder / FOUND / "gdas@killed/runs-0-1.parquet.run-1.checkpoint"
    killed = f"{FOUND}/gdas@killed.parquet"
    session = "naswot_ext/supernets/session.py"
    # A checkpoint after each step, so that there is one within seconds. While it is held, run 1 takes no step behind
    # the 30th: however late it is killed, it has not come to its end.
    saved = "                saved = time.perf_counter()\n"
    held = "self._setting.number == 1 and number >= 30 and __import__('os').path.exists('hold')"
    stop = f"                while {held}:\n                    time.sleep(0.05)\n"
    with (
        changed(session, "SAVE_SECONDS = 60.0", "SAVE_SECONDS = 0.0"),
        changed(session, saved, saved + stop),
    ):
        with changeable.held():
            process = changeable.start(killed)
            try:
                _wait_for(checkpoint)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        assert checkpoint.exists()
        assert not (changeable.folder / killed).exists()
        changeable.run(killed, f"{FOUND}/gdas@whole.parquet")
    log = (changeable.folder / "results/logs/searches/nasbench201/blobs/gdas@killed/runs-0-1.log").read_text()
    assert "gdas, run 1: goes on after step" in log
    assert "run 0" not in log
    tables = [read_table(changeable.folder / FOUND / f"gdas@{which}.parquet") for which in ("whole", "killed")]
    assert tables[0].drop(columns="seconds").equals(tables[1].drop(columns="seconds"))
    assert not list((changeable.folder / FOUND).rglob("*.checkpoint"))
    assert not list((changeable.folder / FOUND).rglob("*.partial"))
