"""What a forger may try, on an archive that is small enough to try much: each is told in a line."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from naswot_ext.archive import replay, verify
from naswot_ext.archive.container import compress, write_manifest
from naswot_ext.archive.crate import write_crate
from naswot_ext.archive.jobs import machine
from naswot_ext.archive.pack import read_records
from naswot_ext.datasets import make_batch, save_batch
from naswot_ext.provenance import read_provenance, read_table, write_table
from naswot_ext.scoring import gather, score_architectures
from tests.conftest import REPOSITORY

BATCH = "batches/noise/size-4/seed-1.npz"
SHARD = "scores/nasbench201/noise/shards/shape/seed-1/shard-0.parquet"
SCORES = "scores/nasbench201/noise/params/seed-1.parquet"
Change = Callable[[Path], None]


def _write_record(folder: Path, script: str, inputs: list[str], output: str, *more: str) -> None:
    files = [{"values": [f"<results>/{name}" for name in names], "names": {}} for names in (inputs, [output, *more])]
    job = {"script": script, "rule": script, "input": files[0], "output": files[1], "threads": 1}
    facts = {**job, "params": {"values": [], "names": {}}, "wildcards": {"proxy": "params"}, "machine": machine()}
    path = folder / f"results/jobs/{output}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts))


def _change_record(folder: Path, output: str, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / f"results/jobs/{output}.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def _write_report(folder: Path, content: bytes) -> None:
    uri = f"data:application/octet-stream;base64,{base64.b64encode(content).decode()}"
    shown = json.dumps({f"out/{SCORES}": {"data_uri": uri}})
    (folder / "results/report.html").write_text(f"<script>var results = [];\nvar results = {shown};\n</script>")


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an archive of one table of scores holds."""
    folder = tmp_path_factory.mktemp("content")
    results = folder / "results"
    (results / BATCH).parent.mkdir(parents=True)
    save_batch(make_batch({"source": "gaussian", "image_size": 8}, 4, 0), results / BATCH)
    score_architectures("nasbench201", [3, 9, 27], ["params"], results / BATCH, 1, results / SHARD)
    gather([results / SHARD], results / SCORES, "params")
    _write_report(folder, (results / SCORES).read_bytes())
    (results / "resolved_config.yaml").write_text("results: out\n")
    _write_record(folder, "batch", [], BATCH)
    _write_record(folder, "score", [BATCH], SHARD)
    _write_record(folder, "gather_scores", [SHARD], SCORES)
    _write_record(folder, "report", [SCORES], "report.html", "resolved_config.yaml")
    (folder / "environment").mkdir()
    (folder / "environment/machines.json").write_text(json.dumps({"made_on": [{**machine(), "jobs": 4}]}))
    (folder / "code/source/workflow").mkdir(parents=True)
    (folder / "code/source/Snakefile").write_text("rule all:\n")
    facts = {"version": "0.1.0", "commit": None, "committed": None, "changed": None, "untracked": None}
    (folder / "code/commit.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def lines(content: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What verifying prints after a change, of which description and manifest know; up to the slow checks or whole."""

    def check(change: Change, whole: bool = False, sample: int = 0) -> list[str]:
        folder = tmp_path / "changed"
        shutil.copytree(content, folder)
        change(folder)
        # A record that is none says nothing that could be described.
        write_crate(folder, {"version": "0.1.0", "date": "2026-11-23", "commit": None}, [])
        write_manifest(folder)
        compress(folder, tmp_path / "changed.tar.zst")
        if not whole:
            for name in ("_made_again", "_scored_again"):
                monkeypatch.setattr(verify, name, lambda *arguments: ())
        return [str(check) for check in verify.verify(str(tmp_path / "changed.tar.zst"), sample=sample, seed=0)]

    return check


def _failed(printed: list[str]) -> list[str]:
    return [line for line in printed if line.startswith("FAIL")]


def test_an_archive_that_nobody_changed_passes(lines: Callable[..., list[str]]) -> None:
    printed = lines(lambda folder: None, whole=True, sample=2)
    assert not _failed(printed)
    assert printed[3:] == [
        "ok   report: it shows 1 files as the archive holds them",
        "ok   job records: 4 say how 5 results were made",
        "ok   made again by gather_scores: 1 files, equal to those in the archive",
        "ok   scored again, scores/nasbench201/noise: 2 scores, relative difference at most 0.0e+00 of 0e+00 allowed "
        "(as on this kind of machine)",
    ]


def test_nothing_is_scored_again_for_a_sample_of_0_and_so_it_says(lines: Callable[..., list[str]]) -> None:
    assert lines(lambda folder: None, whole=True)[-1] == "note scored again: nothing, as the sample is 0"


@pytest.mark.parametrize("side", ["input", "output"])
def test_a_record_that_names_an_absolute_path_writes_nothing_there(
    lines: Callable[..., list[str]], tmp_path: Path, side: str
) -> None:
    outside = tmp_path / "outside"

    def change(folder: Path) -> None:
        _change_record(folder, SCORES, lambda record: record[side]["values"].append(f"<results>/{outside}"))

    printed = lines(change)
    assert printed[-1].startswith(f"FAIL job records: The job record jobs/{SCORES}.json cannot be read: A job record ")
    assert printed[-1].endswith("which is in no folder of the archive. Do not trust it.")
    assert not outside.exists()


@pytest.mark.parametrize("facts", [[], {}, {"script": ["a"]}, {"script": "search", "output": {}}])
def test_a_malformed_record_fails_in_a_line(lines: Callable[..., list[str]], facts: object) -> None:
    def change(folder: Path) -> None:
        (folder / f"results/jobs/{SCORES}.json").write_text(json.dumps(facts))

    (line,) = _failed(lines(change))
    assert line.startswith(f"FAIL job records: The job record jobs/{SCORES}.json cannot be read: it")


def test_no_table_escapes_as_a_measurement(lines: Callable[..., list[str]]) -> None:
    def change(folder: Path) -> None:
        _change_record(folder, SCORES, lambda record: record.update(script="ground_truth"))

    assert _failed(lines(change)) == [
        f"FAIL job records: results/{SCORES} is nothing that ground_truth makes, and would not be made again",
        "FAIL job records: no job made a table or a figure",
    ]


def test_no_table_escapes_below_a_folder_that_a_job_claims(lines: Callable[..., list[str]]) -> None:
    def change(folder: Path) -> None:
        _change_record(folder, SCORES, lambda record: record["output"].update(values=["<results>/scores"]))

    assert _failed(lines(change)) == [
        "FAIL job records: results/scores, which a job made, is not there",
        f"FAIL job records: no job record says how results/{SCORES} was made",
    ]


def test_a_table_that_two_jobs_made_fails(lines: Callable[..., list[str]]) -> None:
    def change(folder: Path) -> None:
        _change_record(folder, SHARD, lambda record: record["output"]["values"].append(f"<results>/{SCORES}"))

    assert f"FAIL job records: two say how results/{SCORES} was made" in _failed(lines(change))


@pytest.mark.parametrize("name", ["logs/table.csv", "timings/table.log", "jobs/table.csv", "table.csv"])
def test_a_file_that_no_job_made_fails_wherever_it_is(content: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(content, tmp_path / "changed")
    (tmp_path / "changed/results" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "changed/results" / name).touch()
    (check,) = verify._origins(tmp_path / "changed", read_records(content / "results"))
    assert str(check) == f"FAIL job records: no job record says how results/{name} was made"


def test_a_check_that_finds_much_leaves_the_others_to_be_seen(lines: Callable[..., list[str]]) -> None:
    def change(folder: Path) -> None:
        for number in range(30):
            (folder / f"results/{number}.csv").touch()

    found = [line for line in _failed(lines(change)) if line.startswith("FAIL job records: ")]
    assert len(found) == 21
    assert found[-1] == "FAIL job records: 10 more of these"


def test_an_archive_without_results_fails(lines: Callable[..., list[str]]) -> None:
    assert _failed(lines(lambda folder: shutil.rmtree(folder / "results"))) == [
        "FAIL report: results/report.html is missing or cannot be read (FileNotFoundError)",
        "FAIL job records: no job made a table or a figure",
    ]


def test_a_report_that_shows_another_table_fails(lines: Callable[..., list[str]]) -> None:
    assert _failed(lines(lambda folder: _write_report(folder, b"better"))) == [
        f"FAIL report: it shows another out/{SCORES} than the archive holds"
    ]


def test_scores_that_say_otherwise_than_their_shards_how_they_were_made_fail(content: Path, tmp_path: Path) -> None:
    shutil.copytree(content, tmp_path / "changed")
    table = tmp_path / "changed/results" / SCORES
    write_table(read_table(table), table, **{**read_provenance(table), "torch": "0.1"})
    record = read_records(content / "results")[f"jobs/{SCORES}.json"]
    assert replay.replay(content, record) == []
    assert replay.replay(tmp_path / "changed", record) == [
        f"results/{SCORES} says that it was made otherwise than its shards"
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (str(Path(SCORES).parent), f"results/{Path(SCORES).parent} is no file of the archive"),
        ("scores", "results/scores is no file of the archive"),
        (SCORES, "its job record names it as an input, too"),
    ],
)
def test_no_script_is_led_to_write_into_the_archive_that_it_is_compared_with(
    content: Path, tmp_path: Path, given: str, said: str
) -> None:
    shutil.copytree(content, tmp_path / "changed")
    table = tmp_path / "changed/results" / SCORES
    forged = read_table(table).assign(score=1e6)
    write_table(forged, table, **read_provenance(table))
    record = read_records(content / "results")[f"jobs/{SCORES}.json"]
    record["input"]["values"].append(f"<results>/{given}")
    before = table.read_bytes()
    assert replay.replay(tmp_path / "changed", record) == [f"results/{SCORES} cannot be made again: {said}"]
    assert table.read_bytes() == before


def test_what_a_script_changes_of_the_archive_is_told(
    lines: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def origins(folder: Path, *arguments: object) -> list[verify.Check]:
        (folder / "results" / SCORES).write_bytes(b"")
        return []

    monkeypatch.setattr(verify, "_origins", origins)
    (line,) = _failed(lines(lambda folder: None))
    assert line == "FAIL manifest: files changed while results were made again. Do not trust the archive"


def test_what_is_part_of_the_code_is_read_from_the_checkout(content: Path, tmp_path: Path) -> None:
    shutil.copytree(content, tmp_path / "changed")
    published = Path("workflow/resources/published.csv")
    record = read_records(content / "results")[f"jobs/{SCORES}.json"]
    record["input"]["values"].append(f"<code>/{published}")
    archived = tmp_path / "changed/code/source" / published
    archived.parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / published, archived)
    assert replay._unusable(tmp_path / "changed", f"<code>/{published}") is None
    archived.write_text(archived.read_text().replace("0.5", "0.6"))
    assert replay.replay(tmp_path / "changed", record) == [
        f"results/{SCORES} cannot be made again: code/source/{published} is another than in the checkout that "
        "verifies. Use that of the archive"
    ]


@pytest.fixture
def committed(tmp_path: Path) -> tuple[Path, Path]:
    """A checkout of two files, and an archive of it."""
    root, folder = tmp_path / "checkout", tmp_path / "archive"
    root.mkdir()
    for name in ("Snakefile", "ops.py"):
        (root / name).write_text("pass\n")
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *arguments], check=True)
    shutil.copytree(root, folder / "code/source", ignore=shutil.ignore_patterns(".git"))
    (folder / "code/commit.json").write_text(json.dumps(verify.source.commit_facts(root)))
    (folder / "code/changes.diff").touch()
    return root, folder


def test_the_code_is_compared_with_that_of_its_commit(committed: tuple[Path, Path]) -> None:
    root, folder = committed
    assert [str(check) for check in verify._code(folder, root)][1:] == ["ok   code: 2 files, as in that commit"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("source/ops.py", "code/source/ops.py is not as in its commit"),
        ("source/new.py", "code/source/new.py is not as in its commit"),
        ("changes.diff", "code/changes.diff does not hold the changes that code/commit.json names"),
    ],
)
def test_code_that_is_not_as_in_its_commit_fails(committed: tuple[Path, Path], name: str, said: str) -> None:
    root, folder = committed
    (folder / "code" / name).write_text("other\n")
    assert [str(check) for check in verify._code(folder, root)][1:] == [f"FAIL code: {said}"]


@pytest.mark.parametrize("same", [True, False])
def test_results_that_other_code_makes_otherwise_name_the_commit_that_tells(
    lines: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    def change(folder: Path) -> None:
        path = folder / "code/commit.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"commit": "0123456789" * 4}))
        table = folder / "results" / SCORES
        write_table(read_table(table).assign(score=1e6), table, **read_provenance(table))

    here = {"version": "0.1.0", "commit": "0123456789" * 4 if same else "f" * 40, "changed": None, "untracked": None}
    monkeypatch.setattr(verify.source, "commit_facts", lambda root: here)
    printed = lines(change, whole=True)
    assert any(line.startswith("FAIL made again by gather_scores") for line in printed)
    assert any("`git checkout 012345678901` and verify again" in line for line in printed) == (not same)


def test_a_patch_that_is_not_there_fails(committed: tuple[Path, Path]) -> None:
    root, folder = committed
    (folder / "code/changes.diff").unlink()
    (check,) = list(verify._code(folder, root))[1:]
    assert str(check) == "FAIL code: code/changes.diff does not hold the changes that code/commit.json names"


def test_code_of_another_commit_is_not_compared_and_so_it_says(committed: tuple[Path, Path]) -> None:
    root, folder = committed
    facts = json.loads((folder / "code/commit.json").read_text())
    (folder / "code/commit.json").write_text(json.dumps({**facts, "commit": "0" * 40}))
    (check,) = verify._code(folder, root)
    assert str(check).endswith(". code/source was not compared")
