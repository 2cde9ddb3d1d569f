"""How much work a job is, in what its seconds go by: epochs x images of a training, architectures x images of a shard.

Of a planned job the config tells it, of a finished one the record that it left (`naswot_ext.archive.jobs`). Both come
down to the same values under the names of the rules' params, which `units` turns into one number. Imports no Snakemake.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from naswot_ext import config as configuration
from naswot_ext.archive.jobs import path_of_record
from naswot_ext.errors import NaswotError

_BATCH = re.compile(r"batches/([^/]+)/size-(\d+)/seed-\d+\.npz$")
_SIDE = 32  # pixels: images of other sides count by their area
_SIDES = {"imagenet16-120": 16}
# The options of a search that builds networks that decide what one unit of it costs.
_HOW = ("proxy", "first", "first_network", "keep", "proxies", "supernet")


@dataclass(frozen=True)
class Measure:
    """What the seconds of a rule's jobs go by, and what an earlier job must share with a planned one, nearest first.

    Besides wildcards that is `networks`, what is scored or trained (a space with its network options, or one network);
    `options`, how a search does it; and `method`, an algorithm without its options.
    """

    units: str
    nearest: Sequence[tuple[str, ...]]

    def may_be_heavier(self, shared: tuple[str, ...]) -> bool:
        """Whether a job's networks may be heavier than those of the jobs that share this with it."""
        return "networks" in self.nearest[0] and "networks" not in shared


_OF_SEARCHES = Measure("runs", [("space", "dataset", "algorithm"), ("algorithm",), ("method",)])
_OF_NETWORKS = Measure("networks x images", [("networks", "dataset"), ("networks",), ()])
MEASURES = {
    "score": Measure(
        "architectures x images",
        [("networks", "dataset", "group"), ("networks", "group"), ("space", "group"), ("group",)],
    ),
    # Those of all spaces together, since these differ in size: a start, and so much a resample.
    "correlation": Measure("resamples x architectures", [()]),
    "search": _OF_SEARCHES,
    "search_runs": _OF_SEARCHES,
    "network_search": Measure(
        "runs x networks or images",
        [("networks", "dataset", "method", "options"), ("networks", "method", "options"), ("method", "options")],
    ),
    "ablation": Measure(
        "samples x networks x images", [("networks", "dataset", "proxy", "kind"), ("networks", "proxy"), ("proxy",)]
    ),
    "training": Measure("epochs x images", [("networks", "dataset"), ("networks",), ()]),
    "kernels": _OF_NETWORKS,
    "jacobian_correlations": _OF_NETWORKS,
    "library": Measure("initialisations x images", [("networks",), ()]),
    "claimed_score": Measure("images", [("networks", "dataset", "proxy"), ("networks", "proxy"), ("proxy",)]),
}


@dataclass(frozen=True)
class Images:
    """The images of one batch: how many, and how many of 32 x 32 pixels each of them is."""

    count: int
    area: float = 1.0

    @classmethod
    def of(cls, count: int, options: Mapping[str, Any]) -> Images:
        """As many, of a data set of these options; files of the user's own are taken to be 32 x 32."""
        side = options.get("image_size") or _SIDES.get(options.get("source", ""), _SIDE)
        return cls(count, (side / _SIDE) ** 2)

    @property
    def all(self) -> float:
        """What all of them are."""
        return self.count * self.area


def units(rule: str, wildcards: Mapping[str, str], params: Mapping[str, Any], images: Images | None) -> float | None:
    """The work of a job of a rule in `MEASURES`; None where what is given does not tell it.

    `params` are the rule's, those that count. A search that builds networks is taken apart by its algorithm.
    """
    try:
        return _units(rule, wildcards, params, images) or None
    except (KeyError, TypeError, AttributeError):
        return None


def _units(rule: str, wildcards: Mapping[str, str], params: Mapping[str, Any], images: Any) -> float:
    """The same, of what may be absent or of another version's form."""
    if rule == "search":
        return params["repeats"]["runs"]
    if rule == "search_runs":
        return _runs(wildcards)
    if rule == "network_search":
        return _runs(wildcards) * _of_one_run(wildcards["space"], params, images)
    if rule == "score":
        return (params["shard"]["stop"] - params["shard"]["start"]) * images.all
    if rule == "correlation":
        return params["statistics"]["bootstrap"] * params["architectures"]
    if rule == "ablation":
        options = params["options"]
        sizes = options["batch_sizes"] if wildcards["kind"] == "batch_size" else [options["batch_size"]]
        return options["samples"] * params["choose"]["count"] * sum(sizes) * images.area
    if rule == "training":
        options = params["options"]
        return options["epochs"] * (images.count - options["held_out"]) * images.area
    if rule == "library":
        return params["options"]["initialisations"] * images.all
    if rule == "claimed_score":
        return images.all
    return params["choose"]["each"] * images.all  # of each band of accuracy


def _runs(wildcards: Mapping[str, str]) -> int:
    return int(wildcards["last"]) - int(wildcards["first"]) + 1


def _of_one_run(space: str, params: Mapping[str, Any], images: Any) -> float:
    """The work of one run of a search that builds networks."""
    search = params["search"]
    if search["algorithm"] == "naswot_live":
        return search["n_samples"] * images.all
    if search["algorithm"] == "funnel":
        # Most of it is the first look at all of them, which sees no images.
        told = [n for n in (search["n_samples"], params["draw"]["architectures"]) if n != "all"]
        return told[0] if told else architectures(space)
    if search["algorithm"] == "nasi":
        return search["steps"] * search["batch_size"] * images.area
    return search["epochs"] * images.all


def traits(rule: str, wildcards: Mapping[str, str], params: Mapping[str, Any]) -> dict[str, str]:
    """What else a job is told from others by, besides its wildcards."""
    found = {}
    if rule == "library":
        found["networks"] = wildcards["network"]
    if "network" in params:
        found["networks"] = f"{wildcards['space']} {json.dumps(params['network'], sort_keys=True)}"
    if rule == "network_search":
        search = params.get("search", {})
        found["options"] = json.dumps({key: search[key] for key in _HOW if key in search}, sort_keys=True)
    return found


@functools.cache
def architectures(space: str) -> int:
    """How many architectures a space has; 0 where only its ground truth knows. Imports torch."""
    from naswot_ext.spaces import SPACES

    try:
        return len(SPACES.get(space))
    except (NaswotError, TypeError):
        return 0


class Planned:
    """The params that count and the images of planned jobs, as the rules would take them from the config."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._searches = {
            label: {"algorithm": configuration.algorithm_of(entry), **options}
            for entry, given in config["searches"]["algorithms"].items()
            for label, options in configuration.search_labels(entry, given).items()
        }

    def images(self, inputs: Iterable[str]) -> Images | None:
        """The images among the inputs of a job."""
        found = _batch_among(inputs)
        return Images.of(found[1], self._config["datasets"].get(found[0], {})) if found else None

    def images_of(self, dataset: str, proxy: str) -> Images:
        """Those that a proxy is scored on."""
        return Images.of(configuration.image_size(self._config, proxy), self._config["datasets"][dataset])

    def params(self, rule: str, wildcards: Mapping[str, str]) -> dict[str, Any]:
        """The params of a job."""
        space = self._config["spaces"].get(wildcards.get("space"), {})
        if rule == "library":
            return {"options": self._config["papers"]["library"]}
        if rule == "correlation":
            count = space["architectures"]
            count = architectures(wildcards["space"]) if count == "all" else count
            return {"statistics": self._config["statistics"], "architectures": count * len(self._config["seeds"])}
        return {"network": space.get("network", {}), **self._of_networks(rule, wildcards, space)}

    def _of_networks(self, rule: str, wildcards: Mapping[str, str], space: Mapping[str, Any]) -> dict[str, Any]:
        papers = self._config.get("papers", {})
        if rule == "score":
            size, wanted = self._config["scoring"]["shard_size"], space["architectures"]
            start = int(wildcards["shard"]) * size
            # Of all that there are, the last shard has fewer, which the listing would tell.
            stop = start + size if wanted == "all" else max(start + 1, min(start + size, wanted))
            return {"shard": {"start": start, "stop": stop}}
        if rule in ("search", "network_search"):
            search = self._searches[wildcards["algorithm"]]
            runs = search.get("runs", self._config["searches"]["runs"])
            return {"search": search, "repeats": {"runs": runs}, "draw": {"architectures": space["architectures"]}}
        if rule == "ablation":
            ablation = papers["ablation" if wildcards["proxy"] == "naswot" else "ablation_2020"]
            options = {**ablation, "batch_size": configuration.image_size(self._config, wildcards["proxy"])}
            return {"choose": {"count": ablation["networks"]}, "options": options}
        if rule == "training":
            return {"options": {**papers["training"], "held_out": self._config["batch_size"]}}
        if rule in ("kernels", "jacobian_correlations"):
            section = papers["kernels" if rule == "kernels" else "histograms"]
            return {"choose": {"each": section["networks"]}}
        return {}


class Done:
    """The params and the images of finished jobs of a results folder, as they were recorded."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._options = functools.cache(self._options_of)

    def record(self, rule: str, timing: str, wildcards: Mapping[str, str]) -> dict[str, Any] | None:
        """The record of the job with this benchmark file; None where it left none."""
        output = Path(timing).relative_to("timings").with_suffix(".parquet").as_posix()
        if rule == "score":
            output = "scores/{space}/{dataset}/shards/{group}/seed-{seed}/shard-{shard}.parquet".format(**wildcards)
        return self._read(output)

    def params(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The params of a recorded job by name."""
        scored = [path for path in _inputs(record) if path.startswith("<results>/scores/")]
        more = {"architectures": sum(map(self._rows, scored))} if record.get("rule") == "correlation" else {}
        return {**_params(record), **more}

    def images(self, record: Mapping[str, Any]) -> Images | None:
        """The images among the inputs of a recorded job."""
        inputs = _inputs(record)
        found = _batch_among(inputs)
        return Images.of(found[1], self._options(next(filter(_BATCH.search, inputs)))) if found else None

    def _rows(self, table: str) -> int:
        import pyarrow.parquet

        try:
            rows: int = pyarrow.parquet.read_metadata(self._results / table.removeprefix("<results>/")).num_rows
        except (OSError, ValueError):
            return 0
        return rows

    def _options_of(self, batch: str) -> dict[str, Any]:
        """The options of the data set of a batch, by its own record."""
        made = self._read(batch.removeprefix("<results>/"))
        return _params(made).get("options", {}) if made else {}

    def _read(self, output: str) -> dict[str, Any] | None:
        try:
            found = json.loads((self._results / path_of_record(output)).read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def _params(record: Mapping[str, Any]) -> dict[str, Any]:
    params = record.get("params", {})
    return {name: params["values"][first] for name, (first, _) in params.get("names", {}).items()}


def _inputs(record: Mapping[str, Any]) -> list[str]:
    return [str(path) for path in record.get("input", {}).get("values", [])]


def _batch_among(inputs: Iterable[str]) -> tuple[str, int] | None:
    """The data set and the size of the first batch among the inputs of a job."""
    found = next(filter(None, map(_BATCH.search, inputs)), None)
    return (found[1], int(found[2])) if found else None
