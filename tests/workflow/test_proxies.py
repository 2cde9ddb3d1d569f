"""Many proxies in one run: the cheap ones together, a user's own, ranks of several, and what compares them."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from naswot_ext.provenance import read_provenance, read_table
from naswot_ext.spaces import SPACES
from tests.workflow.conftest import Project

MINE = """
from torch import nn


def depth(network, batch):
    return float(sum(isinstance(module, nn.Conv2d) for module in network.modules()))
"""
NETWORK = {"channels": 4, "cells": 1}
COMPARED = ["naswot", "snip", "jacobian", "synflow", "params", "depth", "ranks-naswot-depth", "three"]
FORWARD = {"naswot", "naswot_normalised", "params", "flops", "units", "random"}
SCORES = "results/scores/nasbench201/noise"
SHARDS = f"{SCORES}/shards"
FOUND = "results/searches/nasbench201/noise"
TABLES = ["correlations", "proxies_tests", "searches", "searches_tests"]
FIGURES = ["proxies", "nasbench201/noise/proxies", "nasbench201/noise/search_ranks"]
# All but a figure for each proxy, and the report that holds them.
WANTED = [*(f"results/tables/{x}.csv" for x in TABLES), *(f"results/figures/{x}.png" for x in FIGURES)]


@pytest.fixture(scope="module")
def compared(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run of eight proxies, one of them the user's own and two of them aggregates. For reading only."""
    project = Project(tmp_path_factory.mktemp("compared"), checkout)
    Path(project.folder, "mine.py").write_text(MINE)
    project.config["spaces"]["nasbench201"]["network"] = NETWORK
    project.config["proxies"] = [
        *COMPARED[:5],
        "mine.py:depth",
        {"aggregate": {"ranks": ["naswot", "mine.py:depth"]}},
        {"aggregate": {"ranks": ["naswot", "synflow", "params"], "how": "log", "name": "three"}},
    ]
    by = ["naswot", "mine.py:depth", "three"]
    project.config["searches"]["algorithms"] = {"naswot": {"n_samples": [3], "proxy": by}, "random": None}
    project.run(*WANTED)
    return project


@pytest.fixture
def changeable(compared: Project, tmp_path: Path) -> Project:
    """A copy of it, to change."""
    shutil.copytree(compared.folder, tmp_path / "compared")
    return Project(tmp_path / "compared", compared.checkout, copy.deepcopy(compared.config))


def scores(project: Project, proxy: str) -> pd.DataFrame:
    return read_table(project.folder / SCORES / proxy / "seed-0.parquet").set_index("arch_index")


def test_the_cheap_proxies_of_a_shard_are_one_job_and_each_of_the_others_has_its_own(compared: Project) -> None:
    shards = compared.folder / SHARDS
    groups = {"forward", "snip", "jacobian", "synflow", "depth"}
    assert {folder.name for folder in shards.iterdir()} == groups
    assert {p.name for p in shards.rglob("*.parquet")} == {"shard-0.parquet", "shard-1.parquet"}
    assert len(list(shards.rglob("*.parquet"))) == 2 * len(groups)
    for number, size in ((0, 4), (1, 2)):
        together = read_table(shards / f"forward/seed-0/shard-{number}.parquet")
        assert together["proxy"].value_counts().to_dict() == dict.fromkeys(FORWARD, size)
        assert len(read_table(shards / f"depth/seed-0/shard-{number}.parquet")) == size


@pytest.mark.parametrize("proxy", COMPARED)
def test_every_proxy_has_a_table_of_the_same_architectures(compared: Project, proxy: str) -> None:
    table = scores(compared, proxy)
    assert list(table.index) == sorted(scores(compared, "params").index)
    assert len(table) == 6
    assert set(table["status"]) <= {"ok", "singular"}
    assert (table["status"] == "ok").sum() >= 3
    assert read_provenance(compared.folder / SCORES / proxy / "seed-0.parquet")["proxy"] == proxy


def test_a_users_proxy_scores_the_networks_of_the_config(compared: Project) -> None:
    space = SPACES.get("nasbench201").with_network(**NETWORK)
    table = scores(compared, "depth")
    convolutions = [
        sum(type(module).__name__ == "Conv2d" for module in space.build(arch, 10).modules()) for arch in table["arch"]
    ]
    assert table["score"].tolist() == convolutions
    assert table["score"].nunique() > 1


@pytest.mark.parametrize(
    ("aggregate", "members", "how"),
    [("ranks-naswot-depth", ["naswot", "depth"], "mean"), ("three", ["naswot", "synflow", "params"], "log")],
)
def test_an_aggregate_holds_the_mean_of_the_ranks_or_of_their_logarithms(
    compared: Project, aggregate: str, members: list[str], how: str
) -> None:
    tables = [scores(compared, member) for member in members]
    ok = np.all([table["status"] == "ok" for table in tables], axis=0)
    # From 1, the worst, to n: how many are worse, and half of those that are equal.
    ranks = [[(column < x).sum() + ((column == x).sum() + 1) / 2 for x in column] for column in
             (table["score"][ok].to_numpy() for table in tables)]  # fmt: skip
    shares = np.array(ranks) / ok.sum()
    expected = shares.mean(axis=0) if how == "mean" else np.log(shares).mean(axis=0)
    found = scores(compared, aggregate)
    assert ok.sum() >= 3
    assert found["score"][ok].to_numpy() == pytest.approx(expected, rel=1e-12)
    assert (found["status"] == "ok").tolist() == ok.tolist()


def test_the_tables_have_a_row_for_each_proxy_and_for_each_pair(compared: Project) -> None:
    tables = compared.folder / "results/tables"
    correlations = pd.read_csv(tables / "correlations.csv")
    assert correlations["proxy"].tolist() == COMPARED
    assert set(correlations["architectures"]) == {6}
    assert correlations.set_index("proxy")["kendall"].notna().all()
    pairs = pd.read_csv(tables / "proxies_tests.csv")[["proxy_a", "proxy_b"]].itertuples(index=False, name=None)
    assert list(pairs) == [(a, b) for i, a in enumerate(COMPARED) for b in COMPARED[i + 1 :]]
    pairs = pd.read_csv(tables / "searches_tests.csv")[["search_a", "search_b"]].itertuples(index=False, name=None)
    found = ["NASWOT, N = 3", "naswot over depth, N = 3", "naswot over three, N = 3", "random"]
    assert list(pairs) == [(a, b) for i, a in enumerate(found) for b in found[i + 1 :]]


@pytest.mark.parametrize("figure", FIGURES)
def test_the_figures_that_compare_are_there(compared: Project, figure: str) -> None:
    figures = compared.folder / "results/figures"
    assert (figures / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    assert (figures / f"{figure}.png").read_bytes().startswith(b"\x89PNG")


def test_searches_go_by_a_users_proxy_and_by_an_aggregate(compared: Project) -> None:
    rows = pd.read_csv(compared.folder / "results/tables/searches.csv")
    assert rows["proxy"].fillna("").tolist() == ["naswot", "depth", "three", ""]
    by_depth = scores(compared, "depth")["score"]
    runs = read_table(compared.folder / FOUND / "naswot-depth-3.parquet")
    assert len(runs) == 5
    # The same architectures are drawn whatever a search goes by.
    by_three = read_table(compared.folder / FOUND / "naswot-three-3.parquet")
    assert runs["seed"].tolist() == by_three["seed"].tolist()
    assert (by_depth[runs["arch_index"]].to_numpy() >= by_depth[by_three["arch_index"]].to_numpy()).all()
    assert read_provenance(compared.folder / FOUND / "naswot-three-3.parquet")["how"] == "log"


def test_a_changed_file_of_the_users_scores_its_proxy_again_and_what_follows_from_it(changeable: Project) -> None:
    assert changeable.to_do(*WANTED) == {}
    Path(changeable.folder, "mine.py").write_text(MINE.replace("Conv2d", "BatchNorm2d"))
    jobs = changeable.to_do(*WANTED)
    assert sorted(jobs["score"]) == [f"{SHARDS}/depth/seed-0/shard-{k}.parquet" for k in (0, 1)]
    assert jobs["gather_scores"] == [f"{SCORES}/depth/seed-0.parquet"]
    assert jobs["aggregate_scores"] == [f"{SCORES}/ranks-naswot-depth/seed-0.parquet"]
    assert jobs["search"] == [f"{FOUND}/naswot-depth-3.parquet"]
    assert {Path(file).stem for file in jobs["correlation"]} == {"depth", "ranks-naswot-depth"}
    assert {"proxy_tests", "proxy_matrix", "proxy_bars", "search_tests", "search_ranks"} <= jobs.keys()


def test_another_way_to_combine_ranks_scores_nothing_again(changeable: Project) -> None:
    changeable.config["proxies"][-1]["aggregate"]["how"] = "mean"
    jobs = changeable.to_do(*WANTED)
    assert jobs["aggregate_scores"] == [f"{SCORES}/three/seed-0.parquet"]
    assert jobs["search"] == [f"{FOUND}/naswot-three-3.parquet"]
    assert not {"score", "gather_scores"} & jobs.keys()


def test_an_aggregate_alone_has_its_members_scored_but_not_compared(changeable: Project) -> None:
    changeable.config["proxies"] = changeable.config["proxies"][-1:]
    jobs = changeable.to_do(*WANTED)
    # All that it needs is there; the searches go on by proxies that are no longer compared.
    assert not {"score", "gather_scores", "aggregate_scores", "search", "correlation"} & jobs.keys()
    assert "correlation_table" in jobs
