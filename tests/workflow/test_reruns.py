"""Snakemake re-runs what changed, and only that."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from naswot_ext.provenance import read_provenance, read_table
from tests.workflow.conftest import Project

LAST = {"html_report"}
SHOWS_CORRELATIONS = {"correlation_table", "score_figure", "space_sheet", "proxy_matrix", "proxy_bars"}
FIGURES = {"score_figure", "search_figure", "space_sheet", "proxy_matrix", "proxy_bars", "search_ranks", "search_wins"}
JOINS_PROXIES = {"correlation_table", "proxy_tests", "test_table", "proxy_matrix", "proxy_bars"}
SCORES = "results/scores/nasbench201/noise"


def test_an_unchanged_config_runs_nothing_and_says_so_within_seconds(project: Project) -> None:
    # Of the processor: what else a busy machine does is not its fault.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "Nothing to be done" in project.run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 15


def test_keys_in_another_order_run_nothing(project: Project) -> None:
    project.config = dict(reversed(project.config.items()))
    project.config["datasets"]["noise"] = {"image_size": 8, "source": "gaussian"}
    assert project.to_do() == {}


def test_a_changed_figure_option_runs_only_figures(project: Project) -> None:
    project.config["figures"]["dpi"] = 60
    assert project.to_do().keys() == FIGURES | LAST


def test_a_changed_bootstrap_runs_correlations_and_what_shows_them(project: Project) -> None:
    project.config["statistics"]["bootstrap"] = 30
    tests = {"proxy_tests", "search_tests", "test_table"}
    assert project.to_do().keys() == {"correlation", *SHOWS_CORRELATIONS} | tests | LAST


@pytest.mark.parametrize(("proxy", "scored"), [("snip", {"score"}), ("units", set())])
def test_a_new_proxy_runs_only_that_proxy_and_what_joins_it(project: Project, proxy: str, scored: set[str]) -> None:
    """One that a forward pass gives, too, is there already."""
    project.config["proxies"].append(proxy)
    jobs = project.to_do()
    of_the_proxy = scored | {"gather_scores", "correlation", "score_figure", "space_sheet"}
    assert jobs.keys() == of_the_proxy | JOINS_PROXIES | LAST
    assert all(f"/{proxy}" in file for rule in of_the_proxy for file in jobs[rule])


def test_proxies_in_another_order_are_joined_again(project: Project) -> None:
    project.config["proxies"].reverse()
    assert project.to_do().keys() == JOINS_PROXIES | LAST


def test_a_proxy_less_runs_only_what_joins_them(project: Project) -> None:
    project.config["proxies"].append("units")
    project.run()
    project.config["proxies"] = ["params", "naswot"]
    assert project.to_do().keys() == JOINS_PROXIES | LAST


def test_a_search_by_a_proxy_that_is_not_compared_has_it_scored(project: Project) -> None:
    project.config["searches"]["algorithms"]["naswot"]["proxy"] = ["naswot", "units"]
    jobs = project.to_do()
    assert jobs["gather_scores"] == [f"{SCORES}/units/seed-0.parquet"]
    assert jobs["search"] == ["results/searches/nasbench201/noise/naswot-units-3.parquet"]
    assert "correlation" not in jobs


def test_a_changed_batch_size_runs_scores_and_what_follows_but_no_search_without_scores(project: Project) -> None:
    project.config["batch_size"] = 5
    jobs = project.to_do()
    assert jobs["batch"] == ["results/batches/noise/size-5/seed-0.npz"]
    assert len(jobs["score"]) == 2
    assert jobs["search"] == ["results/searches/nasbench201/noise/naswot-3.parquet"]
    assert jobs.keys() >= {"gather_scores", "correlation", "correlation_table", "search_table", "score_figure"}
    assert "ground_truth" not in jobs


def test_more_architectures_leave_the_shards_before_them_alone(project: Project) -> None:
    project.config["spaces"]["nasbench201"]["architectures"] = 9
    shards = [f"{SCORES}/shards/forward/seed-0/shard-{k}.parquet" for k in (1, 2)]
    assert sorted(project.to_do()["score"]) == shards


def test_another_precision_scores_again_and_makes_no_batch_or_ground_truth_again(project: Project) -> None:
    project.config["scoring"]["precision"] = "bfloat16"
    jobs = project.to_do()
    assert len(jobs["score"]) == 2
    assert not {"batch", "ground_truth"} & jobs.keys()
    assert jobs["search"] == ["results/searches/nasbench201/noise/naswot-3.parquet"]


def test_a_new_seed_scores_only_that_seed(project: Project) -> None:
    project.config["seeds"] = [0, 1]
    jobs = project.to_do()
    assert len(jobs["score"]) == 2
    assert all("/seed-1/" in file for file in jobs["score"])


def test_more_runs_search_again_and_score_nothing(project: Project) -> None:
    project.config["searches"]["runs"] = 6
    shows = {"search_table", "search_figure", "search_tests", "search_ranks", "search_wins", "test_table"}
    assert project.to_do().keys() == {"search"} | shows | LAST


def test_runs_in_smaller_jobs_are_the_same_runs(project: Project) -> None:
    found = "results/searches/nasbench201/noise/naswot-3.parquet"
    before = read_table(project.folder / found)
    project.config["searches"]["runs_per_job"] = 2
    jobs = project.to_do()
    assert len(jobs["search_runs"]) == 9
    assert "score" not in jobs
    project.run(found)
    assert read_table(project.folder / found).equals(before)


@pytest.mark.parametrize(
    ("file", "old", "new", "scored"),
    [
        ("naswot_ext/scoring.py", "/ len(chunk)", "/ (len(chunk) + 0)", 2),
        ("naswot_ext/proxies/params.py", "p.requires_grad)", "p.requires_grad) + 0", 2),
        ("naswot_ext/proxies/snip.py", "import annotations", "import annotations\nUNUSED = 1", 0),
        ("naswot_ext/spaces/nasbench201.py", "padding=1", "padding=1 + 0", 2),
    ],
)
def test_a_changed_line_of_the_scoring_code_scores_again(
    project: Project, changed: Callable[[str, str, str], Any], file: str, old: str, new: str, scored: int
) -> None:
    with changed(file, old, new):
        assert len(project.to_do().get("score", [])) == scored


def test_changed_scoring_code_leaves_searches_by_the_ground_truth_alone(
    project: Project, changed: Callable[[str, str, str], Any]
) -> None:
    with changed("naswot_ext/scoring.py", "/ len(chunk)", "/ (len(chunk) + 0)"):
        assert project.to_do()["search"] == ["results/searches/nasbench201/noise/naswot-3.parquet"]


def test_changed_provenance_makes_every_file_again_that_records_it(
    project: Project, changed: Callable[[str, str, str], Any]
) -> None:
    with changed("naswot_ext/provenance.py", "sort_keys=True", "sort_keys=not False"):
        jobs = project.to_do()
    assert jobs.keys() >= {"ground_truth", "score", "gather_scores", "search", "correlation"}
    assert "batch" not in jobs


@pytest.mark.parametrize("package", ["torch", "numpy"])
def test_another_version_of_torch_or_numpy_scores_again(project: Project, checkout: Path, package: str) -> None:
    installed = checkout / f"{package}-99.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 99\n")
    try:
        assert len(project.to_do()["score"]) == 2
    finally:
        shutil.rmtree(installed)


@pytest.mark.parametrize("offer", [("--resources", "gpu=4"), ("--set-resources", "score:gpu=1")])
def test_offered_gpus_score_again_what_a_cpu_scored(project: Project, offer: tuple[str, str]) -> None:
    assert len(project.to_do(*offer)["score"]) == 2


def test_where_there_is_no_gpu_jobs_say_so_and_score_on_the_cpu(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    table = f"{SCORES}/params/seed-0.parquet"
    offer = ("--resources", "gpu=1")
    assert project.run(table, *offer).count("torch sees none") == 2
    assert read_provenance(project.folder / table)["device"] == "cpu"
    assert "score" not in project.to_do(table, *offer)


def test_a_changed_comment_runs_nothing(project: Project, changed: Callable[[str, str, str], Any]) -> None:
    with changed("naswot_ext/scoring.py", "from __future__", "# A remark.\nfrom __future__"):
        assert project.to_do() == {}


def test_a_config_file_stands_alone_instead_of_adding_to_the_default_one(new_project: Project) -> None:
    assert new_project.to_do()["batch"] == ["results/batches/noise/size-4/seed-0.npz"]


def test_scoring_jobs_take_a_gpu_each_where_gpus_are_offered(new_project: Project) -> None:
    assert "gpu=1" in new_project.run("--dry-run", "--resources", "gpu=4")
    assert "gpu=1" not in new_project.run("--dry-run")
