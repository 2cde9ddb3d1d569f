"""Job records: how each result was made, so that it can be made again from an archive.

A script that has succeeded leaves `<results>/jobs/<first output>.json`: script, inputs, outputs, wildcards, params and
threads. Paths stand in places (`<results>/...`, `<downloads>/...`, `<code>/...`) and hold nothing of the machine.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from naswot_ext.config import NETWORK_SEARCHES
from naswot_ext.errors import NaswotError, shown
from naswot_ext.files import atomic_path, write_errors

FOLDER = "jobs"

# Which scripts compute their outputs from other files of the results alone: these are made again and compared.
DERIVED = frozenset(
    {
        "aggregate_scores",
        "correlation",
        "correlation_table",
        "gather_runs",
        "gather_scores",
        "paper_ablation",
        "paper_bars",
        "paper_claim",
        "paper_histograms",
        "paper_kernels",
        "paper_library",
        "paper_scatter",
        "paper_searches",
        "paper_summary",
        "paper_tau_cells",
        "paper_time",
        "paper_training",
        "proxy_bars",
        "proxy_matrix",
        "proxy_tests",
        "score_figure",
        "search",
        "search_figure",
        "search_ranks",
        "search_table",
        "search_tests",
        "search_wins",
        "space_sheet",
        "test_table",
    }
)
# Which measure, train, or read what the archive does not hold, with the files of the results that each writes: the
# others start from these. No other file counts as measured, because it would then not be made again.
_MEASURED = {
    "ablation": ("ablations/*/*/*/*.parquet",),
    "architectures": ("architectures/*.parquet",),
    "batch": ("batches/*/size-*/seed-*.npz",),
    "claimed_score": ("claims/*/*/*/seed-*.parquet",),
    "fetch": (),
    "ground_truth": ("benchmarks/*.parquet",),
    "jacobian_correlations": ("jacobian_correlations/*/*.parquet",),
    "kernels": ("kernels/*/*.parquet",),
    "library": ("library/*/*.parquet",),
    "network_search": tuple(f"searches/*/*/{name}*/runs-*.parquet" for name in NETWORK_SEARCHES),
    "score": ("scores/*/*/shards/*/seed-*/shard-*.parquet",),
    "training": ("trainings/*/*/network-*.parquet",),
}
MEASUREMENTS = frozenset(_MEASURED)
# Which write what the archive is read by. Nothing depends on their outputs.
_REPORTED = {"archive": ("archive/naswot.tar.zst",), "report": ("report.html", "resolved_config.yaml")}
REPORTS = frozenset(_REPORTED)
# By which libraries choose their kernels, and so the order in which sums are rounded. Virtual machines' CPUs have
# others under the same name.
_INSTRUCTIONS = ("amx_bf16", "amx_tile", "avx", "avx2", "avx512_bf16", "avx512_vnni", "avx512f", "avx_vnni", "fma")
_PLACES = ("<results>", "<code>", "<downloads>")


def kind_of(script: str) -> str:
    """Return "derived", "measurement" or "report"; raises NaswotError for a script that is in none of the lists."""
    for kind, scripts in (("derived", DERIVED), ("measurement", MEASUREMENTS), ("report", REPORTS)):
        if script in scripts:
            return kind
    raise NaswotError(f"No list of {__name__} names the script {script}. Add it to the one that it belongs to.")


def may_write(script: str, name: str) -> bool:
    """Whether a script that is not made again writes the file `name` of the results."""
    parts = name.split("/")
    return any(
        len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
        for wanted in (pattern.split("/") for pattern in (_MEASURED | _REPORTED)[script])
    )


class Files(list[Any]):
    """Values in order, some under names, as Snakemake gives inputs, outputs and params to a script.

    A name stands for one value or, as with `scores=[...]`, for several.
    """

    def __init__(self, values: Iterable[Any], names: Mapping[str, tuple[int, int | None]] | None = None) -> None:
        super().__init__(values)
        self._names = dict(names or {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(name)
        first, end = self._names[name]
        return self[first] if end is None else Files(self[first:end])

    def __getitem__(self, key: Any) -> Any:
        return getattr(self, key) if isinstance(key, str) else super().__getitem__(key)

    def get(self, name: str, default: Any = None) -> Any:
        """What stands under a name, or `default`."""
        return getattr(self, name, default)

    def keys(self) -> list[str]:
        """The names, in order."""
        return list(self._names)

    def items(self) -> list[tuple[str, Any]]:
        """The names with what stands under them."""
        return [(name, getattr(self, name)) for name in self._names]


@dataclass(frozen=True)
class Places:
    """The folders that paths in records are relative to, as the job sees them."""

    results: str
    code: str
    downloads: str | None = None

    def shorten(self, path: str) -> str:
        """The path with its place in front; one in none of the places stays as it is."""
        for name, folder in self._folders():
            inside = _inside(path, folder)
            if inside is not None:
                return f"<{name}>/{inside}"
        return path

    def _folders(self) -> list[tuple[str, str]]:
        # Downloads may lie inside the results, and the results inside the code.
        folders = [("downloads", self.downloads), ("results", self.results), ("code", self.code)]
        return [(name, folder) for name, folder in folders if folder]


def _inside(path: str, folder: str) -> str | None:
    relative = os.path.relpath(os.path.abspath(path), os.path.abspath(folder))
    return None if relative == "." or relative.split(os.sep)[0] == ".." else Path(relative).as_posix()


def _places(job: Any) -> Places:
    code = Path(job.scriptdir).resolve().parents[1]
    return Places(str(job.config["results"]), str(code), job.config.get("downloads"))


def record(job: Any) -> dict[str, Any]:
    """What `job`, Snakemake's object of a script, was given and made, as JSON values."""
    places = _places(job)
    return {
        "rule": job.rule,
        "input": _named(job.input, places.shorten),
        "output": _named(job.output, places.shorten),
        "wildcards": dict(job.wildcards.items()),
        "params": _named(job.params, lambda value: encoded(value, places)),
        "threads": int(job.threads),
        "machine": machine(),
    }


def write_record(job: Any, script: str) -> None:
    """Write the record of a job whose `script` (without ".py") has succeeded into the results' folder `jobs`."""
    facts = {"script": script, **record(job)}
    if path := _place_of_record(job):
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(facts, indent=1) + "\n")


def remove_record(job: Any) -> None:
    """Remove what an earlier job of the same output has recorded, which is not true of what `job` will make."""
    if path := _place_of_record(job):
        with write_errors(path):
            path.unlink(missing_ok=True)


def _place_of_record(job: Any) -> Path | None:
    """Only what a job makes in the results has one: a download outlives them."""
    first = _places(job).shorten(str(job.output[0]))
    if not first.startswith("<results>/"):
        return None
    return Path(job.config["results"], path_of_record(first.removeprefix("<results>/")))


def path_of_record(output: str) -> str:
    """Where in the results the record of the job is whose first output is `output`, a path in the results."""
    return f"{FOLDER}/{output}.json"


def check_record(facts: Any) -> None:
    """Raise NaswotError for what is no record of a job: of another shape, or with a path that leaves its place."""
    kinds: dict[str, type] = {"script": str, "rule": str, "input": dict, "output": dict}
    if not isinstance(facts, dict):
        raise NaswotError(f"it is {shown(facts)}")
    # What was measured before jobs were recorded says no more.
    if facts.get("script") in list(DERIVED):
        kinds |= {"wildcards": dict, "params": dict, "threads": int}
    for key, kind in kinds.items():
        if not isinstance(facts.get(key), kind):
            raise NaswotError(f"its {key} is {shown(facts.get(key))}")
    for key in {"input", "output", "params"} & kinds.keys():
        values, names = facts[key].get("values"), facts[key].get("names")
        if not isinstance(values, list) or not isinstance(names, dict) or not all(map(_is_position, names.values())):
            raise NaswotError(f"its {key} is {shown(facts[key])}")
    for path in facts["input"]["values"] + facts["output"]["values"]:
        if not isinstance(path, str):
            raise NaswotError(f"it names the file {shown(path)}")
        split_place(path)
    for path in facts["output"]["values"] or ["no file"]:
        if not path.startswith("<results>/"):
            raise NaswotError(f"it made {shown(path)}, which is not in the results")


def _is_position(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and type(value[0]) is int and type(value[1]) in (int, type(None))


def split_place(path: str) -> tuple[str, str] | None:
    """The place of a record's path, and the path in it; None for a file of the user's own, which is in none.

    Raises NaswotError where the path leads out of its place.
    """
    place, _, inside = path.partition("/")
    if place not in _PLACES:
        return None
    # As `Places.shorten` writes it, so that no file has two names.
    if "\0" in inside or {"", ".", ".."} & set(inside.split("/")):
        raise NaswotError(f"A job record names {shown(path)}, which is in no folder of the archive. Do not trust it.")
    return place, inside


def _named(values: Any, change: Any) -> dict[str, Any]:
    names = {name: list(position) for name, position in getattr(values, "_names", {}).items()}
    return {"values": [change(value) for value in values], "names": names}


def named(written: Mapping[str, Any], change: Any) -> Files:
    """The values of a record, each changed by a function, under their names."""
    names = {name: (first, end) for name, (first, end) in written["names"].items()}
    return Files([change(value) for value in written["values"]], names)


def encoded(value: Any, places: Places) -> Any:
    """A param as JSON; what JSON does not know is an object with one key that begins with `$`.

    Raises TypeError for a value of a kind that a script cannot be given again.
    """
    import numpy as np

    if value is None or (isinstance(value, bool | int | float) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, str):
        return places.shorten(str(value)) if os.path.isabs(value) else str(value)
    if isinstance(value, np.generic):
        return {"$numpy": [value.dtype.name, encoded(value.item(), places)]}
    if isinstance(value, np.ndarray):
        return {"$array": [value.dtype.name, encoded(value.tolist(), places)]}
    if isinstance(value, os.PathLike):
        return {"$path": places.shorten(os.fspath(value))}
    if isinstance(value, range):
        return {"$range": [value.start, value.stop, value.step]}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: encoded(item, places) for key, item in value.items()}
        return {"$pairs": [[encoded(key, places), encoded(item, places)] for key, item in value.items()]}
    if getattr(value, "_names", None):
        return {"$named": _named(value, lambda item: encoded(item, places))}
    if isinstance(value, list):
        return [encoded(item, places) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [encoded(item, places) for item in value]}
    if isinstance(value, set | frozenset):
        return {"$set": [encoded(item, places) for item in sorted(value)]}
    raise TypeError(f"A param of the type {type(value).__name__} cannot be recorded.")


def decoded(value: Any, locate: Any) -> Any:
    """The param that `encoded` wrote; `locate` gives the path of a text that begins with a place."""
    import numpy as np

    if isinstance(value, str):
        return locate(value)
    if isinstance(value, list):
        return [decoded(item, locate) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or not next(iter(value)).startswith("$"):
        return {key: decoded(item, locate) for key, item in value.items()}
    ((kind, given),) = value.items()
    if kind == "$named":
        return named(given, lambda item: decoded(item, locate))
    given = decoded(given, locate)
    if kind in ("$numpy", "$array"):
        array = np.asarray(given[1], given[0])
        return array[()] if kind == "$numpy" else array
    made: dict[str, Callable[[Any], Any]] = {
        "$path": Path,
        "$range": lambda bounds: range(*bounds),
        "$pairs": dict,
        "$tuple": tuple,
        "$set": set,
    }
    if kind not in made:
        raise NaswotError(f"A job record holds a value of the unknown kind {kind}. It is of a newer version.")
    return made[kind](given)


@functools.cache
def machine() -> dict[str, Any]:
    """What this machine computes with: CPU, cores, memory in GiB, and the GPU that this process has used.

    No names of hosts or users.
    """
    facts: dict[str, Any] = {"cpu": _cpu(), "instructions": _instructions()}
    facts |= {"cores": os.cpu_count(), "memory_gib": _memory_gib()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _cpu() -> str:
    return _cpuinfo("model name") or platform.machine()


def _instructions() -> list[str]:
    return sorted(set(_INSTRUCTIONS) & set(_cpuinfo("flags").split()))


def _cpuinfo(key: str) -> str:
    """What Linux says of the first core; empty where nobody says anything."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _memory_gib() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
