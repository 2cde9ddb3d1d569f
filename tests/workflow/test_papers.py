"""Every table and figure of both papers, made from real ground truth and images with networks that are very small."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from naswot_ext.papers.items import ITEMS
from naswot_ext.papers.items import PAPERS as TITLES
from tests.conftest import REPOSITORY
from tests.workflow.browser import Page
from tests.workflow.conftest import Project
from tests.workflow.planning import changed
from tests.workflow.test_report import ROWS, Report, needs_chromium

# The run that all tests look at is made when the first of them starts.
pytestmark = pytest.mark.timeout(2500)

TINY: dict[str, Any] = {
    "batch_size": 8,
    "batch_sizes": {"jacobian": 8},
    "offline": True,
    "spaces": {
        "nasbench201": {"architectures": 40, "network": {"channels": 4, "cells": 1}},
        "nasbench101": {"architectures": 20, "network": {"stem_channels": 4, "stacks": 1, "modules": 1}},
        "nats-sss": {"architectures": 20},
        "nds-darts": {"architectures": 8},
    },
    "searches": {
        "runs": 30,
        "algorithms": {
            "area": {"runs": 10},
            "naswot_live": {"n_samples": [2], "runs": 1},
            "naswot_live@2020": {"n_samples": [2], "runs": 1},
        },
    },
    "papers": {
        "ablation": {"networks": 2, "samples": 2, "batch_sizes": [4, 8]},
        "ablation_2020": {"networks": 2, "samples": 2},
        "training": {"networks": 2, "epochs": 1, "images": 16, "batch_size": 8},
        "kernels": {"networks": 1},
        "histograms": {"networks": 1},
        "library": {"networks": ["resnet20_cifar10", "nin_cifar10", "preresnet20_cifar10", "seresnet20_cifar10"]},
    },
    "statistics": {"bootstrap": 20},
    "figures": {"dpi": 60},
    "scoring": {"shard_size": 50},
}
TINY["papers"]["library"]["initialisations"] = 1


def tiny(checkout: Path, real_data: Callable[[str], Path]) -> dict[str, Any]:
    """config/paper.yaml with the files of the tests and a scale of its own."""
    config: dict[str, Any] = yaml.safe_load((checkout / "config" / "paper.yaml").read_text())
    for options in (*config["spaces"].values(), *config["datasets"].values()):
        for part in options.get("first_of", []):
            source = part.get("benchmark", part)
            if "path" in source:
                source["path"] = str(real_data(Path(source["path"]).name))
            if "width" in part.get("network", {}):
                part["network"] = {"width": 4, "depth": 3}
    config["scales"]["tiny"] = TINY
    return {**config, "scale": "tiny"}


@pytest.fixture(scope="session")
def papers(checkout: Path, real_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run of both papers. For reading only."""
    project = Project(tmp_path_factory.mktemp("papers"), checkout, tiny(checkout, real_data))
    (project.folder / "printed").write_text(project.run(timeout=2400))
    return project


def cells(papers: Project, name: str) -> pd.DataFrame:
    return pd.read_csv(papers.folder / "results" / f"{name}.csv")


def test_each_table_and_figure_is_there_with_the_data_behind_it(papers: Project) -> None:
    for item in ITEMS:
        forms = ("md", "tex", "html") if item.kind in ("searches", "claim") else ("pdf", "png")
        for form in ("csv", *forms):
            path = papers.folder / "results" / item.paper / f"{item.name}.{form}"
            assert path.stat().st_size > 0, path


def test_each_table_and_figure_is_a_target_of_its_own(papers: Project) -> None:
    assert papers.to_do(*(item.target for item in ITEMS)) == {}
    assert "paper_searches" in papers.to_do("icml2021_table2a", "--forcerun", "paper_searches")


def test_what_is_at_hand_is_measured_and_the_rest_says_which_file_would_fill_it(papers: Project) -> None:
    table = cells(papers, "icml2021/table2a")
    measured = table[table["measured"].notna()]
    assert set(measured["method"]) == {"REA", "RS", "REINFORCE", "BOHB", "AREA", "NASWOT", "Random", "Optimal"}
    assert set(measured["dataset"]) == {"cifar10", "cifar100"}
    absent = table[(table["dataset"] == "imagenet16-120") & (table["method"] == "RS")]
    assert absent["reason"].str.contains("downloads/nats-tss/NATS-tss-v1_0-3ffb9-simple", regex=False).all()
    figure3 = cells(papers, "icml2021/figure3_cells").set_index(["space", "dataset"])
    assert figure3.loc[("nasbench201", "cifar10"), "measured"] > 0
    assert "not a random sample" in figure3.loc[("nasbench101", "cifar10"), "reason"]
    few = table[(table["method"] == "Optimal") & (table["n_samples"] == 100)].set_index("dataset")["reason"]
    needs = "N = 100 needs twice as many scored architectures, and 40 are: "
    remedy = "`architectures: 200` of nasbench201 in the config, or a larger scale, would do"
    assert (few["cifar10"] == f"{needs}{remedy}").all()
    assert few["imagenet16-120"].str.contains("NATS-tss-v1_0-3ffb9-simple", regex=False).all()
    assert "downloads/nds/data.zip" in figure3.loc[("nds-pnas", "cifar10"), "reason"]
    # A number that two files would fill names both.
    assert "downloads/nds/data.zip" in figure3.loc[("nds-darts-in", "imagenette2"), "reason"]
    assert "downloads/imagenette2/" in figure3.loc[("nds-darts-in", "imagenette2"), "reason"]
    assert "NATS-tss-v1_0" in figure3.loc[("nasbench201", "imagenet16-120"), "reason"]
    sized = cells(papers, "icml2021/table2b")
    for n_samples in (10, 1000):
        rows = sized[(sized["n_samples"] == n_samples) & (sized["dataset"] == "imagenet16-120")]
        for reason in rows["reason"]:
            assert "downloads/imagenet16-120/train_data_batch_1" in reason
            assert "NATS-sss-v1_0-50262-simple.tar" in reason
            assert ("a larger scale" in reason) == (n_samples == 1000)


def test_searches_by_budget_choose_among_all_and_agree_with_the_paper_even_here(papers: Project) -> None:
    table = cells(papers, "icml2021/table2a")
    searched = table[table["method"].isin(["REA", "RS", "REINFORCE", "BOHB"]) & (table["dataset"] == "cifar10")]
    assert len(searched) == 8
    assert (searched["verdict"] == "reproduced").all()


def test_the_rank_by_parameters_is_the_papers(papers: Project) -> None:
    claim = cells(papers, "arxiv2020/rank_claim").set_index("method")
    assert claim.loc["params", "verdict"] == "reproduced"
    assert claim.loc["NASWOT-Jacobian", "measured"] > 0  # its networks are scored, whatever was drawn


def test_the_summary_counts_the_verdicts_of_all_cells(papers: Project) -> None:
    every = [cells(papers, f"icml2021/table{t}") for t in ("1", "2a", "2b")]
    every += [cells(papers, f"arxiv2020/{name}") for name in ("table1", "rank_claim", "figure5_cells")]
    every.append(cells(papers, "icml2021/figure3_cells"))
    verdicts = pd.concat(every)["verdict"].value_counts()
    counted = cells(papers, "summary")
    assert counted["cells"].sum() == verdicts.sum()
    without = ["too_few_to_tell", "not_comparable", "not_measured"]
    for verdict, columns in {"reproduced": ["reproduced"], "differs": ["differs"], "not measured": without}.items():
        assert counted[columns].sum().sum() == verdicts.get(verdict, 0)
    # The tables of the tests have another NAS-Bench-101 and NDS DARTS than the papers.
    assert counted["not_comparable"].sum() > 0
    first = (papers.folder / "results" / "summary.md").read_text().splitlines()[0]
    assert str(verdicts.sum()) in first


def test_captions_say_at_which_scale_it_was_made(papers: Project) -> None:
    table = (papers.folder / "results/icml2021/table2a.md").read_text()
    assert "Scale tiny; 30 runs (area 10); 40 architectures scored; 8 images a score (the paper: 128)" in table
    assert "sums of looked-up scoring seconds, on the CPU (the paper: a GTX 1080 Ti)" in table
    assert "scale tiny" in (papers.folder / "results/summary.md").read_text()


def test_captions_say_in_what_a_figure_is_unlike_the_paper(papers: Project) -> None:
    page = (papers.folder / "results/report.html").read_text()
    for told in (
        "2 networks (the paper: 10), each from another 5 % of the ranks",
        "2 networks (the paper: 10) above 90 %, each trained for 1 epoch (the paper: 100)",
        "1 network (the paper: 5) in each of 5 bands",
        "2 networks (the paper: 8) drawn at random",
        "or at quantiles where those leave one empty",
        "accuracy axes show the logarithm of the error.",
    ):
        assert told in " ".join(page.split()), told
    # The page and the file of the numbers beside a figure say what the figure does.
    numbers = (papers.folder / "results/arxiv2020/figure5_cells.html").read_text()
    assert "those that the config names; the mean of 1 initialisation (the paper: 10)" in numbers
    assert "the p-value measured here, with a verdict" in " ".join(page.split())


def test_the_caption_of_a_figure_of_which_nothing_can_be_measured_says_so(papers: Project, tmp_path: Path) -> None:
    shutil.copytree(papers.folder, tmp_path / "project")
    config = changed(papers.config, "scales/tiny/papers/training/images", 1_000_000)
    Project(tmp_path / "project", papers.checkout, config).run("results/icml2021/figure6.csv")
    (record,) = (tmp_path / "project/results/jobs/icml2021").glob("figure6.*.json")
    params = json.loads(record.read_text())["params"]
    assert params["values"][params["names"]["note"][0]] == "scale tiny; nothing of it can be measured"


def test_the_results_are_those_that_their_readme_lists(papers: Project) -> None:
    told = (REPOSITORY / "results" / "README.md").read_text()
    for path in (papers.folder / "results").iterdir():
        assert f"`{path.name}{'/' * path.is_dir()}`" in told or path.stem == "summary", path.name


def test_nothing_is_left_to_do(papers: Project) -> None:
    assert papers.to_do() == {}


def test_a_download_that_arrives_plans_just_what_it_fills(papers: Project) -> None:
    before = papers.to_do()
    official = papers.folder / "downloads" / "nds" / "data.zip"
    official.parent.mkdir(parents=True)
    official.touch()
    try:
        planned = papers.to_do()
    finally:
        official.unlink()
    assert before == {}
    assert "search" not in planned
    figures = set(planned["paper_scatter"]) | set(planned["paper_bars"])
    assert {Path(file).stem for file in figures} == {"figure3", "figure4", "figure10"}
    spaces = {Path(file).stem for file in planned["architectures"]} if "architectures" in planned else set()
    assert not spaces & {"nasbench201", "nasbench101", "nats-sss"}


def test_the_command_line_comes_before_a_scale(papers: Project) -> None:
    planned = papers.to_do("--config", "scale=tiny", "offline=false")
    assert "downloads/nds/data.zip" in planned["fetch"]
    assert "fetch" not in papers.to_do("--config", "scale=tiny")


def test_a_ground_truth_of_test_accuracies_alone_ends_in_reasons(papers: Project, tmp_path: Path) -> None:
    shutil.copytree(papers.folder, tmp_path / "project")
    project = Project(tmp_path / "project", papers.checkout, copy.deepcopy(papers.config))
    del project.config["spaces"]["nasbench201"]["first_of"]
    project.config["spaces"]["nasbench201"]["benchmark"] = {"source": "analog-nasbench"}
    project.run("icml2021_table2a", "arxiv2020_rank_claim")
    table = cells(project, "icml2021/table2a")
    optimal = table[(table["method"] == "Optimal") & (table["n_samples"] == 10)].set_index(["dataset", "split"])
    assert optimal.loc[("cifar10", "valid"), "reason"].startswith(
        "the ground truth of nasbench201 has no cifar10 valid"
    )
    assert optimal.loc[("cifar10", "test"), "measured"] > 90
    claim = cells(project, "arxiv2020/rank_claim")
    assert (claim["verdict"] == "not measured").all()
    assert claim["reason"].str.contains("cifar10 validation accuracy").all()


@needs_chromium
def test_the_report_opens_on_what_was_reproduced_and_shows_every_table_and_figure(
    papers: Project, tmp_path: Path
) -> None:
    with Page(tmp_path / "profile") as page:
        report = Report(page, papers.folder / "results" / "report.html")
        text = page.evaluate("document.querySelector('#app .prose').innerText")
        first = (papers.folder / "results" / "summary.md").read_text().splitlines()[0].strip("*")
        assert first in text
        assert {category for category, _ in report.menus()} == {"All verdicts", "ICML 2021", "arXiv 2020"}
        shown: dict[str, list[str]] = {}
        for category, subcategory in report.menus():
            report.show(category, subcategory)
            for row, entry in enumerate(page.evaluate(ROWS) if subcategory == "Figures" else []):
                report.click(row)
                assert report.image()["naturalWidth"] > 100
                figure = "".join(entry["labels"][0].partition(":")[0].lower().split())
                shown.setdefault(category, []).append(figure)
        # By number, figure 10 behind figure 9.
        assert shown == {
            title: [item.name for item in ITEMS if item.paper == paper and item.kind not in ("searches", "claim")]
            for paper, title in TITLES.items()
        }
        assert page.errors == []
        assert {url.partition(":")[0] for url in page.requests} <= {"file", "data", "blob", "about"}


def test_an_archive_of_both_papers_proves_itself(papers: Project, tmp_path: Path) -> None:
    shutil.copytree(papers.folder, tmp_path / "project")
    Project(tmp_path / "project", papers.checkout, papers.config).run("archive")
    command = [sys.executable, "-c", "from naswot_ext.cli import main; main()", "verify"]
    command += [str(tmp_path / "project/results/archive/naswot.tar.zst"), "--sample", "1", "--jobs", "2"]
    # The checkout of the run, whose scripts make its results again.
    settings = os.environ | {"PYTHONPATH": str(papers.checkout), "OMP_NUM_THREADS": "1"}
    verified = subprocess.run(command, capture_output=True, text=True, env=settings, cwd=tmp_path, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "FAIL" not in verified.stdout
    for script in ("paper_searches", "paper_scatter", "paper_summary", "search", "correlation"):
        assert f"made again by {script}:" in verified.stdout
