"""Killed at any moment, the same command goes on and ends with the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.workflow.conftest import Project

TABLES = ("searches", "correlations")


@pytest.fixture(scope="module")
def uninterrupted(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project with the slow proxy scored in one go."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "project"
    shutil.copytree(finished.folder, folder)
    project = Project(folder, finished.checkout)
    project.config["proxies"].append("slow")
    project.run()
    return project


def _wait_for_a_half_scored_shard(project: Project) -> None:
    for _ in range(600):
        if len(project.calls) >= 2:
            return
        time.sleep(0.1)
    pytest.fail("scoring did not begin")


@pytest.mark.parametrize("whole_group", [True, False], ids=["with its jobs", "alone"])
def test_snakemake_killed_while_scoring_goes_on_where_it_stopped(
    project: Project, uninterrupted: Project, whole_group: bool
) -> None:
    project.config["proxies"].append("slow")
    process = project.start()
    _wait_for_a_half_scored_shard(project)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    process.wait()
    assert list((project.folder / ".snakemake" / "locks").iterdir())
    project.run()
    assert sorted(set(project.calls)) == sorted(set(uninterrupted.calls))
    if whole_group:
        # Lost was at most the architecture in work, in each of the two jobs. (A job that outlives its Snakemake
        # may finish its shard, which the next Snakemake does not trust and has scored again.)
        assert len(project.calls) <= len(uninterrupted.calls) + 2
    assert not list(Path(project.folder, "results").rglob("*.partial"))
    for table in TABLES:
        assert project.table(table) == uninterrupted.table(table)


def test_a_second_run_beside_a_living_one_is_refused(project: Project) -> None:
    project.config["proxies"].append("slow")
    process = project.start()
    try:
        _wait_for_a_half_scored_shard(project)
        project.run("--dry-run")
        assert "locked" in project.run(fails=True)
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
