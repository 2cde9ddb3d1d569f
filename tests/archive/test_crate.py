"""The archive's description for machines."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from naswot_ext.archive.container import write_manifest
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
    write_manifest(tmp_path)
    assert check_crate(tmp_path) == []
    graph = json.loads((tmp_path / METADATA).read_text())["@graph"]
    (action,) = (entity for entity in graph if entity["@type"] == "CreateAction")
    files = {entity["@id"] for entity in graph if entity["@type"] == "File"}
    assert {action["object"][0]["@id"], action["result"][0]["@id"]} <= files


def test_every_file_but_the_describing_ones_has_its_size_and_digest(tmp_path: Path) -> None:
    names = ["README.md", "code/commit.json", "code/source/Snakefile", "code/source/a.py", "results/x.bin"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    write_crate(tmp_path, FACTS, [])
    graph = {entity["@id"]: entity for entity in json.loads((tmp_path / METADATA).read_text())["@graph"]}
    for name in names:
        assert graph[name]["contentSize"] == str(len(name))
        assert graph[name]["sha256"] == hashlib.sha256(name.encode()).hexdigest()
        assert {"@id": name} in graph["./"]["hasPart"]
    (tmp_path / "code/source/a.py").write_text("code/source/b.py")
    assert check_crate(tmp_path) == ["code/source/a.py has another size or SHA-256 than described"]


def test_a_file_that_is_not_described_is_told(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "code/source").mkdir(parents=True)
    write_crate(tmp_path, FACTS, [])
    for name in ("results/new.csv", "code/source/new.py", "new.txt"):
        (tmp_path / name).write_text("a\n")
    assert check_crate(tmp_path) == [
        "code/source/new.py is not described",
        "new.txt is not described",
        "results/new.csv is not described",
    ]
