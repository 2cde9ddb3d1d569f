"""Proves an archive: its digests, its tables and figures' data made again, a sample of its scores made again."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from naswot_ext.archive import jobs, replay, rescore, source
from naswot_ext.archive.container import MANIFEST, check_manifest, files_in, sha256, unpack
from naswot_ext.archive.crate import METADATA, check_crate
from naswot_ext.archive.pack import read_records
from naswot_ext.errors import NaswotError, one_line

_T = TypeVar("_T")
# What Snakemake and the scripts write beside results.
_BESIDE = (("logs/", ".log"), ("timings/", ".tsv"), (f"{jobs.FOLDER}/", ".json"))
_REPORT = "report.html"
# More of one check would hide the others.
_LINES = 20
# Behind this, the report holds the files that it shows.
_SHOWN = 'var results = {"'


@dataclass(frozen=True)
class Check:
    """One line of a verification: whether it holds (None: it only says something), and what was seen."""

    holds: bool | None
    text: str

    def __str__(self) -> str:
        return f"{ {True: 'ok', False: 'FAIL', None: 'note'}[self.holds]:5}{self.text}"


def verify(archive: str, sample: int = 4, workers: int = 1, seed: int | None = None) -> Iterator[Check]:
    """Check an archive, a line at a time, in a temporary folder.

    Args:
        archive: the `.tar.zst` file.
        sample: how many architectures of each space and data set are scored again.
        workers: how many processes make results again.
        seed: which architectures; by default others each time.

    Raises NaswotError where it is no archive of this project, or where there is no checkout whose scripts could make
    results again.
    """
    if not replay.SCRIPTS.is_dir():
        raise NaswotError(
            "This naswot was installed without its workflow, which makes results again. Install it from a checkout "
            "(pip install -e), and verify there."
        )
    with tempfile.TemporaryDirectory(prefix="naswot-verify-") as temporary:
        # Resolved: links into it must not depend on the working directory.
        folder = unpack(archive, Path(temporary).resolve())
        yield from _digests(folder)
        unpacked = {name: sha256(folder / name) for name in files_in(folder)}
        yield from _description(folder)
        yield from _code(folder, replay.SCRIPTS.parents[1])
        yield from _report(folder)
        try:
            records = read_records(folder / "results")
        except NaswotError as error:
            yield Check(False, f"job records: {error}")
            return
        yield from _origins(folder, records)
        # Processes of their own: scripts change the working directory, and scoring the number of threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            differs = False
            for check in _made_again(folder, records, pool):
                differs |= check.holds is False
                yield check
            if differs:
                yield from _other_code(folder, replay.SCRIPTS.parents[1])
            yield from _scored_again(folder, sample, np.random.default_rng(seed), pool)
        # No script may change what others are compared with.
        if {name: sha256(folder / name) for name in files_in(folder)} != unpacked:
            yield Check(False, "manifest: files changed while results were made again. Do not trust the archive")


def _checks(what: str, problems: list[str], holds: str) -> Iterator[Check]:
    yield from (Check(False, f"{what}: {problem}") for problem in problems[:_LINES])
    if len(problems) > _LINES:
        yield Check(False, f"{what}: {len(problems) - _LINES} more of these")
    if not problems:
        yield Check(True, f"{what}: {holds}")


def _digests(folder: Path) -> Iterator[Check]:
    problems = check_manifest(folder)
    yield from _checks("manifest", problems, f"{len(files_in(folder)) - 1} files, each with the SHA-256 of {MANIFEST}")


def _description(folder: Path) -> Iterator[Check]:
    try:
        problems = check_crate(folder)
    # Whatever a damaged file makes the reader of another package raise.
    except Exception as error:
        problems = [f"{METADATA} is no RO-Crate: {one_line(error)}"]
    yield from _checks("ro-crate", problems, "every result is described")


def _code(folder: Path, root: Path) -> Iterator[Check]:
    """Which code made the results, and whether the archived files are those of its commit where this is it."""
    here = source.commit_facts(root)
    try:
        made = json.loads((folder / "code/commit.json").read_text())
        found = [f"the code of the archive is {_version(made)}", f"that checks it is {_version(here)}"]
        # What was changed in one of them is in no commit.
        changed = {name for facts in (made, here) for key in ("changed", "untracked") for name in facts[key] or []}
    except (OSError, ValueError, KeyError, TypeError):
        yield Check(False, "code: code/commit.json is missing or cannot be read")
        return
    alike, same_commit = made == here, made["commit"] and made["commit"] == here["commit"]
    text = f"code: {found[0]}; {'that checks it is the same' if alike else found[1]}"
    yield Check(None, text if same_commit else f"{text}. code/source was not compared")
    if same_commit:
        archived = folder / "code/source"
        names = {*(files_in(archived) if archived.is_dir() else ()), *source.code_files(root)} - changed
        problems = [
            f"code/source/{name} is not as in its commit"
            for name in sorted(names)
            if _differ(archived / name, root / name)
        ]
        patch = folder / "code/changes.diff"
        if not patch.is_file() or bool(patch.read_bytes()) != bool(made["changed"]):
            problems.append("code/changes.diff does not hold the changes that code/commit.json names")
        yield from _checks("code", problems, f"{len(names)} files, as in that commit")


def _other_code(folder: Path, root: Path) -> Iterator[Check]:
    """Whether what differs may be new wording, of a version that is not the archive's."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        made = json.loads((folder / "code/commit.json").read_text())["commit"]
        if made != source.commit_facts(root)["commit"] and re.fullmatch("[0-9a-f]{40}", made):
            yield Check(
                None,
                "made again: by other code than the archive's, whose wording or rounding may be what differs. "
                f"`git checkout {made[:12]}` and verify again",
            )


def _differ(a: Path, b: Path) -> bool:
    return not a.is_file() or not b.is_file() or a.read_bytes() != b.read_bytes()


def _version(facts: Mapping[str, Any]) -> str:
    if not facts["commit"]:
        return f"{facts['version']} (not in git)"
    changed = len(facts["changed"] or []) + len(facts["untracked"] or [])
    return f"{facts['version']}, commit {facts['commit'][:12]}" + f" with {changed} files changed" * bool(changed)


def _report(folder: Path) -> Iterator[Check]:
    """That the report shows the tables and figures that are in the archive."""
    try:
        page = (folder / "results" / _REPORT).read_text()
        _, found = page.split(_SHOWN)  # there once
        entries, _ = json.JSONDecoder().raw_decode('{"' + found)
        files = {path: base64.b64decode(entry["data_uri"].partition(";base64,")[2]) for path, entry in entries.items()}
    # Whatever a page of another form makes fail.
    except Exception as error:
        yield Check(False, f"report: results/{_REPORT} is missing or cannot be read ({type(error).__name__})")
        return
    problems = []
    for path, content in files.items():
        # The results folder has another name in the archive.
        parts = path.split("/")
        ends = (folder.joinpath("results", *filter(None, parts[i:])) for i in range(len(parts)))
        file = next(filter(os.path.isfile, ends), None)
        if file is None or file.read_bytes() != content:
            problems.append(f"it shows another {path} than the archive holds")
    yield from _checks("report", problems, f"it shows {len(files)} files as the archive holds them")


def _origins(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> Iterator[Check]:
    """That a job that may have made it claims each result, so that none escapes from being made again."""
    problems, claimed = [], set()
    for record in records.values():
        script = record["script"]
        for name in (path.removeprefix("<results>/") for path in record["output"]["values"]):
            if name in claimed:
                problems.append(f"two say how results/{name} was made")
            if not os.path.isfile(folder / "results" / name):
                problems.append(f"results/{name}, which a job made, is not there")
            if script in jobs.MEASUREMENTS | jobs.REPORTS and not jobs.may_write(script, name):
                problems.append(f"results/{name} is nothing that {script} makes, and would not be made again")
            claimed.add(name)
    for name in files_in(folder / "results") if (folder / "results").is_dir() else ():
        beside = any(name.startswith(start) and name.endswith(end) for start, end in _BESIDE)
        if not beside and name not in claimed:
            problems.append(f"no job record says how results/{name} was made")
    if not any(record["script"] in jobs.DERIVED for record in records.values()):
        problems.append("no job made a table or a figure")
    yield from _checks("job records", problems, f"{len(records)} say how {len(claimed)} results were made")


def _made_again(folder: Path, records: Mapping[str, Mapping[str, Any]], pool: ProcessPoolExecutor) -> Iterator[Check]:
    """Every table and figure's data, a line for all jobs of a script."""
    waiting: dict[str, list[tuple[Mapping[str, Any], Future[list[str]]]]] = {}
    for _, record in sorted(records.items()):
        try:
            kind = jobs.kind_of(record["script"])
        except NaswotError:
            yield Check(False, f"made again: this version knows no script {record['script']}. Use that of the archive")
            continue
        if kind == "derived" and replay.compared(record):
            job = pool.submit(replay.replay, folder, record)
            waiting.setdefault(record["script"], []).append((record, job))
    for script, pairs in sorted(waiting.items()):
        problems = [problem for _, job in pairs for problem in _result(job, lambda error: [error])]
        count = sum(len(replay.compared(record)) for record, _ in pairs)
        yield from _checks(f"made again by {script}", problems, f"{count} files, equal to those in the archive")


def _scored_again(folder: Path, sample: int, random: np.random.Generator, pool: ProcessPoolExecutor) -> Iterator[Check]:
    try:
        plans = rescore.plan(folder, sample, random)
    # Whatever a damaged table makes its reader raise.
    except Exception as error:
        yield Check(False, f"scored again: the score tables cannot be read: {type(error).__name__}: {one_line(error)}")
        return
    waiting: dict[tuple[str, float, str], list[Future[rescore.Outcome]]] = {}
    for place, tasks in plans.items():
        for task in tasks:
            if isinstance(task, str):
                yield Check(False, f"scored again, {place}: {task}")
            else:
                waiting.setdefault((place, task.tolerance, task.why), []).append(pool.submit(rescore.score_again, task))
    for (place, tolerance, why), running in waiting.items():
        found = [_result(job, lambda error: rescore.Outcome(0, 0.0, (error,))) for job in running]
        what = f"{sum(outcome.compared for outcome in found)} scores, relative difference at most "
        what += f"{max(outcome.largest for outcome in found):.1e} of {tolerance:.0e} allowed ({why})"
        problems = [problem for outcome in found for problem in outcome.problems]
        yield from _checks(f"scored again, {place}", problems, what)
    if not sample:
        yield Check(None, "scored again: nothing, as the sample is 0")
    elif not plans:
        yield Check(None, "scored again: no scores of registered proxies are in the archive")


def _result(job: Future[_T], failed: Callable[[str], _T]) -> _T:
    try:
        return job.result()
    except BrokenProcessPool:
        raise NaswotError(
            "A process that made results again was killed: give it more memory, or fewer --jobs."
        ) from None
    # A record that was tampered with can make a script raise anything.
    except Exception as error:
        return failed(f"{type(error).__name__}: {one_line(error)}")
