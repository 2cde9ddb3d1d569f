"""`naswot plan`: what a run would do, and how long it would take by the timings of earlier runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from naswot_ext.cli import app
from naswot_ext.errors import NaswotError
from naswot_ext.plan import Job, Plan, benchmark_patterns, estimate, make_plan, read_timings
from tests.conftest import REPOSITORY
from tests.workflow.conftest import Project

RULES = REPOSITORY / "workflow" / "rules"
SHARD = {"space": "nasbench201", "dataset": "noise", "group": "forward"}


def shard(units: float, seconds: float | None = None, **other: str) -> Job:
    return Job("score", SHARD | other, units, seconds=seconds)


@pytest.fixture
def planning(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A finished project as the working directory."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("PYTHONPATH", str(project.checkout))
    return project


def plan(project: Project, *settings: str, **options: object) -> Plan:
    Path("config.yaml").write_text(yaml.safe_dump(project.config))
    snakefile = project.checkout / "Snakefile"
    return make_plan(["config.yaml"], settings=settings, snakefile=snakefile, **options)  # type: ignore[arg-type]


def test_a_finished_run_has_nothing_to_be_done(planning: Project) -> None:
    made = plan(planning)
    assert made.lines == {}
    assert list(made.report()) == ["Nothing to be done: all results are there and made by this code and config."]


def test_the_jobs_are_those_of_the_dry_run_with_hours_from_the_runs_own_timings(planning: Project) -> None:
    made = plan(planning, "spaces.nasbench201.architectures=23")
    planning.config["spaces"]["nasbench201"]["architectures"] = 23
    jobs = planning.to_do()
    jobs.pop("all", None)
    assert {rule: line.jobs for rule, line in made.lines.items()} == {rule: len(files) for rule, files in jobs.items()}
    assert made.lines["score"].jobs == 5  # of six shards of 4, the last of 3, one is there
    assert made.lines["score"].timings == 2
    assert made.lines["score"].seconds > 0
    assert all(line.unknown == 0 for line in made.lines.values())
    report = list(made.report(cores=4))
    of_scores = next(line for line in report if line.startswith("score "))
    assert re.fullmatch(r"score +5 +(< )?0\.\d\d  2 timing\(s\), per architecture of the same .*", of_scores)
    assert re.fullmatch(r"\d+ job\(s\), (< )?0\.\d\d core hours", report[-2])
    assert report[-1].startswith("On 4 core(s): ")


def test_what_was_never_timed_is_said_to_be_unknown(planning: Project) -> None:
    planning.config["proxies"].append("snip")
    made = plan(planning)
    assert made.lines["score"].unknown == made.lines["score"].jobs == 2
    assert made.lines["correlation"].unknown == 0
    assert re.search(r"^score +2 +unknown  no earlier timing$", "\n".join(made.report()), re.MULTILINE)
    assert re.fullmatch(r"\d+ job\(s\), .* core hours without 2 of which nothing is known", list(made.report())[-1])


def test_other_runs_are_estimated_from_where_their_results_are_named(planning: Project, tmp_path: Path) -> None:
    shutil.move(planning.folder / "results", tmp_path / "earlier")
    assert {line.timings for line in plan(planning).lines.values()} == {0}
    made = plan(planning, timings=[tmp_path / "earlier"])
    assert made.lines["score"].timings == 2
    assert made.lines["search"].timings == 3


def test_scoring_whose_architectures_are_not_yet_listed_is_foreseen_where_the_space_knows_them(
    planning: Project,
) -> None:
    made = plan(planning, "spaces.nasbench201={architectures: all, draw_from: table}", "scoring.shard_size=5000")
    assert made.lines["architectures"].jobs == 1
    assert made.lines["score"].jobs == 4  # 15,625 architectures
    assert made.later == []


def test_a_target_plans_what_it_needs(planning: Project) -> None:
    made = plan(planning, "batch_size=5", targets=["results/batches/noise/size-5/seed-0.npz"])
    assert {rule: line.jobs for rule, line in made.lines.items()} == {"batch": 1}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("scale", r"--set scale has no key or no value. Write it as KEY=VALUE"),
        ("batch_sze=4", r"Unknown key 'batch_sze'. Did you mean 'batch_size'"),
    ],
)
def test_a_wrong_setting_is_one_clear_error(planning: Project, setting: str, said: str) -> None:
    with pytest.raises(NaswotError, match=said):
        plan(planning, setting)


def test_a_missing_config_and_a_wrong_target_are_told(planning: Project) -> None:
    with pytest.raises(NaswotError, match=r"Cannot read the config gone\.yaml: .*No such file"):
        make_plan(["gone.yaml"])
    with pytest.raises(NaswotError, match=r"(?s)Snakemake could not plan.*nowhere"):
        plan(planning, targets=["nowhere"])


def test_the_command_prints_the_table(planning: Project) -> None:
    Path("config.yaml").write_text(yaml.safe_dump(planning.config))
    ended = CliRunner().invoke(app, ["plan", "config.yaml", "--set", "figures.dpi=60", "--cores", "2"])
    assert ended.exit_code == 0, ended.output
    assert re.search(r"^rule +jobs  core hours  based on\n", ended.output)
    assert re.search(r"^score_figure +2 ", ended.output, re.MULTILINE)


def test_jobs_of_several_sizes_give_a_start_and_so_much_a_unit() -> None:
    done = [shard(10, 7.0), shard(20, 12.0), shard(40, 22.0)]
    assert estimate([shard(100)], done)["score"].seconds == pytest.approx(2 + 100 * 0.5)


def test_jobs_of_one_size_give_their_median_a_unit() -> None:
    assert estimate([shard(8)], [shard(4, 1.0), shard(4, 2.0), shard(4, 30.0)])["score"].seconds == pytest.approx(4)


def test_the_nearest_earlier_jobs_decide() -> None:
    far, nearer, nearest = shard(1, 3.0, space="nats-sss"), shard(1, 2.0, dataset="cifar10"), shard(1, 1.0)
    asked = shard(1)
    assert estimate([asked], [far, nearer, nearest])["score"].seconds == 1
    assert estimate([asked], [far, nearer])["score"].seconds == 2
    assert estimate([asked], [far])["score"].seconds == 3
    assert estimate([asked], [shard(1, 4.0, group="snip")])["score"].unknown == 1


def test_core_hours_count_the_threads_and_the_wall_time_the_longest_job() -> None:
    lines = estimate([Job("score", SHARD, 3600, threads=4), Job("score", SHARD, 1)], [shard(1, 1.0)])
    assert lines["score"].seconds == 4 * 3600 + 1
    assert list(Plan(lines, []).report(cores=400))[-1] == "On 400 core(s): 1.00 hours or more"


def test_runs_of_a_search_in_many_jobs_tell_of_those_in_one(tmp_path: Path) -> None:
    patterns = benchmark_patterns(RULES)
    for name, seconds in (("naswot-10", 0.5), ("naswot-10/runs-0-4", 10), ("naswot-10/runs-5-9", 10)):
        file = tmp_path / f"timings/searches/nasbench201/noise/{name}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\n{seconds}\t0:00:10\n")
    Path(tmp_path, "timings/figures").mkdir()
    Path(tmp_path, "timings/figures/proxies.tsv").write_text("")  # a killed job's
    done = list(read_timings(tmp_path, patterns))
    assert sorted((job.rule, job.units, job.seconds) for job in done if job.rule != "network_search") == [
        ("gather_runs", 1, 0.5),
        ("search_runs", 5, 10),
        ("search_runs", 5, 10),
    ]
    planned = Job("search", {"space": "nasbench201", "dataset": "noise", "algorithm": "naswot-10"}, 500)
    assert estimate([planned], done)["search"].seconds == pytest.approx(1000)


def test_a_job_whose_file_does_not_tell_its_rule_is_estimated_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "timings/icml2021/table1.tsv"
    file.parent.mkdir(parents=True)
    file.write_text("s\th:m:s\n7.5\t0:00:07\n")
    done = list(read_timings(tmp_path, benchmark_patterns(RULES)))
    paper = Job("paper_searches", {"paper_item": "icml2021/table1"}, file="timings/icml2021/table1.tsv")
    other = Job("paper_searches", {"paper_item": "icml2021/table2a"}, file="timings/icml2021/table2a.tsv")
    line = estimate([paper, other], done)["paper_searches"]
    assert (line.seconds, line.unknown, line.basis()) == (
        7.5,
        1,
        "1 timing(s), the same job; 1 of 2 without an earlier timing",
    )


def test_every_rule_that_has_a_benchmark_file_is_found_by_its_name() -> None:
    patterns = benchmark_patterns(RULES)
    texts = "".join(file.read_text() for file in RULES.glob("*.smk"))
    shared = texts.count('"<results>/timings/{')
    assert len(patterns) == texts.count("    benchmark:\n") - shared > 20
    match = patterns["score"].fullmatch("timings/scores/nats-sss/noise/forward/seed-0/shard-12.tsv")
    assert match
    assert match.groupdict() == SHARD | {"space": "nats-sss", "seed": "0", "shard": "12"}
