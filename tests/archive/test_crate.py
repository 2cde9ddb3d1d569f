"""The archive's description for machines."""

from __future__ import annotations

import json
from pathlib import Path

from naswot_ext.archive.crate import METADATA, check_crate, write_crate

FACTS = {"version": "0.1.0", "date": "2026-11-23T00:00:00+00:00", "commit": None}


def test_files_of_any_name_are_described_with_the_job_that_made_them(tmp_path: Path) -> None:
    (tmp_path / "code/source").mkdir(parents=True)
    (tmp_path / "code/source/Snakefile").write_text("rule all:\n")
    (tmp_path / "results").mkdir()
    for name in ("rea@small.csv", "100 %.csv"):
        (tmp_path / "results" / name).write_text("a\n")
    record = {
        "rule": "search",
        "input": {"values": ["<results>/100 %.csv"]},
        "output": {"values": ["<results>/rea@small.csv"]},
    }
    write_crate(tmp_path, FACTS, [record])
    assert check_crate(tmp_path) == []
    graph = json.loads((tmp_path / METADATA).read_text())["@graph"]
    (action,) = (entity for entity in graph if entity["@type"] == "CreateAction")
    files = {entity["@id"] for entity in graph if entity["@type"] == "File"}
    assert {action["object"][0]["@id"], action["result"][0]["@id"]} <= files


def test_a_file_that_is_not_described_is_told(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "code/source").mkdir(parents=True)
    write_crate(tmp_path, FACTS, [])
    (tmp_path / "results/new.csv").write_text("a\n")
    assert check_crate(tmp_path) == ["results/new.csv is not described"]
