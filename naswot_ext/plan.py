"""What Snakemake would run for a config, and about how long: `naswot plan`.

The jobs are those of a dry run, whose log records a small logger plugin (workflow/plugins) writes down one by one, so
that no text is taken apart. Their lengths come from the `benchmark:` files of earlier runs: a straight line through the
seconds of the nearest earlier jobs by their size (architectures of a shard, runs of a search), or else their median.
Imports no Snakemake; it runs as a process of its own.
"""

from __future__ import annotations

import copy
import csv
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from naswot_ext import config as configuration
from naswot_ext import proxy_names
from naswot_ext.errors import NaswotError

_CHECKOUT = Path(__file__).resolve().parent.parent
_PATTERN = re.compile(r"^(?:rule|checkpoint) (\w+):\n(?:^(?:[ \t].*)?\n)*?^ {4}benchmark:\n +\"<results>/(.+)\"", re.M)

# What an earlier job must have in common with a planned one, the nearest first, and what the jobs are measured by.
_NEAREST = {
    "score": ("architecture", [("space", "dataset", "group"), ("space", "group"), ("group",)]),
    "search": ("run", [("space", "dataset", "algorithm"), ("algorithm",), ("kind",)]),
    "network_search": ("run", [("space", "dataset", "algorithm"), ("algorithm",), ("kind",)]),
}
# Of all other rules: the job's own earlier timing, or else those of the rule.
_ITSELF = ("file",)
_GATHER = "gather_scores"
# Rules that do the same work, in one job or in many.
_SAME_WORK = {"search_runs": "search"}


@dataclass(frozen=True)
class Job:
    """A job, planned or done.

    `units` is its size in what its rule is measured by, 1 where there is no such thing; `file` its benchmark file
    within the results folder.
    """

    rule: str
    wildcards: Mapping[str, str]
    units: float = 1
    threads: int = 1
    seconds: float | None = None
    file: str | None = None

    @property
    def work(self) -> str:
        """The rule that the job is compared as."""
        return _SAME_WORK.get(self.rule, self.rule)

    def key(self, names: Sequence[str]) -> tuple[str | None, ...]:
        """What must be the same in another job, by the names of wildcards; `kind` is the algorithm without options."""
        known = {**self.wildcards, "file": self.file, "kind": re.split(r"[-@]", self.wildcards.get("algorithm", ""))[0]}
        return tuple(known.get(name) for name in names)


@dataclass
class Line:
    """The jobs of one rule that are planned, together."""

    jobs: int = 0
    unknown: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    timings: int = 0
    based_on: set[str] = field(default_factory=set)

    def basis(self) -> str:
        """What the estimate is based on, and how many jobs have none."""
        # The jobs of a rule may be estimated from earlier jobs that are differently near.
        basis = [f"{self.timings} timing(s), {' or '.join(sorted(self.based_on))}"] if self.timings else []
        if self.unknown:
            basis.append(f"{self.unknown} of {self.jobs} without an earlier timing" if basis else "no earlier timing")
        return "; ".join(basis)


@dataclass
class Plan:
    """What is planned, by rule, and the spaces of which nobody knows yet how much is to be scored."""

    lines: dict[str, Line]
    later: list[str]

    def report(self, cores: int | None = None) -> Iterator[str]:
        """The lines of a table: rule, jobs, core hours, what they are based on; then the sum, and the wall time."""
        if not self.lines:
            yield "Nothing to be done: all results are there and made by this code and config."
            return
        rows = [("rule", "jobs", "core hours", "based on")]
        for rule, line in self.lines.items():
            known = _hours(line.seconds) if line.unknown < line.jobs else "unknown"
            rows.append((rule, f"{line.jobs:,}", known, line.basis()))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for row in rows:
            yield f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}".rstrip()
        jobs, unknown = (sum(getattr(line, name) for line in self.lines.values()) for name in ("jobs", "unknown"))
        seconds = sum(line.seconds for line in self.lines.values())
        besides = f" without {unknown:,} of which nothing is known" if unknown else ""
        yield ""
        yield f"{jobs:,} job(s), {_hours(seconds) if unknown < jobs else 'unknown'} core hours{besides}"
        if cores and unknown < jobs:
            wall = max(seconds / cores, *(line.longest for line in self.lines.values()))
            yield f"On {cores} core(s): {_hours(wall)} hours or more"
        if self.later:
            yield (
                f"Not counted: scoring {', '.join(self.later)}, whose architectures are known when the checkpoint has "
                "listed them."
            )


def make_plan(
    configs: Sequence[str | os.PathLike[str]],
    *,
    settings: Iterable[str] = (),
    timings: Iterable[str | os.PathLike[str]] = (),
    cores: int | None = None,
    targets: Sequence[str] = (),
    snakefile: str | os.PathLike[str] | None = None,
) -> Plan:
    """What a run of `configs`, merged in order as Snakemake merges them, would do in the working directory.

    `settings` are "key=value" (a key within a section as "scoring.shard_size=100"), `timings` results folders of
    earlier runs besides the config's own, `targets` files or target rules instead of everything, `cores` as many as
    Snakemake is to be offered (all). Raises NaswotError where a file is missing, where the config cannot be used, or
    where Snakemake cannot plan, with what it said.
    """
    snakefile = Path(snakefile or _CHECKOUT / "Snakefile")
    if not snakefile.is_file():
        raise NaswotError(f"There is no {snakefile}. `naswot plan` needs a checkout: run it from one's environment.")
    workflow = snakefile.parent / "workflow"
    overrides = _nested(settings)
    config = configuration.resolve(_read(configs, overrides), workflow / "schemas" / "config.schema.yaml")
    planned = _dry_run(snakefile, configs, overrides, cores, targets)
    patterns = benchmark_patterns(workflow / "rules")
    folders = dict.fromkeys(Path(folder).resolve() for folder in [config["results"], *timings])
    done = [job for folder in folders for job in read_timings(folder, patterns)]
    jobs = [
        Job(
            job["rule"],
            job["wildcards"],
            _size(job["rule"], job["wildcards"], config),
            job["threads"],
            file=os.path.relpath(job["benchmark"], config["results"]),
        )
        for job in planned
        if job["benchmark"]  # the others are names of targets
    ]
    listed = {job["wildcards"]["space"] for job in planned if job["checkpoint"] and "space" in job["wildcards"]}
    later = {space for space in listed if any(job.rule == _GATHER and job.wildcards["space"] == space for job in jobs)}
    scored = {job.wildcards["space"] for job in jobs if job.rule == "score"}
    foreseen = list(_foreseen(later - scored, jobs, config))
    unforeseen = later - scored - {job.wildcards["space"] for job in foreseen}
    return Plan(estimate([*jobs, *foreseen], done), sorted(unforeseen))


def _foreseen(spaces: set[str], planned: Sequence[Job], config: Mapping[str, Any]) -> Iterator[Job]:
    """The scoring jobs that Snakemake plans only when it has listed the architectures of a space, at most so many.

    None for a space that does not know its own number of architectures.
    """
    gathered = [job for job in planned if job.rule == _GATHER]
    proxies = [job.wildcards["proxy"] for job in gathered]
    size = config["scoring"]["shard_size"]
    counts = {space: count for space in spaces if (count := _architectures(space))}
    groups = {
        (job.wildcards["space"], job.wildcards["dataset"], proxy_names.group(job.wildcards["proxy"], proxies)[0], seed)
        for job in gathered
        for seed in [job.wildcards["seed"]]
        if job.wildcards["space"] in counts
    }
    for space, dataset, group, seed in sorted(groups):
        for first in range(0, counts[space], size):
            wildcards = {"space": space, "dataset": dataset, "group": group, "seed": seed}
            yield Job("score", wildcards, min(size, counts[space] - first))


def _architectures(space: str) -> int:
    """How many architectures a space has; 0 where only its ground truth knows."""
    from naswot_ext.spaces import SPACES

    try:
        return len(SPACES.get(space))
    except (NaswotError, TypeError):
        return 0


def estimate(planned: Iterable[Job], done: Iterable[Job]) -> dict[str, Line]:
    """The lines of a plan: each planned job's seconds from the nearest of those that are done."""
    finished: dict[tuple[str, tuple[str, ...]], dict[tuple[str | None, ...], list[Job]]] = {}
    for job in done:
        for names in _nearest(job.work)[1]:
            finished.setdefault((_owner(job, names), names), defaultdict(list))[job.key(names)].append(job)
    lines: dict[str, Line] = defaultdict(Line)
    used: dict[str, dict[int, Job]] = defaultdict(dict)
    for job in planned:
        line = lines[job.rule]
        line.jobs += 1
        unit, nearest = _nearest(job.work)
        for names in nearest:
            if alike := finished.get((_owner(job, names), names), {}).get(job.key(names)):
                seconds = _seconds(alike, job.units) * job.threads
                line.seconds += seconds
                line.longest = max(line.longest, seconds / job.threads)
                of_others = f"per {unit} of the same {', '.join(names)}" if unit else "median of the rule"
                line.based_on.add("the same job" if names == _ITSELF else of_others)
                used[job.rule] |= {id(other): other for other in alike}
                break
        else:
            line.unknown += 1
    for rule, others in used.items():
        lines[rule].timings = len(others)
    return dict(lines)


def _owner(job: Job, names: tuple[str, ...]) -> str:
    """The rule whose jobs are compared; any where the file is the same, since not all files tell their rule."""
    return "" if names == _ITSELF else job.work


def benchmark_patterns(rules: str | os.PathLike[str]) -> dict[str, re.Pattern[str]]:
    """{rule: what its benchmark files are called within the results folder}, where they are called as no other's."""
    found = {}
    for file in sorted(Path(rules).glob("*.smk")):
        for rule, pattern in _PATTERN.findall(file.read_text()):
            parts = re.split(r"\{(\w+)\}", pattern)
            names = [f"(?P<{part}>[^/]+)" if i % 2 else re.escape(part) for i, part in enumerate(parts)]
            # A name that is nothing but a wildcard is that of any file: several rules share it.
            if parts[0] != "timings/":
                found[rule] = re.compile("".join(names))
    return found


def read_timings(folder: str | os.PathLike[str], patterns: Mapping[str, re.Pattern[str]]) -> Iterator[Job]:
    """The jobs of an earlier run, by the benchmark files in `folder`/timings; none where there are none.

    One whose size cannot be told, because its result is gone, is left out.
    """
    folder = Path(folder)
    for file in sorted(folder.glob("timings/**/*.tsv")):
        name = file.relative_to(folder).as_posix()
        seconds = _measured(file)
        if seconds is None:
            continue
        told = False
        for rule, pattern in patterns.items():
            match = pattern.fullmatch(name)
            # A search that has jobs for its runs is gathered from them, under the name of one that has not.
            if not match or rule == ("search" if file.with_suffix("").is_dir() else "gather_runs"):
                continue
            told = True
            if units := _size_of_done(rule, match.groupdict(), folder):
                yield Job(rule, match.groupdict(), units, seconds=seconds, file=name)
        if not told:
            yield Job("", {}, seconds=seconds, file=name)


def _measured(file: Path) -> float | None:
    """The mean of the column `s`, seconds; None for a file that a killed job left without."""
    with open(file, newline="", encoding="utf-8") as opened:
        rows = [row.get("s") for row in csv.DictReader(opened, delimiter="\t")]
    try:
        return statistics.fmean(float(row or "") for row in rows)
    except ValueError:
        return None


def _nearest(work: str) -> tuple[str | None, list[tuple[str, ...]]]:
    return _NEAREST.get(work, (None, [_ITSELF, ()]))


def _seconds(alike: Sequence[Job], units: float) -> float:
    """The seconds of a job of a size, by others: a start and so much a unit where they have several sizes."""
    sizes = [job.units for job in alike]
    seconds = [job.seconds or 0.0 for job in alike]
    if units == 1 and set(sizes) == {1}:
        return statistics.median(seconds)
    if max(sizes) >= 2 * min(sizes):
        slope, start = statistics.linear_regression(sizes, seconds)
        if slope > 0 and start >= 0:
            return start + slope * units
    return units * statistics.median(s / size for s, size in zip(seconds, sizes, strict=True))


def _size(rule: str, wildcards: Mapping[str, str], config: Mapping[str, Any]) -> float:
    """The architectures of a planned shard, or the runs of a planned search."""
    if rule == "score":
        size = config["scoring"]["shard_size"]
        wanted = config["spaces"][wildcards["space"]]["architectures"]
        return size if wanted == "all" else max(1, min(size, wanted - int(wildcards["shard"]) * size))
    if "first" in wildcards:
        return int(wildcards["last"]) - int(wildcards["first"]) + 1
    return config["searches"]["runs"] if rule == "search" else 1


def _size_of_done(rule: str, wildcards: Mapping[str, str], results: Path) -> float:
    """The same of a job that is done, by what it made; 0 where that is gone."""
    if "first" in wildcards:
        return int(wildcards["last"]) - int(wildcards["first"]) + 1
    if rule == "score":
        made = "scores/{space}/{dataset}/shards/{group}/seed-{seed}/shard-{shard}.parquet"
    elif rule == "search":
        made = "searches/{space}/{dataset}/{algorithm}.parquet"
    else:
        return 1
    import pyarrow.parquet

    try:
        # Several proxies have a row each for the same architecture.
        column = "arch_index" if rule == "score" else "run"
        table = pyarrow.parquet.read_table(results / made.format(**wildcards), columns=[column])
    except (OSError, ValueError):
        return 0
    return len(set(table[column].to_pylist()))


def _nested(settings: Iterable[str]) -> dict[str, Any]:
    """{"scoring": {"shard_size": 100}} of "scoring.shard_size=100"; values are YAML."""
    found: dict[str, Any] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise NaswotError(f"--set {text} has no key or no value. Write it as KEY=VALUE, such as scale=small.")
        section: Any = yaml.safe_load(value)
        for name in reversed(key.split(".")):
            section = {name: section}
        _merge(found, section)
    return found


def _read(configs: Sequence[str | os.PathLike[str]], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The config files merged as Snakemake merges them, sections by key, and then what the command line says."""
    merged: dict[str, Any] = {}
    for path in configs:
        try:
            read = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeError, yaml.YAMLError) as error:
            raise NaswotError(f"Cannot read the config {path}: {' '.join(str(error).split())}") from error
        if not isinstance(read, dict):
            raise NaswotError(f"The config {path} is not a list of keys and values. See config/config.yaml for one.")
        _merge(merged, read)
    _merge(merged, overrides)
    return merged


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def _dry_run(
    snakefile: Path,
    configs: Sequence[str | os.PathLike[str]],
    overrides: Mapping[str, Any],
    cores: int | None,
    targets: Sequence[str],
) -> list[dict[str, Any]]:
    """The jobs that Snakemake plans: rule, wildcards, benchmark (None where the rule has none), threads, checkpoint."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", *targets, "--snakefile", str(snakefile)]
    command += ["--cores", str(cores or "all"), "--logger", "plan", "--quiet", "host", "progress", "rules", "reason"]
    plugins = str(snakefile.parent / "workflow" / "plugins")
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "jobs")
        # As a file of its own, since Snakemake reads the numbers within a section of `--config` as text.
        last = Path(folder, "settings.yaml")
        last.write_text(yaml.safe_dump(dict(overrides)))
        command += ["--configfile", *map(str, configs), *([str(last)] if overrides else [])]
        path = os.pathsep.join(filter(None, (plugins, os.environ.get("PYTHONPATH"))))
        settings = {"PYTHONPATH": path, "NASWOT_PLAN": str(written)}
        ended = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
        if ended.returncode:
            said = "\n".join((ended.stdout + ended.stderr).strip().splitlines()[-20:])
            raise NaswotError(f"Snakemake could not plan. What it said:\n{said}")
        return [json.loads(line) for line in written.read_text().splitlines()] if written.exists() else []


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.2f}" if hours >= 0.01 or not seconds else "< 0.01"
