"""Writes the archive of a finished run: what was found, what it was made from, and with which code and software."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from naswot_ext.archive import environment, jobs, picture, source
from naswot_ext.archive.container import compress, files_in, sha256, write_manifest
from naswot_ext.archive.crate import write_crate
from naswot_ext.archive.private import Private, private
from naswot_ext.errors import NaswotError, one_line
from naswot_ext.user_proxies import is_user_proxy

_README = """# Results of naswot

Everything that the workflow made, and all that it was made from.

| where | what |
|---|---|
| `results/` | tables, figures, the report (`report.html`), scores, searches, ground truth, images that were scored |
| `results/jobs/` | for each result: script, inputs, params, threads, and the machine that it was made on |
| `config/` | the configs as they were given, and `resolved.yaml`, all defaults filled in |
| `code/` | `source/`: every file of the code; `commit.json`: its commit; `changes.diff`: what differs from it |
| `code/proxies/` | files of the user's own, outside of the code, whose functions are proxies |
| `environment/` | versions, `requirements.lock` with the hashes of wheels, `machines.json` |
| `sources.json` | the files that were read and are none of the code or results, with size and SHA-256 |
| `workflow/` | the graph of the rules, as a picture and as text |
| `ro-crate-metadata.json` | all of this for machines (RO-Crate 1.1) |
| `MANIFEST.sha256` | digests of all files: `sha256sum -c MANIFEST.sha256` |

Check it with the same version of the code: `naswot verify naswot.tar.zst`.

Paths of the machine that made this stand as `elsewhere/`, `home/`, `workdir/` and the like; `rewritten.json` names the
files of which that makes others. Code that is as in its commit is none of them: it stands byte for byte.
"""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        results: its results folder.
        code: the repository.
        config: the resolved config.
        configfiles: the configs as they were given.
        outputs: what `snakemake --summary` prints: every output, its rule and log.
        rulegraph: what `snakemake --rulegraph dot` prints.
    """

    results: Path
    code: Path
    config: Mapping[str, Any]
    configfiles: Sequence[str]
    outputs: str
    rulegraph: str


def pack(run: Run, archive: str | os.PathLike[str]) -> None:
    """Write the archive of a finished run; its layout stands in `README.md` in it.

    The same content gives the same bytes. No absolute path, user or host name of this machine is written.
    Raises NaswotError where a result is missing, or where no record says how it was made.
    """
    with tempfile.TemporaryDirectory(prefix="naswot-archive-") as temporary:
        folder = Path(temporary)
        rows = _rows(run)
        records = _records(run, rows)
        code = _code(run)
        hidden = private(run.code, run.results, _elsewhere(run, records.values()), _words(run.code, code))
        clean = {hidden.without(name): json.loads(hidden.without(json.dumps(records[name]))) for name in records}
        (folder / "README.md").write_text(_README)
        rewritten = _copy_results(run, rows, clean, hidden, folder)
        _copy_configs(run, hidden, folder)
        rewritten += _copy_code(run, code, hidden, folder)
        sources = _sources(run, records.values()) + _copy_proxies(run, code, records.values(), hidden, folder)
        (folder / "sources.json").write_text(hidden.without(_json(sources)))
        rewritten += [each["archived_as"] for each in sources if each.get("rewritten")]
        _write_environment(run, records.values(), folder)
        (folder / "workflow").mkdir()
        (folder / "workflow/rulegraph.dot").write_text(picture.write_dot(run.rulegraph))
        picture.draw(run.rulegraph, folder / "workflow/rulegraph.png", folder / "workflow/rulegraph.pdf")
        _write_json(folder / "rewritten.json", sorted(rewritten))
        facts = {key: code.facts[key] for key in ("version", "commit")}
        facts["date"] = code.facts["committed"] or _newest(run.results / row.path for row in rows)
        write_crate(folder, facts, clean.values())
        write_manifest(folder)
        compress(folder, archive)


def read_records(results: Path) -> dict[str, dict[str, Any]]:
    """The job records of a results folder, by their paths in it. Raises NaswotError for one that cannot be read."""
    found = {}
    for name in files_in(results / jobs.FOLDER) if (results / jobs.FOLDER).is_dir() else []:
        try:
            record = json.loads((results / jobs.FOLDER / name).read_text())
            jobs.check_record(record)
            found[f"{jobs.FOLDER}/{name}"] = record
        except (NaswotError, ValueError, RecursionError) as error:
            raise NaswotError(f"The job record {jobs.FOLDER}/{name} cannot be read: {one_line(error)}") from error
    return found


@dataclass(frozen=True)
class _Row:
    """An output of the run."""

    path: str  # in the results
    rule: str
    logs: tuple[str, ...]  # in the results


def _rows(run: Run) -> list[_Row]:
    places = jobs.Places(str(run.results), str(run.code), run.config.get("downloads"))

    def inside(path: str) -> str | None:
        short = places.shorten(path)
        return short.removeprefix("<results>/") if short.startswith("<results>/") else None

    found = []
    for row in csv.DictReader(io.StringIO(run.outputs), delimiter="\t"):
        path = inside(row["output_file"])
        if path is not None and row["rule"] not in jobs.REPORTS - {"report"}:
            logs = [inside(log) for log in (row["log-file(s)"] or "").split(",") if log and log != "-"]
            found.append(_Row(path, row["rule"], tuple(log for log in logs if log)))
    missing = [row.path for row in found if not (run.results / row.path).exists()]
    if missing:
        raise NaswotError(f"{run.results / missing[0]} has not been made, and {len(missing) - 1} more. Run Snakemake.")
    return found


def _records(run: Run, rows: Iterable[_Row]) -> dict[str, dict[str, Any]]:
    """The records of these outputs' jobs, by their paths in the results."""
    found, claimed = {}, set()
    for row in rows:
        path = jobs.path_of_record(row.path)
        if (run.results / path).is_file():
            found[path] = json.loads((run.results / path).read_text())
            claimed.update(found[path]["output"]["values"])
    without = [row for row in rows if f"<results>/{row.path}" not in claimed]
    # What was measured before jobs were recorded needs not be measured again: its tables say how it was made.
    measured = [row for row in without if row.rule in jobs.MEASUREMENTS]
    for row in measured:
        nothing: dict[str, Any] = {"values": [], "names": {}}
        made = {"values": [f"<results>/{row.path}"], "names": {}}
        found[jobs.path_of_record(row.path)] = {"script": row.rule, "rule": row.rule, "input": nothing, "output": made}
    unknown = sorted({row.rule for row in without} - {row.rule for row in measured})
    if unknown:
        raise NaswotError(
            f"No record says how {len(without) - len(measured)} results were made: they are older than this version. "
            f"Make them again: snakemake archive --forcerun {' '.join(unknown)}"
        )
    return found


@dataclass(frozen=True)
class _Code:
    """The code of the run.

    Attributes:
        files: relative to the repository.
        committed: which of them are as in the commit; none where there is none.
        facts: what `source.commit_facts` tells.
        patch: what differs from the commit, where there is one.
    """

    files: Sequence[str]
    committed: AbstractSet[str]
    facts: Mapping[str, Any]
    patch: bytes | None


def _code(run: Run) -> _Code:
    folders = (os.path.relpath(Path(folder).resolve(), run.code.resolve()) for folder in _folders(run))
    # Inside of the code, and not the code itself, where someone wants the results just there.
    besides = [Path(folder).as_posix() for folder in folders if folder.split(os.sep)[0] not in (".", "..")]
    files, facts = source.code_files(run.code, besides), source.commit_facts(run.code, besides)
    return _Code(files, source.unchanged(files, facts), facts, source.changes(run.code))


def _folders(run: Run) -> list[str]:
    return [str(folder) for folder in (run.results, run.config.get("downloads")) if folder]


def _elsewhere(run: Run, records: Iterable[Mapping[str, Any]]) -> set[str]:
    """Absolute paths of files that are in no place of the run: the user's own."""
    found = {path for record in records for path in record["input"]["values"]}
    # A proxy of the user's own is named FILE:FUNCTION.
    found |= {text.partition(":")[0] for text in _texts(dict(run.config))}
    return {path for path in found if path.startswith("/") and path.strip("/")}


def _texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value, keys of objects among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _texts(list(pair))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _words(root: Path, code: _Code) -> str:
    """What the code that is nobody's own consists of; without a commit, all but the configs is.

    Nor do tests count: people and machines have names in them, and results hold none of their words.
    """
    endings = (".py", ".smk", ".yaml", ".md", ".cpp", ".h", ".cu", ".toml", ".csv", "Snakefile")
    names = sorted(code.committed) or [name for name in code.files if not name.startswith("config/")]
    kept = [name for name in names if name.endswith(endings) and not name.startswith("tests/")]
    return "\n".join((root / name).read_text(errors="replace") for name in kept)


def _copy_results(
    run: Run, rows: Sequence[_Row], records: Mapping[str, Mapping[str, Any]], hidden: Private, folder: Path
) -> list[str]:
    changed = []
    names = set()
    for row in rows:
        path = run.results / row.path
        names |= {f"{row.path}/{name}" for name in files_in(path)} if path.is_dir() else {row.path}
    for log in {log for row in rows for log in row.logs}:
        # Beside each log stands what Snakemake measured of the job.
        timing = log.replace("logs/", "timings/", 1).removesuffix(".log") + ".tsv"
        names |= {name for name in (log, timing) if (run.results / name).is_file()}
    for name in sorted(names):
        path = run.results / name
        if name.startswith("logs/") and hidden.is_in(path.read_text(errors="replace")):
            continue  # a log tells what happened on a machine; without its paths it tells nothing
        target = hidden.without(f"results/{name}")  # as records name it
        if hidden.copy(path, folder / target):
            changed.append(target)
    for name, record in records.items():
        path = folder / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")
    return changed


def _copy_configs(run: Run, hidden: Private, folder: Path) -> None:
    (folder / "config").mkdir()
    # Paths as they are, not escaped or in two lines.
    resolved = yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True, width=sys.maxsize)
    (folder / "config/resolved.yaml").write_text(hidden.without(resolved))
    for number, given in enumerate(run.configfiles, 1):
        # Two may have the same name, in two folders.
        name = f"given-{number}-{hidden.without(Path(given).name)}"
        if Path(given).is_file():
            hidden.copy(Path(given), folder / "config" / name)


def _copy_code(run: Run, code: _Code, hidden: Private, folder: Path) -> list[str]:
    """Write the folder `code`; the files of it that hold other words in the place of private ones."""
    hidden = hidden.of_code()
    rewritten = []
    for name in code.files:
        # Anyone has what is committed: nothing of it is private, and it is kept byte for byte.
        if name in code.committed:
            target = folder / "code/source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(run.code / name, target)
        else:
            clean = name if name in (code.facts["changed"] or ()) else hidden.without(name)
            if hidden.copy(run.code / name, folder / "code/source" / clean):
                rewritten.append(clean)
    facts = dict(code.facts)
    facts["untracked"] = facts["untracked"] and [hidden.without(name) for name in facts["untracked"]]
    _write_json(folder / "code/commit.json", facts | ({"rewritten": rewritten} if rewritten else {}))
    if code.patch is not None:
        lines = code.patch.split(b"\n")
        # Only what the patch adds is not in the commit; its other lines are what it is applied to.
        added = (line.startswith(b"+") and not line.startswith((b"+++ b/", b'+++ "b/')) for line in lines)
        lines = [hidden.without_bytes(line) if own else line for own, line in zip(added, lines, strict=True)]
        (folder / "code/changes.diff").write_bytes(b"\n".join(lines))
    return [f"code/source/{name}" for name in rewritten]


def _copy_proxies(
    run: Run, code: _Code, records: Iterable[Mapping[str, Any]], hidden: Private, folder: Path
) -> list[dict[str, Any]]:
    """Copy the files of the user's own proxies that are not among the code; their entries of `sources.json`."""
    places = jobs.Places(str(run.results), str(run.code), run.config.get("downloads"))
    archived = {(run.code / name).resolve() for name in code.files}
    named: dict[Path, set[str]] = {}  # as params of records name the functions in it
    for text in filter(is_user_proxy, _texts(dict(run.config))):
        file = Path(text.rpartition(":")[0]).resolve()
        if file not in archived:
            named.setdefault(file, set()).add(jobs.encoded(text, places))
    measured = [record for record in records if record["script"] in jobs.MEASUREMENTS]  # others have only their scores
    used = [(set(_texts(record.get("params", {}))), record["output"]["values"]) for record in measured]
    found = []
    for number, file in enumerate(sorted(named), 1):
        facts = _facts_of(file)
        if facts["sha256"]:
            facts["archived_as"] = f"code/proxies/{number}-{hidden.without(file.name)}"
            if hidden.of_code().copy(file, folder / facts["archived_as"]):
                facts["rewritten"] = True
        made = sorted({path for texts, paths in used if texts & named[file] for path in paths})
        found.append({**facts, "read_for": made})
    return found


def _write_environment(run: Run, records: Iterable[Mapping[str, Any]], folder: Path) -> None:
    found = environment.packages(run.code / "requirements.lock")
    (folder / "environment").mkdir()
    (folder / "environment/requirements.txt").write_text(environment.freeze(found))
    (folder / "environment/requirements.lock").write_text(environment.lock_text(found))
    _write_json(folder / "environment/packages.json", found)
    counts: dict[str, int] = {}
    for record in records:
        if "machine" in record:
            machine = json.dumps(record["machine"], sort_keys=True)
            counts[machine] = counts.get(machine, 0) + 1
    machines = [{**json.loads(machine), "jobs": counts[machine]} for machine in sorted(counts)]
    _write_json(folder / "environment/machines.json", {"archived_on": jobs.machine(), "made_on": machines})


def _sources(run: Run, records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The files that jobs read and that are neither results nor code."""
    used: dict[str, set[str]] = {}
    for record in records:
        for path in record["input"]["values"]:
            if not path.startswith(("<results>/", "<code>/")):
                used.setdefault(path, set()).update(record["output"]["values"])
    found = []
    for path in sorted(used):
        file = Path(path.replace("<downloads>", str(run.config.get("downloads")), 1))
        facts = _facts_of(file)
        if path.startswith("<downloads>/"):
            facts["download"] = path.split("/")[1]  # an entry of workflow/resources/sources.yaml
        found.append({**facts, "read_for": sorted(used[path])})
    return found


def _facts_of(file: Path) -> dict[str, Any]:
    if file.is_file():
        return {"file": file.name, "sha256": sha256(file), "bytes": file.stat().st_size}
    return {"file": file.name, "sha256": None, "bytes": None, "note": "no longer there when the archive was made"}


def _newest(paths: Iterable[Path]) -> str:
    """The day that the last of these was made on."""
    newest = max(path.stat().st_mtime for path in paths)
    return datetime.fromtimestamp(newest, UTC).date().isoformat()


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_json(value))


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
