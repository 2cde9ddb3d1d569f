"""Small measurements in the shapes of the workflow's files, and every kind of figure drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from naswot_ext.figures import Scored
from naswot_ext.papers.cells import COLUMNS
from naswot_ext.papers.figures.ablation import ablation
from naswot_ext.papers.figures.bars import bars
from naswot_ext.papers.figures.histograms import histograms
from naswot_ext.papers.figures.kernels import kernels
from naswot_ext.papers.figures.library import library
from naswot_ext.papers.figures.scatter import scatter
from naswot_ext.papers.figures.time import time
from naswot_ext.papers.figures.training import training
from naswot_ext.tables import CORRELATION_COLUMNS, correlation_rows, read_published
from tests.conftest import REPOSITORY
from tests.results.conftest import score_table, truth_table

PUBLISHED = read_published(REPOSITORY / "workflow" / "resources" / "published.csv")
KINDS = ("minibatch", "gaussian", "initialisation", "batch_size")


def scored(
    n: int,
    space: str = "nasbench201",
    dataset: str = "cifar10",
    status: dict[int, str] | None = None,
    proxy: str = "naswot",
) -> Scored:
    """Architectures whose scores follow their accuracies, with noise."""
    rng = np.random.default_rng(n)
    quality = rng.normal(size=n)
    scores = score_table(list(1500 + 100 * (quality + rng.normal(size=n))), status)
    accuracy = 94 - 8 * np.exp(-quality)
    truth = truth_table(list(accuracy), list(accuracy - 1), dataset=dataset)
    facts = {"space": space, "scored_on": dataset, "proxy": proxy, "bootstrap": 20}
    return Scored([scores], truth, correlation_rows([scores], truth, PUBLISHED, **facts), 15.0)


def correlation(space: str, proxy: str, kendall: float, **other: object) -> dict[str, object]:
    """A row of correlations.csv; `kendall` is of the filtered networks, that of all is 0.02 more."""
    row: dict[str, object] = dict.fromkeys(CORRELATION_COLUMNS, np.nan)
    row |= {"space": space, "scored_on": "cifar10", "proxy": proxy, "dataset": "cifar10", "split": "test"}
    row |= {"architectures": 100, "singular": 0, "failed": 0}
    for name, tau in (("kendall", kendall + 0.02), ("kendall_filtered", kendall)):
        row |= {name: tau, f"{name}_low": tau - 0.05, f"{name}_high": tau + 0.05}
    row |= {"filtered_architectures": 90}
    return row | other


def kernel(index: int, accuracy: float, band: str, k: Sequence[Sequence[int]]) -> pd.DataFrame:
    """K of one network; the last element is its number of units."""
    matrix = np.array(k)
    row, column = np.triu_indices(len(matrix))
    facts = {"arch_index": index, "arch": f"a{index}", "accuracy": accuracy, "band": band, "status": "ok", "error": ""}
    return pd.DataFrame({"row": row, "column": column, "k": matrix[row, column], "units": matrix[0, 0]}).assign(**facts)


def histogram(index: int, accuracy: float, band: str, counts: Sequence[int]) -> pd.DataFrame:
    """The correlations of one network, in equal bins of [-1, 1]."""
    edges = np.linspace(-1, 1, len(counts) + 1)
    facts = {"arch_index": index, "arch": f"a{index}", "accuracy": accuracy, "band": band}
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts}).assign(**facts)


def samples(kind: str, scores: Sequence[Sequence[float]], batch_size: int = 128) -> pd.DataFrame:
    """Scores [network][sample]; network i has accuracy 50 + 5 i. NaN is failed, -inf singular."""
    rows = [
        {
            "arch_index": i,
            "arch": f"a{i}",
            "accuracy": 50.0 + 5 * i,
            "kind": kind,
            "sample": k,
            "batch_size": batch_size,
            "score": score,
            "status": "failed" if np.isnan(score) else "singular" if np.isneginf(score) else "ok",
            "error": "",
        }
        for i, network in enumerate(scores)
        for k, score in enumerate(network)
    ]
    return pd.DataFrame(rows)


def ablated(networks: int, count: int, kinds: Sequence[str] = KINDS, scale: float = 1.0) -> pd.DataFrame:
    """Noisy scores of all kinds."""
    rng = np.random.default_rng(networks)
    parts = []
    for kind in kinds:
        for size in (32, 64, 128, 256) if kind == "batch_size" else (128,):
            values = size * (10 + np.arange(networks)[:, None]) + rng.normal(size=(networks, count)) * size / 4
            parts.append(samples(kind, (scale * values).tolist(), size))
    return pd.concat(parts, ignore_index=True)


def trace(index: int, accuracy: float, scores: Sequence[float]) -> pd.DataFrame:
    """The score of one network before training and after each epoch."""
    values = np.array(scores, float)
    status = np.where(np.isnan(values), "failed", np.where(np.isneginf(values), "singular", "ok"))
    table = pd.DataFrame({"epoch": range(len(values)), "score": values, "status": status})
    return table.assign(arch_index=index, arch=f"a{index}", accuracy=accuracy)


def traces(networks: int, epochs: int) -> pd.DataFrame:
    """Rising scores of networks that are between 90 and 94 percent."""
    rng = np.random.default_rng(networks)
    found = []
    for i in range(networks):
        rising = 1500 + 8 * i + 150 * (1 - np.exp(-np.arange(epochs + 1) / 8)) + rng.normal(size=epochs + 1)
        found.append(trace(i, 90 + 4 * i / networks, rising.tolist()))
    return pd.concat(found, ignore_index=True)


def search_cells(table: str = "table2a", source: str = "mellor2021-icml", measured: bool = True) -> pd.DataFrame:
    """The cells of a table of searches, those without weight sharing "measured" at what is published."""
    part = PUBLISHED[(PUBLISHED["source"] == source) & (PUBLISHED["table"] == table)]
    part = part[part["measure"] == "accuracy_percent"].reset_index(drop=True)
    cells = pd.DataFrame(index=part.index, columns=COLUMNS)
    for name in ("method", "n_samples", "dataset", "split"):
        cells[name] = part[name]
    cells["quantity"] = "accuracy_percent"
    cells["published"], cells["published_std"] = part["mean"], part["std"]
    cells["published_runs"], cells["published_seconds"] = part["runs"], part["search_seconds"]
    run = (part["family"] != "weight-sharing") & measured
    cells["measured"], cells["measured_std"] = part["mean"].where(run) - 0.1, part["std"].where(run)
    cells["runs"], cells["seconds"] = part["runs"].where(run), (part["search_seconds"] * 3).where(run)
    return cells


def networks(count: int, initialisations: int = 3) -> pd.DataFrame:
    """Scores of networks of a library."""
    rng = np.random.default_rng(count)
    rows = []
    for i in range(count):
        accuracy, mean = rng.uniform(92, 97), rng.uniform(-900, -300)
        for seed in range(initialisations):
            score = mean + 10 * rng.normal()
            rows.append((f"network{i}_b{i % 7}_cifar10", accuracy, 1e6, seed, "jacobian", score, "ok", "", 1.0))
    columns = ["network", "accuracy", "params", "seed", "proxy", "score", "status", "error", "seconds"]
    return pd.DataFrame(rows, columns=columns)


PANELS = [
    *(("nasbench201", dataset) for dataset in ("cifar10", "cifar100", "imagenet16-120")),
    ("nasbench101", "cifar10"),
    *((f"nds-{name}", "cifar10") for name in ("amoeba", "darts", "enas", "nasnet", "pnas")),
    ("nds-darts-in", "imagenette2"),
]
SPACES = [space for space, _ in PANELS[4:9]]
PROXIES = ["naswot", "grad_norm", "synflow"]


def _scatter(panels: list[tuple[str, str]], n: int) -> Figure:
    found = [scored(n), scored(n, "nds-darts"), scored(5, "nds-enas", status=dict.fromkeys(range(5), "singular"))]
    reasons = dict.fromkeys(panels, "no ground truth: NATS-sss-v1_0-50262-simple is not there")
    return scatter(panels, found, x_label="NASWOT score", reasons=reasons, published=PUBLISHED)


def _bars(known: int) -> Figure:
    rows = [correlation(s, p, 0.4 - 0.3 * i) for s in SPACES[:known] for i, p in enumerate(PROXIES)]
    rows[0]["published_kendall"] = 0.223
    reasons = dict.fromkeys(SPACES, "no ground truth of this space: nds_data.zip is not there and was not named")
    return bars(pd.DataFrame(rows), SPACES, PROXIES, reasons=reasons)


def _kernels(bands: int, each: int, size: int, spaces: int = 2) -> Figure:
    rng = np.random.default_rng(0)
    found = []
    for i in range(bands * each):
        values = rng.integers(40, 60, (size, size)) + np.eye(size, dtype=int) * (100 - 60)
        np.fill_diagonal(values, 100)
        found.append(
            kernel(i, 50 + i, f"{60 + 5.3 * (i // each):g} to {65.5 + 5.3 * (i // each):g} %", values.tolist())
        )
    table = pd.concat(found)
    measured = {"nasbench201": table, "nds-darts": table if spaces > 1 else table.iloc[:0]}
    return kernels(measured, reasons={"nds-darts": "no ground truth: nds_data.zip"}, accuracy="CIFAR-10 validation")


def _histograms(bands: int, each: int) -> Figure:
    rng = np.random.default_rng(0)
    found = []
    for i in range(bands * each):
        counts = np.histogram(rng.normal(0.3, 0.2, 1000), 50, (-1, 1))[0] * (i > 0)
        found.append(histogram(i, 50 + i, f"band {i // each}", counts.tolist()))
    return histograms(pd.concat(found), accuracy="CIFAR-10 validation")


def _ablation(networks: int, count: int, kinds: Sequence[str] = KINDS, measured: Sequence[str] = KINDS) -> Figure:
    return ablation(
        ablated(networks, count, measured), kinds, y_label="NASWOT score, log |det K|", accuracy="CIFAR-100 test"
    )


_ARXIV = ("table1", "mellor2020-arxiv-v1")
_NOTE = "linear association given log parameters: 0.002 per unit, p = 0.003"
FIGURES: dict[str, Callable[[], Figure]] = {
    "scatter": lambda: _scatter(PANELS, 1200),
    "scatter, small": lambda: _scatter(PANELS[:3], 12),
    "scatter, one point": lambda: _scatter(PANELS[:1], 1),
    "bars": lambda: _bars(5),
    "bars, small": lambda: _bars(1),
    "kernels": lambda: _kernels(5, 3, 32),
    "kernels, small": lambda: _kernels(3, 1, 8, spaces=1),
    "kernels, one": lambda: _kernels(1, 1, 8, spaces=1),
    "histograms": lambda: _histograms(5, 5),
    "histograms, small": lambda: _histograms(2, 1),
    "ablation": lambda: _ablation(10, 20),
    "ablation, small": lambda: _ablation(3, 2),
    "ablation, one": lambda: _ablation(1, 1, measured=KINDS[1:]),
    "ablation of 2020": lambda: _ablation(8, 20, ("minibatch", "initialisation", "gaussian")),
    "training": lambda: training(
        traces(10, 100), y_label="NASWOT score", accuracy="CIFAR-10 validation", benchmark="nasbench201"
    ),
    "training, small": lambda: training(traces(3, 2), y_label="NASWOT score", accuracy="CIFAR-10 validation"),
    "training, one": lambda: training(traces(1, 0), y_label="NASWOT score"),
    "time": lambda: time(search_cells(), note="Seconds: 2 cores."),
    "time of 2020": lambda: time(search_cells(*_ARXIV)),
    "time, nothing measured": lambda: time(search_cells(measured=False)),
    "library": lambda: library(networks(40, 10), x_label="Jacobian score", note=_NOTE),
    "library, small": lambda: library(networks(4, 1), x_label="Jacobian score", note=_NOTE),
    "library, one": lambda: library(networks(1, 1), x_label="Jacobian score"),
}
