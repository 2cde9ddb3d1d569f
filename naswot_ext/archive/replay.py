"""Makes a result again: the script of its recorded job, on the archived inputs, in a folder of its own.

The scripts are those of the checkout that this package belongs to. No code of an archive is ever run.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

import naswot_ext
from naswot_ext.archive import jobs
from naswot_ext.errors import NaswotError, one_line, shown
from naswot_ext.provenance import read_provenance

SCRIPTS = Path(naswot_ext.__file__).parents[1] / "workflow" / "scripts"
# What people look at is drawn from data that are compared.
_PICTURES = (".pdf", ".png", ".svg")
# Where the places of a record stand in a job's own folder, and in the archive.
_IN_JOB = {"<results>": "results", "<code>": "code", "<downloads>": "downloads"}
_IN_ARCHIVE = {"<results>": "results", "<code>": "code/source", "<downloads>": "downloads"}


def compared(record: Mapping[str, Any]) -> list[str]:
    """The outputs of a job that are compared when it is made again, as recorded."""
    return [path for path in record["output"]["values"] if not path.endswith(_PICTURES)]


def replay(archive: Path, record: Mapping[str, Any]) -> list[str]:
    """Make a job's outputs again from an unpacked archive; what differs, a sentence each; none where nothing does.

    Changes the working directory, and what the process prints, while it runs: call it in a process of its own.
    """
    script = SCRIPTS / f"{record['script']}.py"
    if jobs.kind_of(record["script"]) != "derived" or not script.is_file():
        raise NaswotError(f"This version of naswot has no script {record['script']} that makes tables or figures.")
    outputs = record["output"]["values"]
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="naswot-job-") as temporary:
        folder = Path(temporary).resolve()
        for path in record["input"]["values"]:
            problem = _unusable(archive, path)
            if problem:
                return [f"{_shown(outputs[0])} cannot be made again: {problem}"]
            here = _located(folder, path, _IN_JOB)
            here.parent.mkdir(parents=True, exist_ok=True)
            if not here.exists():
                here.symlink_to(_located(archive, path, _IN_ARCHIVE))
        for path in outputs:
            there = _located(folder, path, _IN_JOB)
            there.parent.mkdir(parents=True, exist_ok=True)
            # Through a link, the script would write over what it is compared with.
            if there.exists() or not there.resolve().is_relative_to(folder):
                return [f"{_shown(path)} cannot be made again: its job record names it as an input, too"]
        os.chdir(folder)
        try:
            problem = _run(script, record, folder)
        finally:
            os.chdir(before)
        if problem:
            return [f"{_shown(outputs[0])} cannot be made again: {problem}"]
        differences = [
            f"{_shown(path)} made again differs: {difference}"
            for path in compared(record)
            for difference in _differences(_located(archive, path, _IN_ARCHIVE), _located(folder, path, _IN_JOB))
        ]
        if record["script"] == "gather_scores" and not differences:
            # What scores were made with decides how they are scored again.
            made_with = [read_provenance(_located(archive, outputs[0], _IN_ARCHIVE))]
            made_with.append(read_provenance(_located(folder, outputs[0], _IN_JOB)))
            if made_with[0] != made_with[1]:
                differences.append(f"{_shown(outputs[0])} says that it was made otherwise than its shards")
        return differences


def _unusable(archive: Path, path: str) -> str | None:
    """Why an input cannot be given to a script, or None."""
    if jobs.split_place(path) is None or not os.path.isfile(there := _located(archive, path, _IN_ARCHIVE)):
        return f"{_shown(path)} is no file of the archive"
    if path.startswith("<code>/"):
        # The scripts are those of the checkout, and so is what is part of the code.
        ours = _located(SCRIPTS.parents[1], path, {"<code>": "."})
        if not os.path.isfile(ours) or ours.read_bytes() != there.read_bytes():
            return f"{_shown(path)} is another than in the checkout that verifies. Use that of the archive"
    return None


def _run(script: Path, record: Mapping[str, Any], folder: Path) -> str | None:
    """Run a script as Snakemake does; its error, or None."""
    log = folder / "log"
    locate: Callable[[str], str] = lambda text: str(_located(Path(), text, _IN_JOB))  # noqa: E731 (one line says it)
    job = SimpleNamespace(
        rule=record["rule"],
        input=jobs.named(record["input"], locate),
        output=jobs.named(record["output"], locate),
        wildcards=SimpleNamespace(**record["wildcards"]),
        params=jobs.named(record["params"], lambda value: jobs.decoded(value, _only_places(locate))),
        threads=record["threads"],
        resources=SimpleNamespace(),
        log=jobs.Files([str(log)]),
        config={"results": "results"},
        scriptdir=str(script.parent),
        replayed=True,
    )
    if str(script.parent) not in sys.path:
        sys.path.insert(0, str(script.parent))
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        try:
            runpy.run_path(str(script), {"snakemake": job})
        except SystemExit as end:
            if end.code:
                errors = [line for line in log.read_text().splitlines() if line.startswith("Error: ")]
                return errors[-1].removeprefix("Error: ") if errors else f"{script.name} ended with {end.code}"
        except Exception as error:
            return f"{type(error).__name__}: {one_line(error)}"
    return None


def _only_places(locate: Callable[[str], str]) -> Callable[[str], str]:
    """Params are texts of all kinds; only those that begin with a place are paths."""
    return lambda text: locate(text) if text.startswith(tuple(f"{place}/" for place in _IN_JOB)) else text


def _located(folder: Path, path: str, places: Mapping[str, str]) -> Path:
    split = jobs.split_place(path)
    if split is None:
        raise NaswotError(f"A job record names {shown(path)}, which is in no folder of the archive. Do not trust it.")
    return folder / places[split[0]] / split[1]


def _shown(path: str) -> str:
    return path.replace("<results>/", "results/").replace("<code>/", "code/source/")


def _differences(archived: Path, made: Path) -> list[str]:
    if not archived.is_file():
        return ["it is not in the archive"]
    if not made.is_file():
        return ["its job does not make it any more"]
    if archived.suffix == ".parquet":
        difference = _difference_of_tables(archived, made)
    else:
        difference = _difference_of_texts(archived.read_bytes(), made.read_bytes())
    return [difference] if difference else []


def _difference_of_texts(archived: bytes, made: bytes) -> str | None:
    if archived == made:
        return None
    pairs = zip(archived.splitlines(), made.splitlines(), strict=False)
    for number, (old, new) in enumerate(pairs, 1):
        if old != new:
            at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
            start = max(0, at - 20)
            texts = [shown(line[start : at + 40].decode(errors="replace")) for line in (old, new)]
            return f"line {number}, column {at + 1}: {texts[0]} in the archive, {texts[1]} now"
    return f"{len(archived.splitlines())} lines in the archive, {len(made.splitlines())} now, or other line ends"


def _difference_of_tables(archived: Path, made: Path) -> str | None:
    """The first difference in columns, their types, their order, rows or values; how they were made may differ."""
    try:
        tables = [pq.read_table(path) for path in (archived, made)]
    except (OSError, ValueError) as error:
        return f"it is not a whole Parquet file ({one_line(error)})"
    old, new = ([(field.name, str(field.type)) for field in table.schema] for table in tables)
    if old != new:
        return f"the columns are {shown(old)} in the archive, {shown(new)} now"
    if len(tables[0]) != len(tables[1]):
        return f"{len(tables[0])} rows in the archive, {len(tables[1])} now"
    for name, _ in old:
        # As Arrow and not pandas holds them: in columns of whole numbers, a missing one would make them floats.
        values = [table.column(name).to_pylist() for table in tables]
        for row, (a, b) in enumerate(zip(*values, strict=True)):
            if a != b and not (pd.isna(a) and pd.isna(b)):
                return f"row {row}, column {name}: {shown(a)} in the archive, {shown(b)} now"
    return None
