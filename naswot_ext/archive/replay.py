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
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

import naswot_ext
from naswot_ext.archive import jobs
from naswot_ext.errors import NaswotError, one_line, shown

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
        folder = Path(temporary)
        for path in record["input"]["values"]:
            there = _located(archive, path, _IN_ARCHIVE)
            if not there.exists():
                return [f"{_shown(outputs[0])} cannot be made again: {_shown(path)} is not in the archive"]
            here = _located(folder, path, _IN_JOB)
            here.parent.mkdir(parents=True, exist_ok=True)
            if not here.exists():
                here.symlink_to(there)
        for path in outputs:
            _located(folder, path, _IN_JOB).parent.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        try:
            problem = _run(script, record, folder)
        finally:
            os.chdir(before)
        if problem:
            return [f"{_shown(outputs[0])} cannot be made again: {problem}"]
        return [
            f"{_shown(path)} made again differs: {difference}"
            for path in compared(record)
            for difference in _differences(_located(archive, path, _IN_ARCHIVE), _located(folder, path, _IN_JOB))
        ]


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
    place, _, inside = path.partition("/")
    if place not in places:
        # A file of the user's own, which no job that is made again reads.
        return folder / "elsewhere" / PurePosixPath(path).name
    if ".." in PurePosixPath(inside).parts:
        raise NaswotError(f"A job record names {shown(path)}, which is in no folder of the archive. Do not trust it.")
    return folder / places[place] / inside


def _shown(path: str) -> str:
    return path.replace("<results>/", "results/").replace("<code>/", "code/source/")


def _differences(archived: Path, made: Path) -> list[str]:
    if not archived.exists():
        return ["it is not in the archive"]
    if not made.exists():
        return ["its job does not make it any more"]
    if archived.is_dir():
        names = sorted({path.relative_to(f).as_posix() for f in (archived, made) for path in f.rglob("*.*")})
        kept = [name for name in names if not name.endswith(_PICTURES)]
        return [f"{name}: {each}" for name in kept for each in _differences(archived / name, made / name)]
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
