"""Killed at any moment, the same command goes on and ends with the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.workflow.conftest import Project

TABLES = ("searches", "correlations")
# Ends the process with an error when everything is written, as a full disk or a missing library may.
_FAILING = """import atexit
import os

atexit.register(lambda: (print("this fails at its end", flush=True), os._exit(1)))

"""
# In the report's script: what comes when the page is written, and what stops it there for the kill.
_REPORTED = 'page = path.read_text(encoding="utf-8")'
_STOPPED = 'import time; Path("written").touch(); time.sleep(600); '


@pytest.fixture(scope="module")
def uninterrupted(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project with the slow proxy scored in one go."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "project"
    shutil.copytree(finished.folder, folder)
    project = Project(folder, finished.checkout)
    project.config["proxies"].append("slow")
    project.run()
    return project


def _wait_for_half_scored_shards(project: Project) -> None:
    """Wait until each of the two shards has its first score; held, they get no other."""
    _wait_until(lambda: len(project.calls) == 2)


@pytest.mark.parametrize("whole_group", [True, False], ids=["with its jobs", "alone"])
def test_snakemake_killed_while_scoring_goes_on_where_it_stopped(
    project: Project, uninterrupted: Project, whole_group: bool
) -> None:
    project.config["proxies"].append("slow")
    with project.held():
        process = project.start()
        _wait_for_half_scored_shards(project)
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        # Nobody is left who could write what the next run makes.
        _wait_until(lambda: not _lives(process.pid))
    assert list((project.folder / ".snakemake" / "locks").iterdir())
    project.run()
    assert sorted(set(project.calls)) == sorted(set(uninterrupted.calls))
    # Lost was at most the architecture in work, in each of the two jobs.
    assert len(project.calls) <= len(uninterrupted.calls) + 2
    assert not list(Path(project.folder, "results").rglob("*.partial"))
    for table in TABLES:
        assert project.table(table) == uninterrupted.table(table)


def test_a_second_run_beside_a_living_one_is_refused(project: Project) -> None:
    project.config["proxies"].append("slow")
    with project.held():
        process = project.start()
        try:
            _wait_for_half_scored_shards(project)
            project.run("--dry-run")
            assert "locked" in project.run(fails=True)
            assert process.poll() is None
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_a_job_that_fails_after_it_has_written_leaves_nothing_that_looks_finished(
    project: Project, changed: Callable[[str, str, str], Any]
) -> None:
    project.config["statistics"]["bootstrap"] = 30
    table = project.folder / "results/tables/correlations.csv"
    before = table.read_bytes()
    with changed(
        "workflow/scripts/correlation_table.py", "with reporting(snakemake):", f"{_FAILING}with reporting(snakemake):"
    ):
        printed = project.run("--keep-going", fails=True)
    assert "this fails at its end" in printed
    assert not any(table.with_suffix(form).exists() for form in (".csv", ".md", ".html"))
    # What does not depend on it is made; what does is not, and known to be of before.
    assert project.to_do().keys() == {"correlation_table", "html_report"}
    project.run()
    assert table.read_bytes() != before
    assert project.to_do() == {}


def test_figures_of_a_run_that_was_killed_are_whole_or_made_again(project: Project) -> None:
    project.config["figures"]["dpi"] = 60
    figures = sorted((project.folder / "results/figures").rglob("*.png"))
    before = [_time_of(figure) for figure in figures]
    process = project.start()
    _wait_until(lambda: [_time_of(figure) for figure in figures] != before)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    again = {file.replace(".pdf", ".png") for files in project.to_do().values() for file in files}
    assert "results/report.html" in again
    made = [figure for figure in figures if str(figure.relative_to(project.folder)) not in again]
    assert all(_dots(figure) == 60 for figure in made)
    project.run()
    assert all(_dots(figure) == 60 for figure in figures)


def test_a_report_that_was_killed_is_no_report(project: Project, changed: Callable[[str, str, str], Any]) -> None:
    report = project.folder / "results/report.html"
    whole = report.stat().st_size
    report.unlink()
    written = project.folder / "written"
    # Stops with a page that looks whole, in which the places of the checkout still stand.
    with changed("workflow/scripts/report.py", _REPORTED, f"{_STOPPED}{_REPORTED}"):
        process = project.start()
        _wait_until(written.exists)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert not report.exists()
    assert project.to_do().keys() == {"html_report"}
    project.run()
    assert report.stat().st_size == pytest.approx(whole, rel=0.01)
    assert report.read_text().rstrip().endswith("</html>")


def _lives(group: int) -> bool:
    """Whether there is a process of a group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _time_of(file: Path) -> int | None:
    """When it was made; None where it is not there."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _dots(figure: Path) -> int:
    """The dots per inch of a figure that can be read to its end."""
    with Image.open(figure) as image:
        image.load()
        return round(image.info["dpi"][0])


def _wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < deadline, "nothing happened within five minutes"
        time.sleep(0.05)
