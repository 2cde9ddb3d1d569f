"""The tables and figures of both papers, and what each is made from (spec: the papers themselves).

ICML 2021: J. Mellor, J. Turner, A. Storkey, E. J. Crowley, "Neural Architecture Search without Training". 2020: its
first version, arXiv 2006.04647v1. Figures 2 and 8 (2020: 2) are drawings of a cell; nothing in them is measured.
Imports nothing heavy: the workflow reads it at every start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Panel = tuple[str, str]  # (search space, images that are scored)


@dataclass(frozen=True)
class Item:
    """A table or a figure.

    `kind` says how it is made; `panels` which spaces, scored on which images, it shows; `proxies` by which scores.
    """

    paper: str
    name: str
    title: str
    kind: str
    panels: Sequence[Panel]
    proxies: Sequence[str] = ("naswot",)

    @property
    def target(self) -> str:
        """What it is called on Snakemake's command line."""
        return f"{self.paper}_{self.name}"


PAPERS = {"icml2021": "ICML 2021", "arxiv2020": "arXiv 2020"}
# The category of the report that holds the pages of all verdicts (`papers.pages`); its first page links to it.
VERDICTS_CATEGORY = "All verdicts"
# What the papers are called in the table of published numbers.
SOURCES = {"icml2021": "mellor2021-icml", "arxiv2020": "mellor2020-arxiv-v1"}

_CIFAR10: Panel = ("nasbench201", "cifar10")
_NASBENCH201: list[Panel] = [(_CIFAR10[0], dataset) for dataset in ("cifar10", "cifar100", "imagenet16-120")]
_NDS: list[Panel] = [(f"nds-{name}", "cifar10") for name in ("amoeba", "darts", "enas", "nasnet", "pnas")]
_FIXED: list[Panel] = [(f"nds-{name}-fix-w-d", "cifar10") for name in ("darts", "enas", "pnas")]

ITEMS = [
    Item("icml2021", "table1", "Searches on NAS-Bench-101", "searches", [("nasbench101", "cifar10")]),
    Item("icml2021", "table2a", "Searches on NAS-Bench-201", "searches", [_CIFAR10]),
    Item(
        "icml2021",
        "table2b",
        "Searches on NATS-Bench SSS",
        "searches",
        [("nats-sss", dataset) for _, dataset in _NASBENCH201],
    ),
    Item("icml2021", "figure1", "Kernels of untrained networks by accuracy", "kernels", [_CIFAR10, _NDS[1]]),
    Item(
        "icml2021",
        "figure3",
        "Score against accuracy",
        "scatter",
        [*_NASBENCH201, ("nasbench101", "cifar10"), *_NDS, ("nds-darts-in", "imagenette2")],
    ),
    Item("icml2021", "figure4", "Scores compared on NDS", "bars", _NDS, ("naswot", "grad_norm", "synflow")),
    Item("icml2021", "figure5", "What changes the score", "ablation", [("nasbench201", "cifar100")]),
    Item("icml2021", "figure6", "The score during training", "training", [_CIFAR10]),
    Item("icml2021", "figure7", "Search time against accuracy", "time", [_CIFAR10]),
    Item(
        "icml2021",
        "figure9",
        "Score against accuracy on NATS-Bench SSS",
        "scatter",
        [("nats-sss", dataset) for _, dataset in _NASBENCH201],
    ),
    Item("icml2021", "figure10", "Score against accuracy, fixed width and depth", "scatter", _FIXED),
    Item("arxiv2020", "table1", "Searches on NAS-Bench-201", "searches", [_CIFAR10], ("jacobian",)),
    Item("arxiv2020", "figure1", "Correlations of local linear maps", "histograms", [_CIFAR10], ("jacobian",)),
    Item("arxiv2020", "figure3", "Score against accuracy", "scatter", _NASBENCH201, ("jacobian",)),
    Item("arxiv2020", "figure4", "What changes the score", "ablation", [_CIFAR10], ("jacobian",)),
    Item("arxiv2020", "figure5", "Networks of pytorchcv", "library", [("pytorchcv", "cifar10")], ("jacobian",)),
    Item("arxiv2020", "figure6", "Search time against accuracy", "time", [_CIFAR10], ("jacobian",)),
    Item("arxiv2020", "rank_claim", "The smallest network above 90 %", "claim", [_CIFAR10], ("jacobian",)),
]

# The download that has the whole ground truth of a space.
OFFICIAL = {"nasbench101": "nasbench101", "nasbench201": "nats-tss", "nats-sss": "nats-sss"}


def official(space: str) -> str:
    """The name, in sources.yaml, of the official file of a space's ground truth."""
    return OFFICIAL.get(space, "nds")
