"""What Snakemake would run for a config, and about how long: `naswot plan`.

The jobs are those of a dry run, whose log records a small logger plugin (workflow/plugins) writes down one by one, so
that no text is taken apart. Their lengths come from the `benchmark:` files of earlier runs. Where seconds go by how
much work a job is (`naswot_ext.plan_work`), those of the nearest earlier jobs are scaled to it: along a straight line
where they were of several sizes, else in proportion, the job's start included. Of all other rules, the median is taken.
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
from naswot_ext.plan_work import MEASURES, Done, Images, Planned, architectures, traits, units

_CHECKOUT = Path(__file__).resolve().parent.parent
_PATTERN = re.compile(r"^(?:rule|checkpoint) (\w+):\n(?:^(?:[ \t].*)?\n)*?^ {4}benchmark:\n +\"<results>/(.+)\"", re.M)

# Of a rule whose jobs are not measured: the job's own earlier timing, or else those of the rule.
_ITSELF = ("file",)
_GATHER = "gather_scores"
# Rules that do the same work, in one job or in many.
_SAME_WORK = {"search_runs": "search"}


@dataclass(frozen=True)
class Job:
    """A job, planned or done.

    `units` is how much work it is (`plan_work.units`), None where nobody knows, 1 where its rule is not measured;
    `traits` what it is told from others by besides its wildcards; `file` its benchmark file within the results folder.
    """

    rule: str
    wildcards: Mapping[str, str]
    units: float | None = 1
    threads: int = 1
    seconds: float | None = None
    file: str | None = None
    traits: Mapping[str, str] = field(default_factory=dict)

    @property
    def work(self) -> str:
        """The rule that the job is compared as."""
        return _SAME_WORK.get(self.rule, self.rule)

    def key(self, names: Sequence[str]) -> tuple[str | None, ...]:
        """What must be the same in another job, by the names of wildcards and traits, and `method` (`Measure`)."""
        method = re.split(r"[-@]", self.wildcards.get("algorithm", ""))[0]
        known = {**self.wildcards, **self.traits, "file": self.file, "method": method}
        return tuple(known.get(name) for name in names)


@dataclass
class Line:
    """The jobs of one rule that are planned, together."""

    jobs: int = 0
    unknown: int = 0
    longer: int = 0  # jobs that may take longer than is counted: heavier networks, or nobody knows how many
    seconds: float = 0.0
    longest: float = 0.0
    timings: int = 0
    scaled: int = 0  # timings of another size than some job that they stand for
    units: str = ""
    based_on: set[tuple[str, ...]] = field(default_factory=set)

    def basis(self) -> str:
        """What the estimate is based on, and how many jobs have none."""
        if not self.timings:
            return "no earlier timing" if self.unknown else ""
        basis = f"{self.timings:,} timing{'s' * (self.timings > 1)}"
        if self.scaled:
            some = "" if self.scaled == self.timings else f", {self.scaled:,}"
            basis += f"{some} of {'another size' if self.timings == 1 else 'other sizes'} ({self.units})"
        # The jobs of a rule may be estimated from earlier jobs that are differently near.
        near = sorted(self.based_on, key=lambda names: (-len(names), names))
        basis += f", {' or '.join(_in_words(names, bool(self.units)) for names in near)}"
        if self.longer:
            basis += f"; {self.longer:,} may take longer"
        return basis + (f"; {self.unknown:,} of {self.jobs:,} without an earlier timing" if self.unknown else "")

    def hours(self) -> str:
        """The core hours, in words."""
        return _at_least(self.longer, _hours(self.seconds)) if self.unknown < self.jobs else "unknown"


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
            rows.append((rule, f"{line.jobs:,}", line.hours(), line.basis()))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for row in rows:
            yield f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}".rstrip()
        jobs, unknown, longer = (
            sum(getattr(line, name) for line in self.lines.values()) for name in ("jobs", "unknown", "longer")
        )
        seconds = sum(line.seconds for line in self.lines.values())
        besides = f" without {unknown:,} of which nothing is known" if unknown else ""
        yield ""
        hours = _at_least(longer, _hours(seconds)) if unknown < jobs else "unknown"
        yield f"{jobs:,} job(s), {hours} core hours{besides}"
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
    config = configuration.resolve(_read(configs, overrides), workflow / "schemas" / "config.schema.yaml", overrides)
    planned = _dry_run(snakefile, configs, overrides, cores, targets)
    patterns = benchmark_patterns(workflow / "rules")
    folders = dict.fromkeys(Path(folder).resolve() for folder in [config["results"], *timings])
    done = [job for folder in folders for job in read_timings(folder, patterns)]
    told = Planned(config)
    jobs = [
        _job(
            job["rule"],
            job["wildcards"],
            told.params(job["rule"], job["wildcards"]),
            told.images(job["input"]),
            threads=job["threads"],
            file=os.path.relpath(job["benchmark"], config["results"]),
        )
        for job in planned
        if job["benchmark"]  # the others are names of targets
    ]
    listed = {job["wildcards"]["space"] for job in planned if job["checkpoint"] and "space" in job["wildcards"]}
    later = {space for space in listed if any(job.rule == _GATHER and job.wildcards["space"] == space for job in jobs)}
    scored = {job.wildcards["space"] for job in jobs if job.rule == "score"}
    foreseen = list(_foreseen(later - scored, jobs, told, config["scoring"]["shard_size"]))
    unforeseen = later - scored - {job.wildcards["space"] for job in foreseen}
    return Plan(estimate([*jobs, *foreseen], done), sorted(unforeseen))


def _job(
    rule: str, wildcards: Mapping[str, str], params: Mapping[str, Any], images: Images | None, **facts: Any
) -> Job:
    """A job of which is known what its rule is measured by."""
    if rule not in MEASURES:
        return Job(rule, wildcards, **facts)
    return Job(rule, wildcards, units(rule, wildcards, params, images), traits=traits(rule, wildcards, params), **facts)


def _foreseen(spaces: set[str], planned: Sequence[Job], told: Planned, size: int) -> Iterator[Job]:
    """The scoring jobs that Snakemake plans only when it has listed the architectures of a space, at most so many.

    None for a space that does not know its own number of architectures. `size` is that of a shard.
    """
    gathered = [job for job in planned if job.rule == _GATHER]
    proxies = [job.wildcards["proxy"] for job in gathered]
    counts = {space: count for space in spaces if (count := architectures(space))}
    groups = {
        (job.wildcards["space"], job.wildcards["dataset"], proxy_names.group(job.wildcards["proxy"], proxies)[0], seed)
        for job in gathered
        for seed in [job.wildcards["seed"]]
        if job.wildcards["space"] in counts
    }
    for space, dataset, group, seed in sorted(groups):
        wildcards = {"space": space, "dataset": dataset, "group": group, "seed": seed}
        for start in range(0, counts[space], size):
            params = told.params("score", {**wildcards, "shard": str(start // size)})
            params["shard"]["stop"] = min(start + size, counts[space])
            yield _job("score", wildcards, params, told.images_of(dataset, group))


def estimate(planned: Iterable[Job], done: Iterable[Job]) -> dict[str, Line]:
    """The lines of a plan: each planned job's seconds from the nearest of those that are done."""
    finished: dict[tuple[str, tuple[str, ...]], dict[tuple[str | None, ...], list[Job]]] = {}
    for job in done:
        for names in _nearest(job.work):
            finished.setdefault((_owner(job, names), names), defaultdict(list))[job.key(names)].append(job)
    lines: dict[str, Line] = defaultdict(Line)
    used: dict[str, dict[int, Job]] = defaultdict(dict)
    scaled: dict[str, set[int]] = defaultdict(set)
    for job in planned:
        line, measure = lines[job.rule], MEASURES.get(job.work)
        line.jobs += 1
        line.units = measure.units if measure else ""
        for names in _nearest(job.work):
            if alike := finished.get((_owner(job, names), names), {}).get(job.key(names)):
                # Those of its own size are the nearest.
                alike = [other for other in alike if other.units == job.units] or alike
                seconds = _seconds(alike, job.units) * job.threads
                line.seconds += seconds
                line.longest = max(line.longest, seconds / job.threads)
                line.longer += job.units is None or (measure is not None and measure.may_be_heavier(names))
                line.based_on.add(names)
                used[job.rule] |= {id(other): other for other in alike}
                scaled[job.rule] |= {id(other) for other in alike if other.units != job.units}
                break
        else:
            line.unknown += 1
    for rule, others in used.items():
        lines[rule].timings, lines[rule].scaled = len(others), len(scaled[rule])
    return dict(lines)


def _in_words(names: tuple[str, ...], measured: bool) -> str:
    """How near the jobs are that have these in common."""
    if names == _ITSELF:
        return "the same job"
    return f"same {', '.join(names)}" if names else "any of the rule" if measured else "median of the rule"


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

    One whose size cannot be told, because its record is gone, is left out.
    """
    folder = Path(folder)
    records = Done(folder)
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
            record = records.record(rule, name, match.groupdict()) if rule in MEASURES else None
            # Searches that build networks have files of the same names as those that look up.
            if record and record.get("rule") != rule:
                continue
            params, images = (records.params(record), records.images(record)) if record else ({}, None)
            job = _job(rule, match.groupdict(), params, images, seconds=seconds, file=name)
            if job.units is not None:
                yield job
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


def _nearest(work: str) -> Sequence[tuple[str, ...]]:
    return MEASURES[work].nearest if work in MEASURES else [_ITSELF, ()]


def _seconds(alike: Sequence[Job], size: float | None) -> float:
    """The seconds of a job of a size, by others: a start and so much a unit where they have several sizes.

    Their median for a job whose size nobody knows.
    """
    sizes = [job.units or 1 for job in alike]
    seconds = [job.seconds or 0.0 for job in alike]
    if size is None:
        return statistics.median(seconds)
    if max(sizes) >= 2 * min(sizes):
        slope, start = statistics.linear_regression(sizes, seconds)
        if slope > 0 and start >= 0:
            return start + slope * size
    return size * statistics.median(s / each for s, each in zip(seconds, sizes, strict=True))


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
    """The jobs that Snakemake plans, as the logger plugin writes them; benchmark is None where the rule has none."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", *targets, "--snakefile", str(snakefile)]
    command += ["--cores", str(cores or "all"), "--logger", "plan", "--quiet", "host", "progress", "rules", "reason"]
    plugins = str(snakefile.parent / "workflow" / "plugins")
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "jobs")
        given = [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
        command += ["--configfile", *map(str, configs), *(["--config", *given] if given else [])]
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


def _at_least(longer: int, hours: str) -> str:
    return f"at least {hours}" if longer else hours
