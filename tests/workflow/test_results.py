"""What a finished run leaves behind."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from naswot_ext.config import resolve
from naswot_ext.errors import NaswotError
from naswot_ext.provenance import read_provenance
from tests.workflow.conftest import Project

# The body of a rule: what is indented below its name.
RULE = r"^(?:rule|checkpoint) \w+:\n((?: {4}.*\n|\n)+)"


def test_a_run_ends_with_the_headline_and_where_the_results_are(finished: Project) -> None:
    end = (finished.folder / "printed").read_text()[-2000:]
    for what in ("Kendall tau", "NASWOT, N = 3", "results/report.html", "results/tables", "results/figures"):
        assert what in end


def test_other_targets_end_without_a_headline_though_there_are_no_tables(project: Project) -> None:
    for table in ("searches", "correlations"):
        Path(project.folder, f"results/tables/{table}.csv").unlink()
    Path(project.folder, "results/benchmarks/nasbench201.parquet").unlink()
    assert "Kendall tau" not in project.run("results/benchmarks/nasbench201.parquet")
    assert "Kendall tau" in project.run("results")


def test_tables_hold_every_proxy_and_every_search(finished: Project) -> None:
    tables = finished.folder / "results" / "tables"
    correlations = pd.read_csv(tables / "correlations.csv")
    assert list(correlations["proxy"]) == ["params", "naswot"]
    assert set(correlations["architectures"]) == {6}
    searches = pd.read_csv(tables / "searches.csv")
    assert list(searches["algorithm"]) == ["naswot", "random", "optimal"]
    assert set(searches["runs"]) == {5}


def test_the_report_is_one_file_with_all_tables_figures_and_captions(finished: Project) -> None:
    page = (finished.folder / "results" / "report.html").read_text()
    for result in ("tables/searches.html", "tables/correlations.csv", "noise/naswot.png", "noise/searches.png"):
        assert f"results/{result}".replace("noise", "figures/nasbench201/noise") in page
    assert page.count("data:image/png") >= 3
    assert "untrained architecture of" in page
    assert "Neural architecture search without training" in page
    assert not re.search(r"""<(script|link|img)[^>]+(src|href)=["']https?:""", page)


def test_the_resolved_config_makes_the_same_results(project: Project) -> None:
    resolved = project.folder / "results" / "resolved_config.yaml"
    project.config = yaml.safe_load(resolved.read_text())
    assert project.config["figures"]["split"] == "test"
    assert project.to_do() == {}


def test_score_tables_say_how_they_were_made(finished: Project) -> None:
    made_by = read_provenance(finished.folder / "results/scores/nasbench201/noise/naswot/seed-0.parquet")
    assert made_by["proxy"] == "naswot"
    assert made_by["device"] == "cpu"


def test_failed_architectures_do_not_fail_the_run_and_are_counted(project: Project) -> None:
    project.config["proxies"].append("fragile")
    project.run()
    row = pd.read_csv(project.folder / "results/tables/correlations.csv").set_index("proxy").loc["fragile"]
    scores = pd.read_parquet(project.folder / "results/scores/nasbench201/noise/fragile/seed-0.parquet")
    failed = scores[scores["status"] == "failed"]
    assert 0 < row["failed"] == len(failed) < 6
    assert set(failed["error"]) == {"ValueError: this network is too fragile"}
    log = project.folder / "results/logs/scores/nasbench201/noise/fragile/seed-0.log"
    assert f"{len(failed)} failed" in log.read_text()


def test_rules_that_compute_have_a_log_and_a_benchmark_in_the_same_order(checkout: Path) -> None:
    order = ["input", "output", "log", "benchmark", "localrule", "threads", "resources", "params", "script"]
    rules = 0
    for file in (checkout / "workflow" / "rules").glob("*.smk"):
        for body in re.findall(RULE, file.read_text(), flags=re.MULTILINE):
            directives = re.findall(r"^ {4}(\w+):", body, flags=re.MULTILINE)
            directives = [d for d in directives if d != "wildcard_constraints"]
            assert directives == [d for d in order if d in directives], file
            assert {"log", "benchmark", "script"} <= set(directives), file
            rules += 1
    assert rules > 8


def test_rules_are_fingerprinted_by_every_module_that_their_scripts_call(checkout: Path) -> None:
    # Another way to the same bytes of a download is no reason to fetch it again, as its rule says.
    messages = {"naswot_ext.errors", "naswot_ext.files", "naswot_ext.downloads"}
    common = (checkout / "workflow" / "rules" / "common.smk").read_text()
    scripts = 0
    for file in (checkout / "workflow" / "rules").glob("*.smk"):
        for body in re.findall(RULE, file.read_text(), flags=re.MULTILINE):
            script = re.search(r'"\.\./scripts/(\w+\.py)"', body)
            assert script
            source = (checkout / "workflow" / "scripts" / script[1]).read_text()
            called = set(re.findall(r"^ +from (naswot_ext[\w.]+) import", source, flags=re.MULTILINE))
            for shared in re.findall(r"\b\w+_code\b", body):  # what rules share
                body += common[common.index(f"def {shared}") :].split("\n\n\n")[0]
            assert called - messages <= set(re.findall(r'"(naswot_ext[\w.]+)"', body)), script[1]
            scripts += bool(called - messages)
    assert scripts > 8


def test_lint_finds_nothing_but_missing_containers(new_project: Project) -> None:
    printed = new_project.run("--lint", fails=True)
    assert set(re.findall(r"^ {4}\* (.*)$", printed, flags=re.MULTILINE)) == {
        "Specify a conda environment or container for each rule.:"
    }


@pytest.mark.parametrize("config", ["config.yaml", "nasbench201.yaml", "tables.yaml", "spaces.yaml"])
def test_shipped_configs_name_no_unknown_key(checkout: Path, config: str) -> None:
    try:
        resolve(
            yaml.safe_load((checkout / "config" / config).read_text()), checkout / "workflow/schemas/config.schema.yaml"
        )
    except NaswotError as error:
        assert "there is no file" in str(error)  # noqa: PT017 (the example's files need not be there)
