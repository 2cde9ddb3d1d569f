"""Config key by config key: what Snakemake plans when the key changes after a finished run, and that it is no more.

Every key of the schema has a line, or a reason why it has none. The runs are finished without their work (see
`planning.py`), so that they may hold every space, data set and search.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from naswot_ext.config import NETWORK_SEARCHES, resolve
from naswot_ext.papers.items import ITEMS
from tests.workflow.conftest import CONFIG, Project
from tests.workflow.planning import Planners, changed, copy_of, without_work
from tests.workflow.schema_keys import SCHEMA, keys

# All dry runs are done when the first line is looked at: minutes, more on a busy machine.
pytestmark = pytest.mark.timeout(2400)

REPORT = {"html_report"}


def scored(on: str, group: str, *shards: int, seed: int = 0) -> set[str]:
    return {f"score {on}/{group}/{seed}/{shard}" for shard in shards}


def shown(on: str, *proxies: str) -> set[str]:
    """What shows the correlation of proxies."""
    figures = {f"score_figure {on}/{proxy}" for proxy in proxies} | {f"space_sheet {proxy}" for proxy in proxies}
    return figures | {"correlation_table", "proxy_matrix", f"proxy_bars {on}"} | REPORT


def correlated(on: str, *proxies: str) -> set[str]:
    return {f"correlation {on}/{proxy}" for proxy in proxies} | shown(on, *proxies)


def gathered(on: str, *proxies: str, seed: int = 0) -> set[str]:
    return {f"gather_scores {on}/{proxy}/{seed}" for proxy in proxies} | correlated(on, *proxies)


def shown_searches(on: str) -> set[str]:
    return {"search_table", f"search_figure {on}"} | REPORT


def compared_searches(on: str) -> set[str]:
    figures = {f"search_ranks {on}", f"search_wins {on}"}
    return shown_searches(on) | figures | {f"search_tests {on}", "test_table searches"}


def searched(on: str, *labels: str) -> set[str]:
    return {f"search {on}/{label}" for label in labels} | compared_searches(on)


# One space, one data set: what most keys are about.

ON = "nasbench201/noise"
BOTH = {"aggregate": {"ranks": ["params", "snip"], "name": "both"}}
SMALL: dict[str, Any] = changed(CONFIG, "proxies", ["params", "naswot", "snip", BOTH])
PROXIES = ("params", "naswot", "snip")
PROXY_TESTS = {f"proxy_tests {ON}", "test_table proxies"}
JOINED = {"correlation_table", "proxy_matrix", f"proxy_bars {ON}"} | PROXY_TESTS | REPORT
AGGREGATED = {f"aggregate_scores {ON}/both/0"} | correlated(ON, "both")
FIGURES = {f"score_figure {ON}/{proxy}" for proxy in (*PROXIES, "both")}
FIGURES |= {f"space_sheet {proxy}" for proxy in (*PROXIES, "both")}
FIGURES |= {"proxy_matrix", f"proxy_bars {ON}"}
FIGURES |= {f"search_figure {ON}", f"search_ranks {ON}", f"search_wins {ON}"} | REPORT
# From the scores of all shards on, with the search that looks them up.
AFTER_SCORES = gathered(ON, *PROXIES) | AGGREGATED | PROXY_TESTS | searched(ON, "naswot-3")
SCORES = scored(ON, "forward", 0, 1) | scored(ON, "snip", 0, 1)
ALL_SEARCHES = searched(ON, "naswot-3", "random", "optimal-3")
CORRELATIONS = correlated(ON, *PROXIES, "both")
EVERYTHING = {"batch noise/4/0", "ground_truth nasbench201"} | SCORES | AFTER_SCORES | ALL_SEARCHES
OF_SNIP = gathered(ON, "snip") | AGGREGATED | PROXY_TESTS
RUNS = {
    f"search_runs {ON}/{label}/{runs}"
    for label in ("naswot-3", "random", "optimal-3")
    for runs in ("0/1", "2/3", "4/4")
}
GATHERED_RUNS = {f"gather_runs {ON}/{label}" for label in ("naswot-3", "random", "optimal-3")}
AGAIN_WITH_SEED = (
    {"batch noise/4/1", *scored(ON, "forward", 0, 1, seed=1), *scored(ON, "snip", 0, 1, seed=1)}
    | gathered(ON, *PROXIES, seed=1)
    | {f"aggregate_scores {ON}/both/1"}
    | CORRELATIONS
    | PROXY_TESTS
    | searched(ON, "naswot-3")
)
STEPS = "spaces/nasbench201"

# {key of the schema: (path in the config, value, what is then planned)}
Line = tuple[str, Any, set[str]]
ONE_SPACE: dict[str, Line] = {
    "results": ("results", "elsewhere", EVERYTHING),
    # The report holds the whole config.
    "downloads": ("downloads", "kept", REPORT),
    "offline": ("offline", True, REPORT),
    "scale": ("", {"scales": {"quick": {"figures": {"dpi": 60}}}, "scale": "quick"}, FIGURES),
    "scales": ("", {"scales": {"quick": {"figures": {"dpi": 60}}}}, set()),
    "batch_size": ("batch_size", 5, {"batch noise/5/0"} | SCORES | AFTER_SCORES),
    "batch_sizes.*": ("batch_sizes", {"snip": 5}, {"batch noise/5/0"} | scored(ON, "snip", 0, 1) | OF_SNIP),
    "seeds": ("seeds", [0, 1], AGAIN_WITH_SEED),
    "spaces.*.architectures": (
        f"{STEPS}/architectures",
        9,
        scored(ON, "forward", 1, 2) | scored(ON, "snip", 1, 2) | AFTER_SCORES | ALL_SEARCHES,
    ),
    "spaces.*.draw_seed": (f"{STEPS}/draw_seed", 1, SCORES | AFTER_SCORES | ALL_SEARCHES),
    "spaces.*.draw_from": (
        f"{STEPS}/draw_from",
        "table",
        {"architectures nasbench201"} | SCORES | AFTER_SCORES | ALL_SEARCHES,
    ),
    "spaces.*.datasets": (f"{STEPS}/datasets", ["noise"], REPORT),
    "spaces.nasbench201.network.channels": (f"{STEPS}/network/channels", 8, SCORES | AFTER_SCORES),
    "spaces.nasbench201.network.cells": (f"{STEPS}/network/cells", 1, SCORES | AFTER_SCORES),
    "datasets.gaussian.classes": ("datasets/noise/classes", 3, {"batch noise/4/0"} | SCORES | AFTER_SCORES),
    "datasets.gaussian.image_size": ("datasets/noise/image_size", 9, {"batch noise/4/0"} | SCORES | AFTER_SCORES),
    "datasets.gaussian.channels": ("datasets/noise/channels", 1, {"batch noise/4/0"} | SCORES | AFTER_SCORES),
    "proxies": ("proxies", ["snip", "naswot", "params", BOTH], JOINED),
    "proxies.aggregate.ranks": (
        "proxies",
        [*PROXIES, changed(BOTH, "aggregate/ranks", ["naswot", "snip"])],
        AGGREGATED | PROXY_TESTS,
    ),
    "proxies.aggregate.how": ("proxies", [*PROXIES, changed(BOTH, "aggregate/how", "log")], AGGREGATED | PROXY_TESTS),
    "proxies.aggregate.name": (
        "proxies",
        [*PROXIES, changed(BOTH, "aggregate/name", "pair")],
        {f"aggregate_scores {ON}/pair/0"} | correlated(ON, "pair") | PROXY_TESTS,
    ),
    "searches.runs": ("searches/runs", 6, ALL_SEARCHES),
    "searches.runs_per_job": ("searches/runs_per_job", 2, RUNS | GATHERED_RUNS | compared_searches(ON)),
    "searches.seed": ("searches/seed", 1, ALL_SEARCHES),
    "searches.quoted": ("searches/quoted", ["GDAS"], {"search_table"} | REPORT),
    "statistics.bootstrap": (
        "statistics/bootstrap",
        30,
        CORRELATIONS | PROXY_TESTS | {f"search_tests {ON}", "test_table searches"},
    ),
    "statistics.confidence": (
        "statistics/confidence",
        0.9,
        CORRELATIONS | PROXY_TESTS | {f"search_tests {ON}", "test_table searches", f"search_ranks {ON}"},
    ),
    "statistics.filter_below": ("statistics/filter_below", 5, CORRELATIONS),
    "statistics.keep": ("statistics/keep", 5, CORRELATIONS),
    "figures.dpi": ("figures/dpi", 60, FIGURES),
    "figures.split": ("figures/split", "valid", FIGURES),
    "scoring.shard_size": ("scoring/shard_size", 3, SCORES | AFTER_SCORES),
    "scoring.precision": ("scoring/precision", "bfloat16", SCORES | AFTER_SCORES),
    "scoring.record_seconds": ("scoring/record_seconds", True, SCORES | AFTER_SCORES),
}
LOUD = "nasbench201/loud"
OTHER = "nats-sss/noise"
TABLE = {"source": "table", "path": "table.csv", "accuracy": [{"dataset": "cifar10", "test": "t"}]}
# Adding computes what is new, and what shows all.
ADDED: dict[str, Line] = {
    "a data set": (
        "datasets/loud",
        {"source": "gaussian"},
        {"batch loud/4/0"}
        | scored(LOUD, "forward", 0, 1)
        | scored(LOUD, "snip", 0, 1)
        | gathered(LOUD, *PROXIES)
        | {f"aggregate_scores {LOUD}/both/0", f"proxy_tests {LOUD}", "test_table proxies"}
        | correlated(LOUD, "both")
        | searched(LOUD, "naswot-3", "random", "optimal-3"),
    ),
    "a space": (
        "spaces/nats-sss",
        {"architectures": 6, "draw_from": "space", "benchmark": TABLE},
        {"ground_truth nats-sss"}
        | scored(OTHER, "forward", 0, 1)
        | scored(OTHER, "snip", 0, 1)
        | gathered(OTHER, *PROXIES)
        | {f"aggregate_scores {OTHER}/both/0", f"proxy_tests {OTHER}", "test_table proxies"}
        | correlated(OTHER, "both")
        | searched(OTHER, "naswot-3", "random", "optimal-3"),
    ),
    "a proxy": (
        "proxies",
        [*PROXIES, BOTH, "synflow"],
        scored(ON, "synflow", 0, 1) | gathered(ON, "synflow") | PROXY_TESTS,
    ),
    "a proxy of a forward pass that was made": (
        "proxies",
        [*PROXIES, BOTH, "units"],
        gathered(ON, "units") | PROXY_TESTS,
    ),
    "an algorithm": ("searches/algorithms/rea", {}, searched(ON, "rea")),
    "an algorithm that builds networks": (
        "searches/algorithms/nasi",
        {"images": 8},
        {"batch noise/8/0"}
        | {f"network_search {ON}/nasi/{run}/{run}" for run in range(3)}
        | {f"gather_runs {ON}/nasi"}
        | compared_searches(ON),
    ),
    "a number of architectures of a search": (
        "searches/algorithms/optimal/n_samples",
        [3, 5],
        searched(ON, "optimal-5"),
    ),
    "another variant of a search": (
        "searches/algorithms/naswot@params",
        {"n_samples": [3], "proxy": "params"},
        searched(ON, "naswot@params-params-3"),
    ),
    "a scale that nothing asks for": ("scales", {"quick": {"figures": {"dpi": 60}}}, set()),
}

# Every space and source of ground truth, every data set.

FILE = "some.file"
OFFICIAL = {"local": FILE}
COLUMNS = {
    "source": "table",
    "path": FILE,
    "arch": {"adjacency": "a", "operations": "o"},
    "params": {"column": "p", "unit": 1},
    "n_seeds": "n",
    "accuracy": [{"dataset": "cifar10", "epochs": 1, "valid": "v", "test": "t", "train_seconds": {"s": 1.0}}],
}
IMAGES = {
    "npz": {"path": FILE, "normalise": {"mean": [1.0], "std": [1.0]}, "classes": 2},
    "cifar10": {"local": FILE, "part": "valid-half", "split": FILE},
    "cifar100": {"local": FILE},
    "imagenet16-120": {"local": FILE},
    "imagenette2": {"local": FILE},
}
SPACES: dict[str, Any] = {
    **CONFIG,
    "proxies": ["params"],
    "searches": {"runs": 5, "algorithms": {"random": None}},
    "datasets": CONFIG["datasets"] | {name: {"source": name, **options} for name, options in IMAGES.items()},
    "spaces": {
        name: {"architectures": 6, "benchmark": benchmark, "datasets": ["noise", *(IMAGES if "201" in name else [])]}
        for name, benchmark in {
            "nasbench101": {"source": "nasbench101", **OFFICIAL},
            "nasbench201": {"source": "nasbench201", **OFFICIAL},
            "nats-sss": {"source": "nats-sss", **OFFICIAL},
            "nds-resnet": {"source": "nds", **OFFICIAL},
            "nds-darts": COLUMNS,
        }.items()
    },
}


def of_scores(space: str, datasets: list[str]) -> set[str]:
    """From the scores of a space on, without searches, which go by none here."""
    jobs: set[str] = set()
    for dataset in datasets:
        jobs |= scored(f"{space}/{dataset}", "shape", 0, 1) | gathered(f"{space}/{dataset}", "params")
    return jobs


def of_truth(space: str, datasets: list[str]) -> set[str]:
    """From the ground truth of a space on."""
    jobs = {f"ground_truth {space}"}
    for dataset in datasets:
        on = f"{space}/{dataset}"
        jobs |= correlated(on, "params") | {f"search {on}/random"} | shown_searches(on)
    return jobs


def listed(space: str) -> set[str]:
    """All of a space whose listing is made again."""
    return {f"architectures {space}"} | of_truth(space, ["noise"]) | of_scores(space, ["noise"])


def of_images(dataset: str) -> set[str]:
    return {f"batch {dataset}/4/0"} | of_scores("nasbench201", [dataset])


EVERY = ["noise", *IMAGES]
ANOTHER = "another.file"
LOCAL = "benchmark/local"
ACCURACY = COLUMNS["accuracy"][0]


def _table(key: str, value: Any) -> Line:
    """A change of the table of nds-darts whose architectures stay as they are."""
    return (f"spaces/nds-darts/benchmark/{key}", value, of_truth("nds-darts", ["noise"]))


MANY_SPACES: dict[str, Line] = {
    "spaces.*.benchmark.nasbench101.local": (f"spaces/nasbench101/{LOCAL}", ANOTHER, listed("nasbench101")),
    "spaces.*.benchmark.nasbench101.accuracy": (
        "spaces/nasbench101/benchmark/accuracy",
        "max",
        of_truth("nasbench101", ["noise"]),
    ),
    "spaces.*.benchmark.nasbench201.local": (f"spaces/nasbench201/{LOCAL}", ANOTHER, of_truth("nasbench201", EVERY)),
    "spaces.*.benchmark.nasbench201.version": (
        "spaces/nasbench201/benchmark/version",
        "v1_0",
        of_truth("nasbench201", EVERY),
    ),
    "spaces.*.benchmark.nats-tss.local": (
        "spaces/nasbench201/benchmark",
        {"source": "nats-tss", "local": ANOTHER},
        of_truth("nasbench201", EVERY),
    ),
    "spaces.*.benchmark.nats-sss.local": (f"spaces/nats-sss/{LOCAL}", ANOTHER, of_truth("nats-sss", ["noise"])),
    "spaces.*.benchmark.nds.local": (f"spaces/nds-resnet/{LOCAL}", ANOTHER, listed("nds-resnet")),
    "spaces.*.benchmark.table.path": ("spaces/nds-darts/benchmark/path", ANOTHER, listed("nds-darts")),
    "spaces.*.benchmark.table.arch.*": (
        "spaces/nds-darts/benchmark/arch",
        {"net": "a"},
        listed("nds-darts"),
    ),
    "spaces.*.benchmark.table.params.column": _table("params/column", "q"),
    "spaces.*.benchmark.table.params.unit": _table("params/unit", 1.0e6),
    "spaces.*.benchmark.table.n_seeds": _table("n_seeds", "m"),
    "spaces.*.benchmark.table.accuracy.dataset": _table("accuracy", [ACCURACY | {"dataset": "cifar100"}]),
    "spaces.*.benchmark.table.accuracy.epochs": _table("accuracy", [ACCURACY | {"epochs": 2}]),
    "spaces.*.benchmark.table.accuracy.valid": _table("accuracy", [ACCURACY | {"valid": ["v", "w"]}]),
    "spaces.*.benchmark.table.accuracy.test": _table("accuracy", [ACCURACY | {"test": "u"}]),
    "spaces.*.benchmark.table.accuracy.train_seconds.*": _table("accuracy", [ACCURACY | {"train_seconds": {"s": 2.0}}]),
    "spaces.nasbench101.network.stem_channels": (
        "spaces/nasbench101/network/stem_channels",
        4,
        of_scores("nasbench101", ["noise"]),
    ),
    "spaces.nasbench101.network.stacks": (
        "spaces/nasbench101/network/stacks",
        1,
        of_scores("nasbench101", ["noise"]),
    ),
    "spaces.nasbench101.network.modules": (
        "spaces/nasbench101/network/modules",
        1,
        of_scores("nasbench101", ["noise"]),
    ),
    # The sizes and the stem of a space of the NDS are part of what its ground truth is read with.
    "spaces.nds-darts.network.width": ("spaces/nds-darts/network/width", 4, listed("nds-darts")),
    "spaces.nds-darts.network.depth": ("spaces/nds-darts/network/depth", 4, listed("nds-darts")),
    "spaces.nds-resnet.network.stem": ("spaces/nds-resnet/network/stem", "trained", listed("nds-resnet")),
    "spaces.nds-resnet.network.stem_channels": (
        "spaces/nds-resnet/network/stem_channels",
        8,
        of_scores("nds-resnet", ["noise"]),
    ),
    "datasets.npz.path": ("datasets/npz/path", ANOTHER, of_images("npz")),
    "datasets.npz.normalise.mean": ("datasets/npz/normalise/mean", [2.0], of_images("npz")),
    "datasets.npz.normalise.std": ("datasets/npz/normalise/std", [2.0], of_images("npz")),
    "datasets.npz.classes": ("datasets/npz/classes", 3, of_images("npz")),
    "datasets.cifar10.split": ("datasets/cifar10/split", ANOTHER, of_images("cifar10")),
    "datasets.imagenette2.image_size": ("datasets/imagenette2/image_size", 32, of_images("imagenette2")),
}
for _name in ("cifar10", "cifar100", "imagenet16-120", "imagenette2"):
    for _key, _value in {
        "local": ANOTHER,
        "part": {"cifar10": "train-half", "cifar100": "test"}.get(_name, "valid"),
        "augment.flip": True,
        "augment.crop": 4,
    }.items():
        _path = f"datasets/{_name}/{_key.replace('.', '/')}"
        MANY_SPACES[f"datasets.{_name}.{_key}"] = (_path, _value, of_images(_name))

# Every search.

# Those whose number of architectures is part of their name.
COUNTED = ("naswot", "optimal", "naswot_live")
NEEDED: dict[str, Any] = {name: {"n_samples": [3]} for name in COUNTED} | {"area": {"n_samples": 3}}
ALGORITHMS = ["naswot", "random", "optimal", "rs", "rea", "area", "reinforce", "bohb", *NETWORK_SEARCHES]
ALGORITHMS.remove("darts_v2")  # whose options are those of the first order
SEARCHES: dict[str, Any] = {
    **CONFIG,
    "spaces": {"nasbench201": {"architectures": 6, "benchmark": TABLE}},
    "proxies": ["params"],
    "searches": {"runs": 5, "algorithms": {name: NEEDED.get(name, {}) for name in ALGORITHMS}},
}
for _name in NETWORK_SEARCHES:
    if _name in ALGORITHMS:
        SEARCHES = changed(SEARCHES, f"searches/algorithms/{_name}", {**NEEDED.get(_name, {}), "runs": 2})
LABELS = {name: f"{name}-3" if name in COUNTED else name for name in ALGORITHMS}
# Where twice the number, or the other of two, is no such value.
VALUES: dict[str, Any] = {
    "optimal.by": "either",
    "*.dataset": "cifar10",
    "enas.controller_baseline_decay": 0.5,
    "*.momentum": 0.5,
    "bohb.random_fraction": 0.5,
    "bohb.protocol": "hyperband",
    "bohb.top_percent": 30,
    "funnel.first": "units",
    "funnel.first_network": {"cells": 1},
    "funnel.proxies": ["params"],
    "funnel.n_samples": 4,
    "nasi.nu": 50,
    "nasi.labels": "random",
    "nasi.data": "gaussian",
    "*.supernet.channels": 4,
    "*.supernet.cells": 1,
    "*.gradient_clip": 1,
    "*.learning_rate_min": 0.0,
    "*.runs": 3,
}
DEFAULTS = resolve({**SEARCHES, "spaces": CONFIG["spaces"]}, SCHEMA)["searches"]["algorithms"]


def _jobs(name: str, runs: tuple[str, ...] = ("0/0", "1/1")) -> set[str]:
    """A search made again, without what shows it."""
    label = LABELS[name]
    if name not in NETWORK_SEARCHES:
        return {f"search {ON}/{label}"}
    return {f"network_search {ON}/{label}/{run}" for run in runs} | {f"gather_runs {ON}/{label}"}


def _search_line(key: str) -> Line:
    """The change of one option of one search, and that it makes this search again and what shows searches."""
    _, _, name, option = key.split(".", 3)
    path = f"searches/algorithms/{name}/{option.replace('.', '/')}"
    compared = compared_searches(ON)
    if option == "published":
        return path, "GDAS", shown_searches(ON)
    if name in COUNTED and option == "n_samples":
        # A search of another name.
        made = {job.replace(LABELS[name], f"{name}-4") for job in _jobs(name)}
        return path, [4], made | compared
    if name in ("area", *COUNTED) and option == "proxy":
        made = {job.replace(LABELS[name], LABELS[name].replace(name, f"{name}-params")) for job in _jobs(name)}
        # No score that nobody asks for is made, and the one of params is there.
        return path, "params", made | compared
    if name in NETWORK_SEARCHES and option == "runs":
        return path, 3, _jobs(name, ("2/2",)) | compared
    if name in NETWORK_SEARCHES and option == "runs_per_job":
        return path, 2, _jobs(name, ("0/1",)) | compared
    if option == "images":
        return path, 8, {"batch noise/8/0"} | _jobs(name) | compared
    return path, _another(name, option), _jobs(name) | compared


def _another(name: str, option: str) -> Any:
    """Another value than the default."""
    for pattern in (f"{name}.{option}", f"*.{option}"):
        if pattern in VALUES:
            return VALUES[pattern]
    value: Any = DEFAULTS[name]
    for part in option.split("."):
        value = value[part]
    return (not value) if isinstance(value, bool) else value * 2 if value else 1


MANY_SEARCHES = {key: _search_line(key) for key in keys() if key.startswith("searches.algorithms.")}

# The papers.

IN_201 = "nasbench201/cifar10"
PAPERS: dict[str, Any] = {
    **CONFIG,
    "spaces": {
        "nasbench201": {
            "architectures": 6,
            "benchmark": {
                **TABLE,
                "accuracy": [{"dataset": name, "valid": "v", "test": "t"} for name in ("cifar10", "cifar100")],
            },
        }
    },
    "datasets": {name: {"source": "gaussian", "image_size": 8} for name in ("cifar10", "cifar100")},
    "proxies": ["naswot", "jacobian"],
    "searches": {"runs": 5, "algorithms": {"random": None}},
    "papers": {
        "ablation": {"networks": 2, "samples": 2, "batch_sizes": [2, 4]},
        "ablation_2020": {"networks": 2, "samples": 2},
        "training": {"networks": 2, "epochs": 1, "images": 8, "batch_size": 4},
        "kernels": {"networks": 1},
        "histograms": {"networks": 1},
        "library": {"networks": ["resnet20_cifar10", "nin_cifar10"], "initialisations": 1},
    },
}
KINDS = ("minibatch", "gaussian", "initialisation", "batch_size")
ABLATED = {f"ablation nasbench201/cifar100/naswot/{kind}" for kind in KINDS}
ABLATED_2020 = {f"ablation {IN_201}/jacobian/{kind}" for kind in KINDS[:3]}
TRAINED = {f"training {IN_201}/{k}" for k in (0, 1)}
FIGURE_5 = {"paper_ablation icml2021/figure5"} | REPORT
FIGURE_4 = {"paper_ablation arxiv2020/figure4"} | REPORT
FIGURE_6 = {"paper_training icml2021/figure6"} | REPORT
LIBRARY = {"paper_library arxiv2020/figure5", "paper_summary"} | REPORT
OF_201 = {f"paper_{i.kind} {i.paper}/{i.name}" for i in ITEMS if "nasbench201" in dict(i.panels)}
REMARKED = OF_201 | {"paper_tau_cells icml2021/figure3", "paper_summary"}
OF_PAPERS: dict[str, Line] = {
    "spaces.*.remark": ("spaces/nasbench201/remark", "a part", REMARKED | REPORT),
    "papers.ablation.networks": ("papers/ablation/networks", 3, ABLATED | FIGURE_5),
    # As many images as all samples take.
    "papers.ablation.samples": ("papers/ablation/samples", 3, {"batch cifar100/12/0"} | ABLATED | FIGURE_5),
    "papers.ablation.batch_sizes": (
        "papers/ablation/batch_sizes",
        [2, 8],
        {"ablation nasbench201/cifar100/naswot/batch_size"} | FIGURE_5,
    ),
    "papers.ablation_2020.networks": ("papers/ablation_2020/networks", 3, ABLATED_2020 | FIGURE_4),
    "papers.ablation_2020.samples": (
        "papers/ablation_2020/samples",
        4,
        {"batch cifar10/16/0"} | ABLATED_2020 | FIGURE_4,
    ),
    "papers.training.networks": ("papers/training/networks", 3, {f"training {IN_201}/2"} | FIGURE_6),
    "papers.training.epochs": ("papers/training/epochs", 2, TRAINED | FIGURE_6),
    "papers.training.images": ("papers/training/images", 16, {"batch cifar10/20/0"} | TRAINED | FIGURE_6),
    "papers.training.batch_size": ("papers/training/batch_size", 2, TRAINED | FIGURE_6),
    "papers.kernels.networks": (
        "papers/kernels/networks",
        2,
        {f"kernels {IN_201}", "paper_kernels icml2021/figure1"} | REPORT,
    ),
    "papers.histograms.networks": (
        "papers/histograms/networks",
        2,
        {f"jacobian_correlations {IN_201}", "paper_histograms arxiv2020/figure1"} | REPORT,
    ),
    "papers.library.networks": (
        "papers/library/networks",
        ["resnet20_cifar10", "nin_cifar10", "preresnet20_cifar10"],
        {"library cifar10/preresnet20_cifar10"} | LIBRARY,
    ),
    "papers.library.initialisations": (
        "papers/library/initialisations",
        2,
        {f"library cifar10/{name}" for name in ("resnet20_cifar10", "nin_cifar10")} | LIBRARY,
    ),
}

# {key: why it has no line}
NO_LINE = {
    "absent.spaces.*": "the workflow fills it in",
    "absent.datasets.*": "the workflow fills it in",
    "spaces.nats-sss.network": "it has no options",
}
BASES = {"one space": SMALL, "many spaces": SPACES, "many searches": SEARCHES, "papers": PAPERS}
LINES = {
    **{key: ("one space", line) for key, line in ONE_SPACE.items()},
    **{f"adding {what}": ("one space", line) for what, line in ADDED.items()},
    **{key: ("many spaces", line) for key, line in MANY_SPACES.items()},
    **{key: ("many searches", line) for key, line in MANY_SEARCHES.items()},
    **{key: ("papers", line) for key, line in OF_PAPERS.items()},
}


@pytest.fixture(scope="module")
def planned(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """{line: the jobs that are planned after its change}, of all lines, and {base: those of the unchanged config}."""
    folder = tmp_path_factory.mktemp("matrix")
    copied = without_work(copy_of(checkout, folder / "checkout"))
    (folder / "scratch").mkdir()
    found: dict[str, set[str]] = {}
    with Planners(copied, folder / "scratch") as planners:
        for base, config in BASES.items():
            run = folder / base.replace(" ", "-")
            run.mkdir()
            for file in (FILE, ANOTHER, "table.csv"):
                (run / file).write_text("")
            planners.finish(run, config)
            configs = {base: config}
            for key, (of, (path, value, _)) in LINES.items():
                if of == base:
                    configs[key] = changed(config, path, value) if path else {**copy.deepcopy(config), **value}
            found |= planners.plan_all(run, configs)
    return found


def test_every_key_of_the_config_has_a_line_or_a_reason_why_not() -> None:
    assert set(keys()) - set(LINES) - set(NO_LINE) == set()
    assert {key for key in LINES if not key.startswith("adding ")} | set(NO_LINE) <= {*keys(), "proxies"}


@pytest.mark.parametrize("base", BASES)
def test_nothing_changed_plans_nothing(planned: dict[str, set[str]], base: str) -> None:
    assert planned[base] == set()


@pytest.mark.parametrize("key", LINES)
def test_a_changed_key_plans_what_depends_on_it_and_nothing_else(planned: dict[str, set[str]], key: str) -> None:
    assert planned[key] == LINES[key][1][2]


def test_runs_without_work_plan_what_real_runs_plan(planned: dict[str, set[str]], project: Project) -> None:
    del project.config["searches"]["algorithms"]["naswot"]
    project.config = changed(project.config, "statistics/bootstrap", 30)
    real = {rule for rule in project.to_do() if rule != "all"}
    assert real >= {job.partition(" ")[0] for job in planned["statistics.bootstrap"]}
