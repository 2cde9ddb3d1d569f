"""Spaces whose architectures stand in a table: what is drawn, scored again and drawn on the sheet of all spaces."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from naswot_ext.provenance import read_provenance, read_table
from tests.workflow.conftest import Project

OPERATIONS = ["conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"]
ACCURACIES = [{"dataset": "cifar10", "epochs": 108, "valid": ["v1", "v2"], "test": "t"}]


def write_cells(path: Path, cells: int, best: float = 95.0) -> None:
    """A table of chains of one to six operations."""
    rows = []
    for i in range(cells):
        operations = ["input", *(OPERATIONS[(i + j) % 3] for j in range(1 + i // 3)), "output"]
        n = len(operations)
        adjacency = [[int(column == row + 1) for column in range(n)] for row in range(n)]
        accuracy = best - i
        rows.append([json.dumps(adjacency), json.dumps(operations), accuracy - 1, accuracy + 1, accuracy])
    pd.DataFrame(rows, columns=["adjacency", "operations", "v1", "v2", "t"]).to_csv(path, index=False)


def nasbench101(path: Path, architectures: int | str = "all") -> dict[str, Any]:
    columns = {"adjacency": "adjacency", "operations": "operations"}
    return {
        "architectures": architectures,
        "network": {"stem_channels": 4, "modules": 1},
        "benchmark": {"source": "table", "path": str(path), "arch": columns, "accuracy": ACCURACIES},
    }


@pytest.fixture(scope="module")
def finished_cells(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project over a table of seven cells of NAS-Bench-101, run to its end."""
    project = Project(tmp_path_factory.mktemp("cells"), checkout)
    write_cells(project.folder / "cells.csv", 7)
    project.config["spaces"] = {"nasbench101": nasbench101(Path("cells.csv"))}
    project.config["proxies"] = ["params"]
    project.run()
    return project


@pytest.fixture
def cells(finished_cells: Project, tmp_path: Path) -> Project:
    """A copy of it, to change and run."""
    shutil.copytree(finished_cells.folder, tmp_path / "cells")
    return Project(tmp_path / "cells", finished_cells.checkout, copy.deepcopy(finished_cells.config))


def test_all_rows_of_a_table_are_scored_in_its_own_order(cells: Project) -> None:
    truth = read_table(cells.folder / "results/benchmarks/nasbench101.parquet")
    assert truth["arch_index"].tolist() == list(range(7))
    assert truth["valid_accuracy"].tolist() == [95.0 - i for i in range(7)]
    scores = read_table(cells.folder / "results/scores/nasbench101/noise/params/seed-0.parquet")
    assert scores["arch"].tolist() == truth["arch"].tolist()
    assert set(scores["status"]) == {"ok"}
    facts = read_provenance(cells.folder / "results/scores/nasbench101/noise/params/seed-0.parquet")
    assert facts["network"] == {"stem_channels": 4, "stacks": 3, "modules": 1}


def test_another_accuracy_of_the_same_table_scores_nothing_again(cells: Project) -> None:
    cells.config["spaces"]["nasbench101"]["benchmark"]["accuracy"] = [ACCURACIES[0] | {"test": "v1"}]
    to_do = cells.to_do()
    assert "ground_truth" in to_do
    assert "correlation" in to_do
    assert not {"architectures", "score", "gather_scores"} & set(to_do)


def test_another_network_scores_again(cells: Project) -> None:
    cells.config["spaces"]["nasbench101"]["network"]["modules"] = 2
    jobs = cells.to_do()
    assert "score" in jobs
    # Searches by the ground truth alone build no network.
    assert jobs["search"] == ["results/searches/nasbench101/noise/naswot-3.parquet"]


def test_a_longer_table_is_listed_and_scored_again(cells: Project) -> None:
    write_cells(cells.folder / "cells.csv", 9)
    cells.run()
    scores = read_table(cells.folder / "results/scores/nasbench101/noise/params/seed-0.parquet")
    assert len(scores) == 9


def test_more_than_the_table_holds_is_one_clear_error(cells: Project) -> None:
    cells.config["spaces"]["nasbench101"]["architectures"] = 8
    assert "8 architectures are to be drawn from 7. Give 1 to 7, or all." in cells.run(fails=True)


def test_a_table_of_a_part_of_a_space_is_drawn_from_itself(new_project: Project, tmp_path: Path) -> None:
    widths = [f"8:8:8:8:{width}" for width in range(8, 65, 8)]
    pd.DataFrame({"arch": widths, "t": range(80, 88)}).to_csv(tmp_path / "part.csv", index=False)
    accuracy = [{"dataset": "cifar10", "epochs": 90, "test": "t"}]
    benchmark = {"source": "table", "path": str(tmp_path / "part.csv"), "accuracy": accuracy}
    new_project.config["spaces"] = {"nats-sss": {"architectures": 6, "benchmark": benchmark}}
    new_project.config["proxies"] = ["params"]
    new_project.run()
    scores = read_table(new_project.folder / "results/scores/nats-sss/noise/params/seed-0.parquet")
    assert len(scores) == 6
    assert set(scores["arch"]) < set(widths)


def test_a_space_is_scored_on_its_own_data_sets_only(cells: Project) -> None:
    cells.config["datasets"]["more"] = {"source": "gaussian", "image_size": 8}
    cells.config["spaces"]["nasbench101"]["datasets"] = ["noise"]
    assert "score" not in cells.to_do()
    cells.config["spaces"]["nasbench101"]["datasets"] = ["noise", "more"]
    assert all("/more/" in shard for shard in cells.to_do()["score"])


def test_the_sheet_of_all_spaces_is_a_figure_of_the_report(cells: Project) -> None:
    assert (cells.folder / "results/figures/spaces/params.png").stat().st_size > 10_000
    assert "figures/spaces/params.png" in (cells.folder / "results/report.html").read_text()


def test_the_example_of_own_tables_runs_on_real_files(
    new_project: Project, checkout: Path, real_data: Callable[[str], Path]
) -> None:
    config = yaml.safe_load((checkout / "config" / "tables.yaml").read_text())
    for options in (*(s["benchmark"] for s in config["spaces"].values()), *config["datasets"].values()):
        options["path"] = str(real_data(Path(options["path"]).name))
    for space in config["spaces"].values():
        space["architectures"] = 6
    config |= {"batch_size": 4, "proxies": ["naswot"], "results": "results", "statistics": {"bootstrap": 20}}
    config["searches"] = {"runs": 5, "algorithms": {"optimal": {"n_samples": [3], "by": "either"}}}
    new_project.config = config
    new_project.run()
    correlations = pd.read_csv(new_project.folder / "results/tables/correlations.csv")
    assert correlations.groupby("space")["split"].agg(set).to_dict() == {
        "nasbench101": {"valid", "test"},
        "nats-sss": {"test"},
        "nds-darts": {"valid"},
    }
    assert (correlations["failed"] == 0).all()
