"""Scores made again: the same on the same machine, near to it on others, and a changed one is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from naswot_ext.archive import rescore
from naswot_ext.archive.jobs import machine
from naswot_ext.archive.rescore import ELSEWHERE, EXACT, Task, plan, score_again
from naswot_ext.datasets import make_batch, save_batch
from naswot_ext.provenance import read_provenance, read_table, write_table
from naswot_ext.scoring import gather, score_architectures


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores of four architectures by two proxies, of which one fails on an architecture, laid out as in an archive."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "results/batches/noise").mkdir(parents=True)
    batch = folder / "results/batches/noise/b.npz"
    save_batch(make_batch({"source": "gaussian", "image_size": 8}, 4, 0), batch)
    scores = folder / "results/scores/nasbench201/noise"
    score_architectures("nasbench201", [3, 9, 27, 81], ["naswot", "params"], batch, 1, scores / "shards/f/s.parquet")
    for proxy in ("naswot", "params"):
        gather([scores / "shards/f/s.parquet"], scores / proxy / "seed-1.parquet", proxy)
    (folder / "environment").mkdir()
    (folder / "environment/machines.json").write_text(json.dumps({"made_on": [{**machine(), "jobs": 1}]}))
    return folder


def _tasks(archive: Path, count: int = 100) -> list[Task]:
    ((place, tasks),) = plan(archive, count, np.random.default_rng(0)).items()
    assert place == "scores/nasbench201/noise"
    return [task for task in tasks if isinstance(task, Task)]


def test_gathered_tables_are_drawn_from_and_shards_are_not(archive: Path) -> None:
    tasks = _tasks(archive)
    assert {task.table.parent.name for task in tasks} == {"naswot", "params"}
    assert sum(len(task.rows) for task in tasks) == 8
    assert sum(len(task.rows) for task in _tasks(archive, count=3)) == 3


def test_scores_made_again_on_the_same_machine_are_the_same(archive: Path) -> None:
    for task in _tasks(archive):
        assert task.tolerance == EXACT
        outcome = score_again(task)
        assert (outcome.compared, outcome.largest, outcome.problems) == (4, 0.0, ())


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("score", 1.25, "score is 1.25 in the archive"),
        ("status", "failed", "status is failed in the archive, ok now"),
        ("units", 7, "units is 7 in the archive"),
        ("arch", "other", "arch is other in the archive"),
    ],
)
def test_a_changed_value_is_told_with_its_table_and_architecture(
    archive: Path, tmp_path: Path, column: str, value: object, said: str
) -> None:
    (task,) = [task for task in _tasks(archive) if task.table.parent.name == "naswot"]
    table = read_table(task.table)
    table[column] = [value, *table[column][1:]]
    facts = read_provenance(task.table)
    write_table(table, tmp_path / "scores/a/b/naswot/seed-1.parquet", **facts)
    changed = Task(tmp_path / "scores/a/b/naswot/seed-1.parquet", (0,), task.batch, None, EXACT, "")
    (problem,) = score_again(changed).problems
    assert problem.startswith(f"scores/a/b/naswot/seed-1.parquet, architecture 3: {said}")


def test_tables_whose_images_are_not_there_are_told(archive: Path, tmp_path: Path) -> None:
    task = _tasks(archive)[0]
    facts = {**read_provenance(task.table), "batch": "0" * 64}
    table = tmp_path / "results/scores/nasbench201/noise/naswot/seed-1.parquet"
    write_table(read_table(task.table), table, **facts)
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment/machines.json").write_text('{"made_on": []}')
    ((problem,),) = plan(tmp_path, 4, np.random.default_rng(0)).values()
    assert "naswot/seed-1.parquet cannot be scored again: the images" in str(problem)


@pytest.mark.parametrize(
    ("facts", "machines", "tolerance"),
    [
        ({}, [machine()], EXACT),
        ({}, [machine(), {**machine(), "cpu": "another"}], ELSEWHERE),
        ({}, [{**machine(), "instructions": ["avx"]}], ELSEWHERE),
        ({}, [], ELSEWHERE),
        ({"device": "cuda"}, [machine()], ELSEWHERE),
        ({"torch": "0.1"}, [machine()], ELSEWHERE),
        ({"torch": "0.1", "proxy": "zico"}, [machine()], 5e-2),
        ({"device": "cuda", "precision": "tf32"}, [machine()], 1e-1),
    ],
)
def test_nothing_may_differ_on_the_same_kind_of_machine_and_little_elsewhere(
    tmp_path: Path, facts: dict[str, str], machines: list[dict[str, object]], tolerance: float
) -> None:
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment/machines.json").write_text(json.dumps({"made_on": machines}))
    here = {"device": "cpu", "precision": "float32", "proxy": "naswot", "torch": rescore.software()["torch"]}
    assert rescore.tolerance({**here, **facts}, tmp_path)[0] == tolerance


def test_what_loosens_a_comparison_is_said(tmp_path: Path) -> None:
    (tmp_path / "environment").mkdir()
    machines = json.dumps({"made_on": [machine(), {**machine(), "cpu": "invented"}]})
    (tmp_path / "environment/machines.json").write_text(machines)
    facts = {"device": "cpu", "precision": "float32", "proxy": "naswot", "torch": rescore.software()["torch"]}
    assert rescore.tolerance(facts, tmp_path)[1] == "1 of 2 machines that made the archive are unlike this one"
    (tmp_path / "environment/machines.json").write_text(json.dumps({"made_on": [machine()]}))
    facts["torch"] = "0.1"
    assert rescore.tolerance(facts, tmp_path)[1] == "made with torch 0.1, which is not the one here"


def _changed(archive: Path, folder: Path, **facts: object) -> Path:
    """A copy of the archive whose NASWOT scores say other facts of how they were made; None takes a fact away."""
    shutil.copytree(archive, folder)
    table = folder / "results/scores/nasbench201/noise/naswot/seed-1.parquet"
    said = {**read_provenance(table), **facts}
    metadata = {b"naswot": json.dumps({key: value for key, value in said.items() if value is not None})}
    pq.write_table(pq.read_table(table).replace_schema_metadata(metadata), table)
    return folder


@pytest.mark.parametrize("count", [0, 4])
@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"threads": None}, "it does not say its threads"),
        ({"proxy": "my_own"}, "it says that it is of another space, proxy or seed than its name"),
        ({"proxy": None, "batch": None}, "it does not say its batch, proxy"),
    ],
)
def test_no_table_escapes_by_what_it_says_of_itself(
    archive: Path, tmp_path: Path, facts: dict[str, object], said: str, count: int
) -> None:
    (found,) = plan(_changed(archive, tmp_path / "changed", **facts), count, np.random.default_rng(0)).values()
    (problem,) = [each for each in found if isinstance(each, str)]
    assert problem == f"results/scores/nasbench201/noise/naswot/seed-1.parquet cannot be scored again: {said}"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_every_table_a_row_is_scored_again(archive: Path, count: int) -> None:
    tasks = _tasks(archive, count)
    assert {task.table.parent.name for task in tasks} == {"naswot", "params"}
    assert sum(len(task.rows) for task in tasks) == max(2, count)


def test_singular_scores_are_the_same_as_each_other_alone() -> None:
    scores = pd.Series([-np.inf, -np.inf, np.nan, 1.0])
    others = pd.Series([-np.inf, 1.0, np.nan, 1.5])
    found = [rescore._apart(a, b) for a, b in zip(scores, others, strict=True)]
    assert found == [0.0, np.inf, 0.0, pytest.approx(1 / 3)]
