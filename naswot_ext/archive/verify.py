"""Proves an archive: its digests, its tables and figures' data made again, a sample of its scores made again."""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from naswot_ext.archive import jobs, replay, rescore, source
from naswot_ext.archive.container import MANIFEST, check_manifest, files_in, unpack
from naswot_ext.archive.crate import METADATA, check_crate
from naswot_ext.archive.pack import read_records
from naswot_ext.errors import NaswotError, one_line

_T = TypeVar("_T")
# What Snakemake and the scripts write beside results.
_BESIDE = ("results/logs/", "results/timings/", f"results/{jobs.FOLDER}/")


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
        yield from _description(folder)
        yield _versions(folder)
        records = read_records(folder / "results")
        yield from _origins(folder, records)
        # Processes of their own: scripts change the working directory, and scoring the number of threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            yield from _made_again(folder, records, pool)
            yield from _scored_again(folder, sample, np.random.default_rng(seed), pool)


def _checks(what: str, problems: list[str], holds: str) -> Iterator[Check]:
    yield from (Check(False, f"{what}: {problem}") for problem in problems)
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


def _versions(folder: Path) -> Check:
    here = source.commit_facts(replay.SCRIPTS.parents[1])
    try:
        made = json.loads((folder / "code/commit.json").read_text())
        texts = {"of the archive": made, "that checks it": here}
        found = [f"the code {whose} is {_version(facts)}" for whose, facts in texts.items()]
    except (OSError, ValueError, KeyError, TypeError):
        return Check(False, "code: code/commit.json is missing or cannot be read")
    alike = made == here
    return Check(None, f"code: {found[0]}; {'that checks it is the same' if alike else found[1]}")


def _version(facts: Mapping[str, Any]) -> str:
    if not facts["commit"]:
        return f"{facts['version']} (not in git)"
    changed = len(facts["changed"] or []) + len(facts["untracked"] or [])
    return f"{facts['version']}, commit {facts['commit'][:12]}" + f" with {changed} files changed" * bool(changed)


def _origins(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> Iterator[Check]:
    """That a job record claims each result, so that none escapes from being made again."""
    made = [
        path.replace("<results>/", "results/") for record in records.values() for path in record["output"]["values"]
    ]
    claimed = set(made)
    problems = [f"{path}, which a job made, is not there" for path in sorted(claimed) if not (folder / path).exists()]
    for name in files_in(folder):
        parents = {parent.as_posix() for parent in Path(name).parents}
        if name.startswith("results/") and not name.startswith(_BESIDE) and not ({name} | parents) & claimed:
            problems.append(f"no job record says how {name} was made")
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
    except (NaswotError, OSError, ValueError, KeyError) as error:
        yield Check(False, f"scored again: the score tables cannot be read: {one_line(error)}")
        return
    waiting = {
        place: [task if isinstance(task, str) else pool.submit(rescore.score_again, task) for task in tasks]
        for place, tasks in plans.items()
    }
    for place, running in waiting.items():
        found: list[rescore.Outcome] = [
            rescore.Outcome(0, 0.0, (job,))
            if isinstance(job, str)
            else _result(job, lambda error: rescore.Outcome(0, 0.0, (error,)))
            for job in running
        ]
        tolerance = max([task.tolerance for task in plans[place] if not isinstance(task, str)], default=rescore.EXACT)
        what = f"{sum(outcome.compared for outcome in found)} scores, relative difference at most "
        what += f"{max(outcome.largest for outcome in found):.1e} of {tolerance:.0e} allowed"
        problems = [problem for outcome in found for problem in outcome.problems]
        yield from _checks(f"scored again, {place}", problems, what)
    if not waiting:
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
