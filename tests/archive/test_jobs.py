"""What a job record holds, and that a script gets the same values from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from snakemake.iocontainers import InputFiles, Namedlist, Params, Wildcards

from naswot_ext.archive.jobs import (
    DERIVED,
    MEASUREMENTS,
    REPORTS,
    Places,
    check_record,
    decoded,
    encoded,
    kind_of,
    may_write,
    named,
    record,
    remove_record,
    write_record,
)
from naswot_ext.errors import NaswotError
from tests.conftest import REPOSITORY

PLACES = Places("results", "/repository", "downloads")
VALUES = [
    None,
    True,
    3,
    0.1,
    "text with <results> in it",
    [1, [2.5, "x"]],
    ("a", 1),
    {"key": {"nested": [1]}},
    {1: "a", ("x", 2): "b"},
    {"$path": "an ordinary key that looks like a mark"},
    {"a", "b"},
    range(2, 9, 3),
    Path("some/file"),
    np.float32(0.1),
    np.int64(7),
]


def _same(value: str) -> str:
    return value


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_param_comes_back_as_the_value_and_type_that_it_was(value: Any) -> None:
    again = decoded(json.loads(json.dumps(encoded(value, PLACES))), _same)
    assert again == value
    assert type(again) is type(value)


def test_an_array_comes_back_with_its_type() -> None:
    again = decoded(json.loads(json.dumps(encoded(np.arange(4, dtype=np.float32), PLACES))), _same)
    np.testing.assert_array_equal(again, np.arange(4, dtype=np.float32))
    assert again.dtype == np.float32


def _job(given: Any, output: str, results: str = "results") -> SimpleNamespace:
    return SimpleNamespace(
        rule="r",
        input=given,
        output=Namedlist([output]),
        wildcards=Wildcards(fromdict={"space": "s"}),
        params=Params(fromdict={"options": {"n": (1, 2)}, "proxies": ["a", "b"]}),
        threads=2,
        config={"results": results},
        scriptdir="/repository/workflow/scripts",
    )


def test_a_record_is_there_from_the_end_of_its_job_to_the_start_of_the_next(tmp_path: Path) -> None:
    job = _job(InputFiles([]), str(tmp_path / "tables/out"), str(tmp_path))
    remove_record(job)
    write_record(job, "score")
    assert json.loads((tmp_path / "jobs/tables/out.json").read_text())["script"] == "score"
    remove_record(job)
    assert not list((tmp_path / "jobs/tables").iterdir())


def test_a_download_has_no_record(tmp_path: Path) -> None:
    job = _job(InputFiles([]), "/downloads/file", str(tmp_path))
    write_record(job, "fetch")
    remove_record(job)
    assert not list(tmp_path.iterdir())


def test_named_inputs_come_back_under_their_names() -> None:
    given = InputFiles(["results/t", "results/a", "results/b", "results/c"])
    for name, first, end in (("truth", 0, None), ("scores", 1, 3), ("one", 3, 4)):
        given._set_name(name, first, end)
    job = _job(given, "results/out")
    facts = json.loads(json.dumps(record(job)))
    files = named(facts["input"], _same)
    assert files.truth == "<results>/t"
    assert files.scores == ["<results>/a", "<results>/b"]
    assert list(files.one) == ["<results>/c"]
    assert files.get("absent") is None
    assert dict(**files) == dict(files.items())
    assert files["truth"] == files[0]
    params = named(facts["params"], lambda value: decoded(value, _same))
    assert params.options == {"n": (1, 2)}
    assert list(params.proxies) == ["a", "b"]
    assert facts["wildcards"] == {"space": "s"}
    assert facts["threads"] == 2


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("results/tables/x.csv", "<results>/tables/x.csv"),
        ("/repository/workflow/resources/published.csv", "<code>/workflow/resources/published.csv"),
        ("downloads/nats-sss/file.pickle", "<downloads>/nats-sss/file.pickle"),
        ("/elsewhere/results/x", "/elsewhere/results/x"),
        ("../results/x", "../results/x"),
        ("results-of-another-run/x", "results-of-another-run/x"),
    ],
)
def test_a_path_is_recorded_by_its_place(path: str, short: str) -> None:
    assert PLACES.shorten(path) == short


def test_results_are_found_at_an_absolute_path_inside_of_the_code(tmp_path: Path) -> None:
    places = Places(str(tmp_path / "code/results"), str(tmp_path / "code"))
    assert places.shorten(str(tmp_path / "code/results/a")) == "<results>/a"
    assert places.shorten(str(tmp_path / "code/b")) == "<code>/b"


def test_a_value_that_no_script_could_be_given_again_is_refused() -> None:
    with pytest.raises(TypeError, match="type object cannot be recorded"):
        encoded(object(), PLACES)


def test_every_script_is_in_one_list() -> None:
    scripts = {path.stem for path in (REPOSITORY / "workflow/scripts").glob("[a-z]*.py")}
    assert scripts == DERIVED | MEASUREMENTS | REPORTS
    assert len(scripts) == len(DERIVED) + len(MEASUREMENTS) + len(REPORTS)


def test_an_unknown_script_is_an_error() -> None:
    with pytest.raises(NaswotError, match="names the script other"):
        kind_of("other")


def _record(**others: Any) -> dict[str, Any]:
    made = {"values": ["<results>/tables/searches.csv"], "names": {"csv": [0, None]}}
    nothing: dict[str, Any] = {"values": [], "names": {}}
    facts = {"script": "search_table", "rule": "search_table", "input": nothing, "output": made, "params": nothing}
    return {**facts, "wildcards": {}, "threads": 1, **others}


def test_a_record_that_was_written_is_one() -> None:
    check_record(_record())


@pytest.mark.parametrize(
    "facts",
    [
        [],
        _record(script=["a"]),
        _record(output={}),
        _record(output={"values": [1], "names": {}}),
        _record(output={"values": [], "names": {}}),
        _record(output={"values": ["<results>/a"], "names": {"csv": 0}}),
        _record(output={"values": ["elsewhere/a"], "names": {}}),
        _record(output={"values": ["<code>/naswot_ext/ops.py"], "names": {}}),
        _record(params=None),
        _record(wildcards=[]),
        _record(threads="1"),
    ],
)
def test_what_is_no_record_is_refused_in_a_sentence(facts: Any) -> None:
    with pytest.raises(NaswotError, match=r"^it"):
        check_record(facts)


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize("inside", ["", "/", "//tmp/x", "/tmp/x", "../x", "a/../../x", "./x", "a//b", "a/", "a\0b"])
def test_a_path_that_leaves_its_place_is_refused(side: str, inside: str) -> None:
    with pytest.raises(NaswotError, match="is in no folder of the archive"):
        check_record(_record(**{side: {"values": [f"<results>/{inside}"], "names": {}}}))


@pytest.mark.parametrize(
    ("script", "name", "may"),
    [
        ("ground_truth", "benchmarks/nasbench201.parquet", True),
        ("ground_truth", "icml2021/table2b.csv", False),
        ("ground_truth", "benchmarks/a/b.parquet", False),
        ("score", "scores/nasbench201/cifar10/shards/forward/seed-0/shard-12.parquet", True),
        ("score", "scores/nasbench201/cifar10/naswot/seed-0.parquet", False),
        ("network_search", "searches/nasbench201/cifar10/naswot_live@2020-jacobian-10/runs-0-0.parquet", True),
        ("network_search", "searches/nasbench201/cifar10/rea-naswot/runs-0-0.parquet", False),
        ("report", "report.html", True),
        ("report", "tables/report.html", False),
        ("fetch", "anything", False),
    ],
)
def test_what_is_not_made_again_writes_its_own_files_alone(script: str, name: str, may: bool) -> None:
    assert may_write(script, name) == may


def test_the_rules_of_measurements_write_what_their_scripts_may() -> None:
    rules = "".join(path.read_text() for path in sorted((REPOSITORY / "workflow/rules").glob("*.smk")))
    names = dict(re.findall(r'^([A-Z]+) = "<results>/(.*)"$', rules, re.MULTILINE))
    bodies = re.split(r"^(?:rule|checkpoint) \w+:$", rules, flags=re.MULTILINE)
    found = [
        (script, names[output])
        for body in bodies
        for output in re.findall(r"^    output:\n        ([A-Z]+),$", body, re.MULTILINE)
        for script in re.findall(r'"\.\./scripts/(\w+)\.py"', body)
        if script in MEASUREMENTS - {"fetch"}
    ]
    assert {script for script, _ in found} == MEASUREMENTS - {"fetch"}
    for script, pattern in found:
        assert may_write(script, pattern.replace("{algorithm}", "naswot_live-10")), script
