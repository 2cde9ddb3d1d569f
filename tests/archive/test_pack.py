"""What of a run goes into its archive; the run here is a few files that no workflow made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from naswot_ext.archive.container import unpack
from naswot_ext.archive.pack import Run, pack
from naswot_ext.errors import NaswotError

DOT = 'digraph snakemake_dag {\n\t0[label = "all", color = "0 0 0"];\n}\n'


def _record(script: str, inputs: list[str], output: str) -> dict[str, Any]:
    return {
        "script": script,
        "rule": script,
        "input": {"values": inputs, "names": {}},
        "output": {"values": [output], "names": {}},
        "wildcards": {},
        "params": {"values": [], "names": {}},
        "threads": 1,
        "machine": {"cpu": "c", "cores": 2, "memory_gib": 4.0},
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    results, code = tmp_path / "run/results", tmp_path / "code"
    (code / "workflow").mkdir(parents=True)
    (code / "Snakefile").write_text("rule all:\n")
    own = tmp_path / "own" / "truth.csv"
    own.parent.mkdir()
    own.write_text("1\n")
    for name, text in {
        "benchmarks/s.csv": "1\n",
        "tables/t.csv": "2\n",
        "tables/of-an-older-config.csv": "3\n",
        "logs/t.log": "fine\n",
        "logs/s.log": f"reads {own}\n",
        "timings/t.tsv": "s\n1\n",
        "scores/.part.parquet.partial": "half\n",
    }.items():
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text(text)
    records = [
        _record("ground_truth", [str(own)], "<results>/benchmarks/s.csv"),
        _record("correlation_table", ["<results>/benchmarks/s.csv"], "<results>/tables/t.csv"),
    ]
    for record in records:
        path = results / "jobs" / (record["output"]["values"][0].removeprefix("<results>/") + ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))
    config = tmp_path / "run/config.yaml"
    config.write_text(f"path: {own}\n")
    outputs = "output_file\tdate\trule\tlog-file(s)\tstatus\tplan\n"
    outputs += f"{results}/benchmarks/s.csv\t-\tground_truth\t{results}/logs/s.log\tok\tno update\n"
    outputs += f"{results}/tables/t.csv\t-\tcorrelation_table\t{results}/logs/t.log\tok\tno update\n"
    outputs += f"{results}/archive/naswot.tar.zst\t-\tarchive\t-\tmissing\tupdate pending\n"
    return Run(results, code, {"results": str(results), "path": str(own)}, [str(config)], outputs, DOT)


@pytest.fixture
def content(run: Run, tmp_path: Path) -> Path:
    pack(run, tmp_path / "a.tar.zst")
    return unpack(tmp_path / "a.tar.zst", tmp_path / "unpacked")


def test_results_are_those_of_the_run_and_not_what_else_lies_beside_them(content: Path) -> None:
    found = {path.relative_to(content / "results").as_posix() for path in (content / "results").rglob("*.*")}
    assert found == {
        "benchmarks/s.csv",
        "tables/t.csv",
        "logs/t.log",
        "timings/t.tsv",
        "jobs/benchmarks/s.csv.json",
        "jobs/tables/t.csv.json",
    }


def test_files_that_were_read_stand_with_their_digest_and_without_their_folder(content: Path) -> None:
    (source,) = json.loads((content / "sources.json").read_text())
    digest = hashlib.sha256(b"1\n").hexdigest()
    assert source == {
        "file": "truth.csv",
        "sha256": digest,
        "bytes": 2,
        "read_for": ["<results>/benchmarks/s.csv"],
    }
    for name in ("config/given-1-config.yaml", "config/resolved.yaml"):
        assert "path: elsewhere/truth.csv\n" in (content / name).read_text()
    assert "elsewhere/truth.csv" in (content / "results/jobs/benchmarks/s.csv.json").read_text()


def test_machines_are_counted_and_not_named(content: Path) -> None:
    machines = json.loads((content / "environment/machines.json").read_text())
    assert machines["made_on"] == [{"cpu": "c", "cores": 2, "memory_gib": 4.0, "jobs": 2}]
    assert set(machines["archived_on"]) <= {"cpu", "instructions", "cores", "memory_gib", "gpu"}


def test_the_same_run_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    pack(run, tmp_path / "a.tar.zst")
    pack(run, tmp_path / "b.tar.zst")
    assert (tmp_path / "a.tar.zst").read_bytes() == (tmp_path / "b.tar.zst").read_bytes()


def test_a_result_that_is_missing_is_an_error(run: Run, tmp_path: Path) -> None:
    (run.results / "tables/t.csv").unlink()
    with pytest.raises(NaswotError, match=r"tables/t\.csv has not been made"):
        pack(run, tmp_path / "a.tar.zst")
    assert not (tmp_path / "a.tar.zst").exists()


def test_a_table_without_a_record_is_an_error_that_names_the_rule_to_run(run: Run, tmp_path: Path) -> None:
    (run.results / "jobs/tables/t.csv.json").unlink()
    with pytest.raises(NaswotError, match=r"snakemake archive --forcerun correlation_table$"):
        pack(run, tmp_path / "a.tar.zst")


def test_what_was_measured_before_jobs_were_recorded_needs_no_record(run: Run, tmp_path: Path) -> None:
    (run.results / "jobs/benchmarks/s.csv.json").unlink()
    pack(run, tmp_path / "a.tar.zst")
    folder = unpack(tmp_path / "a.tar.zst", tmp_path / "unpacked")
    record = json.loads((folder / "results/jobs/benchmarks/s.csv.json").read_text())
    assert record["output"]["values"] == ["<results>/benchmarks/s.csv"]
