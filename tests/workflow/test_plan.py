"""`naswot plan`: what a run would do, and how long it would take by the timings of earlier runs."""

from __future__ import annotations

import functools
import json
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from naswot_ext import config as configuration
from naswot_ext.cli import app
from naswot_ext.errors import NaswotError
from naswot_ext.plan import Job, Plan, benchmark_patterns, estimate, make_plan, read_timings
from naswot_ext.plan_work import MEASURES, Images, Planned, traits, units
from tests.conftest import REPOSITORY
from tests.workflow.conftest import Project
from tests.workflow.planning import changed, copy_of, without_work
from tests.workflow.test_matrix import PAPERS

RULES = REPOSITORY / "workflow" / "rules"
SHARD = {"space": "nasbench201", "dataset": "noise", "group": "forward"}


def shard(units: float | None, seconds: float | None = None, network: str = "", **other: str) -> Job:
    wildcards = SHARD | other
    return Job("score", wildcards, units, seconds=seconds, traits={"networks": wildcards["space"] + network})


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
    basis = r"2 timings of other sizes \(architectures x images\), same networks, dataset, group"
    assert re.fullmatch(rf"score +5 +(< )?0\.\d\d  {basis}", of_scores)
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
    # As the config tells the size of a job, so does its record.
    assert [rule for rule, line in made.lines.items() if line.scaled or line.longer or line.unknown] == []


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
    far, near = shard(1, 4.0, space="nats-sss"), shard(1, 3.0, network="wider")
    nearer, nearest = shard(1, 2.0, dataset="cifar10"), shard(1, 1.0)
    asked = shard(1)
    assert estimate([asked], [far, near, nearer, nearest])["score"].seconds == 1
    assert estimate([asked], [far, near, nearer])["score"].seconds == 2
    assert estimate([asked], [far, near])["score"].seconds == 3
    assert estimate([asked], [far])["score"].seconds == 4
    assert estimate([asked], [shard(1, 5.0, group="snip")])["score"].unknown == 1


def test_earlier_jobs_of_the_same_size_come_before_those_of_others() -> None:
    line = estimate([shard(10)], [shard(1, 5.0), shard(10, 7.0), shard(100, 300.0)])["score"]
    assert (line.seconds, line.basis()) == (7, "1 timing, same networks, dataset, group")


def test_what_may_take_longer_is_at_least() -> None:
    done = [shard(10, 3600.0), shard(10, 3600.0, group="snip")]
    of_other_networks, of_no_size = shard(20, space="nats-sss"), shard(None, group="snip")
    lines = estimate([of_other_networks, of_no_size, shard(10)], done)
    assert lines["score"].seconds == 7200 + 3600 + 3600
    report = list(Plan(lines, []).report())
    assert re.fullmatch(r"score +3  at least 4\.00  2 timings of other sizes .*; 2 may take longer", report[1])
    assert report[-1] == "3 job(s), at least 4.00 core hours"
    assert list(Plan(estimate([shard(20)], done), []).report())[-1] == "1 job(s), 2.00 core hours"


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
        "1 timing, the same job; 1 of 2 without an earlier timing",
    )


def test_a_timing_without_a_record_is_left_out_where_the_seconds_go_by_the_work(tmp_path: Path) -> None:
    file = tmp_path / "timings/trainings/nasbench201/cifar10/network-0.tsv"
    record = tmp_path / "jobs/trainings/nasbench201/cifar10/network-0.parquet.json"
    for each, text in ((file, "s\th:m:s\n30.0\t0:00:30\n"), (record, "cut of")):
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_text(text)
    read = functools.partial(read_timings, tmp_path, benchmark_patterns(RULES))
    assert list(read()) == []
    options = {"epochs": 3, "held_out": 128}
    made = {
        "rule": "training",
        "input": {"values": ["<results>/batches/cifar10/size-1128/seed-0.npz"]},
        "params": {"values": [{}, options], "names": {"network": [0, None], "options": [1, None]}},
    }
    record.write_text(json.dumps(made))
    (job,) = read()
    assert (job.rule, job.units, job.seconds) == ("training", 3000, 30)


SCRIPTS = {rule: "search" if rule == "search_runs" else rule for rule in MEASURES if rule != "correlation"}


@functools.cache
def paper_config() -> dict[str, Any]:
    """The papers' config at full scale, with a search of each kind that builds networks."""
    config = yaml.safe_load((REPOSITORY / "config" / "paper.yaml").read_text())
    for options in (*config["spaces"].values(), *config["datasets"].values()):
        options |= options.pop("first_of", [{}])[0]  # none of these is a file
    config["searches"]["algorithms"] |= {"funnel": {"n_samples": 1000}, "nasi": {}, "gdas": {}}
    return configuration.resolve(config, REPOSITORY / "workflow" / "schemas" / "config.schema.yaml")


def planned_job(config: dict[str, Any], rule: str, wildcards: dict[str, str], size: int) -> Job:
    """A planned job with this many images among its inputs."""
    told = Planned(config)
    images = told.images([f"results/batches/{wildcards.get('dataset')}/size-{size}/seed-0.npz"])
    params = told.params(rule, wildcards)
    return Job(rule, wildcards, units(rule, wildcards, params, images), traits=traits(rule, wildcards, params))


IN_201 = {"space": "nasbench201", "dataset": "cifar10"}
ABLATION = ("ablation", {**IN_201, "proxy": "naswot", "kind": "gaussian"}, 128)
ABLATION_2020 = ("ablation", {**IN_201, "proxy": "jacobian", "kind": "minibatch"}, 5120)
BATCH_SIZES = ("ablation", {**IN_201, "proxy": "naswot", "kind": "batch_size"}, 256)
LIBRARY = ("library", {"dataset": "cifar10", "network": "nin_cifar10"}, 256)
SCORE = ("score", {**IN_201, "group": "jacobian", "seed": "0", "shard": "1"}, 256)
CLAIM = ("claimed_score", {**IN_201, "proxy": "jacobian", "seed": "0"}, 256)
CORRELATION = ("correlation", {"space": "nds-darts", "dataset": "cifar10", "proxy": "naswot"}, 128)


def search_of(algorithm: str, size: int, last: int = 0) -> tuple[str, dict[str, str], int]:
    return ("network_search", {**IN_201, "algorithm": algorithm, "first": "0", "last": str(last)}, size)


@pytest.mark.parametrize(
    ("job", "key", "value", "times"),
    [
        (("training", {**IN_201, "k": "0"}, 25128), "papers/training/epochs", 1000, 10),
        (ABLATION, "papers/ablation/samples", 200, 10),
        (ABLATION, "papers/ablation/networks", 5, 0.5),
        (ABLATION, "batch_size", 1280, 10),
        (ABLATION_2020, "papers/ablation_2020/samples", 200, 10),
        (ABLATION_2020, "papers/ablation_2020/networks", 80, 10),
        (ABLATION_2020, "batch_sizes/jacobian", 2560, 10),
        (BATCH_SIZES, "papers/ablation/batch_sizes", [400, 4400], 10),
        (LIBRARY, "papers/library/initialisations", 100, 10),
        (("kernels", IN_201, 128), "papers/kernels/networks", 50, 10),
        (("jacobian_correlations", IN_201, 256), "papers/histograms/networks", 50, 10),
        (SCORE, "scoring/shard_size", 2500, 10),
        (CORRELATION, "statistics/bootstrap", 10000, 10),
        (CORRELATION, "spaces/nds-darts/architectures", 10000, 10),
        (CORRELATION, "seeds", [0, 1, 2], 3),
        (("search", {**IN_201, "algorithm": "naswot-10"}, 0), "searches/runs", 5000, 10),
        (("search", {**IN_201, "algorithm": "area"}, 0), "searches/algorithms/area/runs", 500, 10),
        (search_of("nasi", 4000), "searches/algorithms/nasi/steps", 1000, 10),
        (search_of("nasi", 4000), "searches/algorithms/nasi/batch_size", 640, 10),
        (search_of("gdas", 4000), "searches/algorithms/gdas/epochs", 2500, 10),
        (search_of("funnel", 128), "searches/algorithms/funnel/n_samples", 10000, 10),
        (search_of("funnel", 128), "searches/algorithms/funnel/n_samples", "all", 15.625),
    ],
)
def test_a_job_of_ten_times_the_work_takes_ten_times_as_long(
    job: tuple[str, dict[str, str], int], key: str, value: Any, times: float
) -> None:
    timed = planned_job(paper_config(), *job)
    done = Job(timed.rule, timed.wildcards, timed.units, seconds=60, traits=timed.traits)
    (line,) = estimate([planned_job(changed(paper_config(), key, value), *job)], [done]).values()
    assert (line.seconds, line.scaled, line.longer) == (pytest.approx(60 * times), 1, 0)


@pytest.mark.parametrize(
    ("job", "larger", "times"),
    [
        (("training", {**IN_201, "k": "0"}, 25128), ("training", {**IN_201, "k": "1"}, 250128), 10),
        (("training", {**IN_201, "k": "0"}, 25128), ("training", {**IN_201, "k": "1"}, 12628), 0.5),
        *((each, (*each[:2], 2560), 10) for each in (LIBRARY, CLAIM, SCORE)),
        *(((rule, IN_201, 128), (rule, IN_201, 1280), 10) for rule in ("kernels", "jacobian_correlations")),
        (search_of("naswot_live-10", 128), search_of("naswot_live-100", 128), 10),
        (search_of("naswot_live-10", 128), search_of("naswot_live-10", 128, last=9), 10),
        (search_of("naswot_live-10", 128), search_of("naswot_live-10", 1280), 10),
        # The area of an image counts: 224 x 224 pixels for 32 x 32.
        (SCORE, ("score", SCORE[1] | {"dataset": "imagenette2"}, 256), 49),
    ],
)
def test_more_images_or_runs_take_as_much_longer(job: Any, larger: Any, times: float) -> None:
    timed = planned_job(paper_config(), *job)
    done = Job(timed.rule, timed.wildcards, timed.units, seconds=60, traits=timed.traits)
    (line,) = estimate([planned_job(paper_config(), *larger)], [done]).values()
    assert (line.seconds, line.longer) == (pytest.approx(60 * times), 0)


def test_networks_of_the_library_that_were_never_timed_may_take_longer() -> None:
    timed = planned_job(paper_config(), *LIBRARY)
    done = Job(timed.rule, timed.wildcards, timed.units, seconds=60, traits=timed.traits)
    other = planned_job(paper_config(), "library", LIBRARY[1] | {"network": "resnet1001_cifar10"}, 256)
    line = estimate([timed, other], [done])["library"]
    assert (line.seconds, line.hours()) == (120, "at least 0.03")
    assert line.basis() == "1 timing, same networks or any of the rule; 1 may take longer"


def test_a_search_of_other_options_tells_nothing() -> None:
    timed = planned_job(paper_config(), *search_of("naswot_live-10", 128))
    done = Job(timed.rule, timed.wildcards, timed.units, seconds=60, traits=timed.traits)
    other = planned_job(paper_config(), *search_of("naswot_live@2020-jacobian-10", 128))
    assert estimate([other], [done])["network_search"].unknown == 1


def test_work_that_cannot_be_told_has_no_units() -> None:
    assert units("score", SHARD, {"shard": {"start": 0, "stop": 4}}, None) is None
    assert units("training", SHARD, {"options": {"epochs": 1}}, Images(8)) is None


@pytest.fixture(scope="module")
def recorded(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run of both papers without its work, of network seed 5, with the records of the jobs that measure."""
    folder = tmp_path_factory.mktemp("recorded")
    # The size of the images is in the records of the batches.
    copied = without_work(copy_of(checkout, folder / "checkout"), {"batch", *SCRIPTS.values()})
    config = changed(PAPERS, "searches/algorithms/naswot_live", {"n_samples": [2], "runs": 1}) | {"seeds": [5]}
    run = Project(folder / "run", copied, config)
    run.folder.mkdir()
    (run.folder / "table.csv").write_text("")
    run.run("results/report.html", "--scheduler", "greedy")
    return run


def test_the_config_tells_the_work_of_each_job_as_its_record_does(
    recorded: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in ("config.yaml", "table.csv"):
        shutil.copy(recorded.folder / file, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(recorded.checkout))
    earlier = [recorded.folder / "results"]
    made = make_plan(["config.yaml"], timings=earlier, snakefile=recorded.checkout / "Snakefile")
    lines = {rule: line for rule, line in made.lines.items() if rule in SCRIPTS}
    assert set(lines) == set(SCRIPTS) - {"search_runs"}
    assert all(0 < line.timings <= line.jobs for line in lines.values())
    assert [rule for rule, line in lines.items() if line.scaled or line.longer or line.unknown] == []


@pytest.mark.parametrize("rule", ["ablation", "training", "kernels", "jacobian_correlations", "library"])
def test_what_is_measured_has_the_first_seed_of_the_config(recorded: Project, rule: str) -> None:
    records = [json.loads(file.read_text()) for file in (recorded.folder / "results/jobs").rglob("*.json")]
    params = [record["params"] for record in records if record["rule"] == rule]
    assert {each["values"][each["names"]["options"][0]]["seed"] for each in params} == {5}


def test_both_papers_at_full_scale_with_five_seeds_are_planned_in_seconds_and_are_few_enough_for_a_cluster(
    real_data: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/data").symlink_to(real_data("nasbench201.csv.gz").parent.resolve())
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    made = make_plan(
        [REPOSITORY / "config/paper.yaml"], settings=["seeds=[0,1,2,3,4]"], snakefile=REPOSITORY / "Snakefile"
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the processor, Snakemake's start included: what else a busy machine does is not its fault.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20
    assert 1500 < sum(line.jobs for line in made.lines.values()) < 10_000


def test_every_rule_that_has_a_benchmark_file_is_found_by_its_name() -> None:
    patterns = benchmark_patterns(RULES)
    texts = "".join(file.read_text() for file in RULES.glob("*.smk"))
    shared = texts.count('"<results>/timings/{')
    assert len(patterns) == texts.count("    benchmark:\n") - shared > 20
    match = patterns["score"].fullmatch("timings/scores/nats-sss/noise/forward/seed-0/shard-12.tsv")
    assert match
    assert match.groupdict() == SHARD | {"space": "nats-sss", "seed": "0", "shard": "12"}
