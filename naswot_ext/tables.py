"""The two result tables: what searches found and how scores rank architectures, measured beside published.

Rows are computed file by file (`correlation_rows`, `search_rows`), so that the costly part can be a job of its
own for each proxy, and joined by `write_correlations` and `write_searches` into CSV for programs and Markdown
for people.

A published number stands beside a measured one where space, score, search and data set are the same; the batch and the
images are the user's choice. See `published_tau` and `published_accuracy`.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from naswot_ext.config import NETWORK_SEARCHES, method_key, method_of
from naswot_ext.errors import NaswotError, unknown
from naswot_ext.files import atomic_path
from naswot_ext.statistics import MEASURES, TOP, correlate, pair
from naswot_ext.truth import SPLITS, final_accuracies

log = logging.getLogger(__name__)

_FURTHER = [name for name in MEASURES if name not in ("kendall", "spearman")]
CORRELATION_COLUMNS = [
    "space",
    "scored_on",
    "proxy",
    "dataset",
    "split",
    "architectures",
    "singular",
    "failed",
    "kendall",
    "kendall_low",
    "kendall_high",
    "spearman",
    "spearman_low",
    "spearman_high",
    "published_kendall",
    *(f"{name}{end}" for name in _FURTHER for end in ("", "_low", "_high")),
    "filtered_architectures",
]
SEARCH_COLUMNS = [
    "space",
    "scored_on",
    "proxy",
    "algorithm",
    "n_samples",
    "runs",
    "dataset",
    "split",
    "mean",
    "std",
    "search_seconds",
    "published_mean",
    "published_std",
    "published_source",
]
PUBLISHED_COLUMNS = [
    "source",
    "table",
    "space",
    "method",
    "n_samples",
    "dataset",
    "split",
    "measure",
    "mean",
    "std",
]

QUOTED = "quoted: not run here"

_FORMATS = {
    **dict.fromkeys(("n_samples", "runs", "architectures", "singular", "failed"), "{:.0f}"),
    # More than people read, so that rounding these for them gives what rounding the numbers themselves would.
    **dict.fromkeys(("kendall", "kendall_low", "kendall_high"), "{:.6f}"),
    **dict.fromkeys(("spearman", "spearman_low", "spearman_high", "mean", "std"), "{:.6f}"),
    **dict.fromkeys((f"{name}{end}" for name in _FURTHER for end in ("", "_low", "_high")), "{:.6f}"),
    "filtered_architectures": "{:.0f}",
    **dict.fromkeys(("published_kendall", "published_mean", "published_std"), "{:g}"),
    "search_seconds": "{:.3f}",
}
_NDS = ("Amoeba", "DARTS", "ENAS", "NASNet", "PNAS", "ResNet", "ResNeXt-A", "ResNeXt-B", "Vanilla")
_TITLES = {
    "nasbench101": "NAS-Bench-101",
    "nasbench201": "NAS-Bench-201",
    "nats-sss": "NATS-Bench SSS",
    **{f"nds-{name.lower()}": f"NDS {name}" for name in _NDS},
    **{f"nds-{name.lower()}-fix-w-d": f"NDS {name}, fixed size" for name in _NDS},
    **{f"nds-{name.lower()}-in": f"NDS {name} (ImageNet)" for name in _NDS},
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet": "ImageNet",
    "imagenet16-120": "ImageNet16-120",
    "imagenette2": "Imagenette2",
    "gaussian": "standard-normal images",
    "naswot": "NASWOT",
    "naswot_live": "NASWOT live",
    **{name.casefold().replace("-", "_"): name for name in ("RS", "REA", "AREA", "REINFORCE", "BOHB", "NASI")},
    **{name.casefold().replace("-", "_"): name for name in ("RSPS", "DARTS-V1", "DARTS-V2", "GDAS", "SETN", "ENAS")},
}

_PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ font: 14px sans-serif; margin: 1em; }} table {{ border-collapse: collapse; }}
th, td {{ border: 1px solid #ccc; padding: 0.3em 0.6em; text-align: right; }} th {{ background: #eee; }}
</style>{table}
"""


def title(name: str) -> str:
    """A space's, data set's or proxy's name as papers print it."""
    return _TITLES.get(name, name)


def search_label(algorithm: str, proxy: str | None, n_samples: int | str | None) -> str:
    """What people call a search: "NASWOT, N = 10", "random", "NASI (4T)", "naswot over params, N = 10"."""
    kind, _, variant = algorithm.partition("@")
    by_another = proxy not in (None, "naswot")
    # With another score it is not what the paper calls NASWOT.
    name = kind if kind == "naswot" and by_another else title(kind)
    name += f" ({variant})" * bool(variant) + f" over {proxy}" * by_another
    return name if n_samples is None else f"{name}, N = {n_samples}"


def row_label(row: Any) -> str:
    """`search_label` of a row (named tuple) of searches.csv, where an empty cell is None or NaN."""
    proxy = None if pd.isna(row.proxy) else row.proxy
    n_samples = None if pd.isna(row.n_samples) else row.n_samples
    # Beside empty cells, pandas reads whole numbers as floats; beside "all", as text.
    return search_label(row.algorithm, proxy, int(n_samples) if isinstance(n_samples, float) else n_samples)


def read_published(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The papers' numbers, one a row; raises NaswotError where the file or a column is missing."""
    if not Path(path).is_file():
        raise NaswotError(f"No such file: {path}. The published numbers are workflow/resources/published.csv.")
    published = pd.read_csv(path)
    missing = [column for column in PUBLISHED_COLUMNS if column not in published]
    if missing:
        raise NaswotError(f"{path} has no column {', '.join(missing)}; needed: {', '.join(PUBLISHED_COLUMNS)}.")
    return published


def correlation_rows(
    scores: Sequence[pd.DataFrame],
    truth: pd.DataFrame,
    published: pd.DataFrame,
    *,
    space: str,
    scored_on: str,
    proxy: str,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    filter_below: float = 15.0,
    keep: int = 1000,
) -> pd.DataFrame:
    """The rows of correlations.csv of one proxy: one a data set and split that the ground truth has.

    `scores` are the score tables of one (space, data set, proxy), one an initialisation seed; how seeds,
    singular and failed architectures count is in `naswot_ext.statistics`. An undefined correlation is an empty
    cell; the log says why.
    """
    rows = []
    for (dataset, split), accuracy in final_accuracies(truth).items():
        paired = pair(scores, accuracy, _params(truth, dataset))
        found = correlate(paired, bootstrap, confidence, seed, filter_below, keep)
        where = f"{space}, {proxy} on {scored_on}, {dataset} {split}"
        if found.note:
            log.warning("%s: correlation %s", where, found.note)
        for name, reason in found.reasons.items():
            log.info("%s: %s %s", where, name, reason)
        if paired.unknown:
            log.warning("%s: %d architectures without an accuracy left out", where, paired.unknown)
        rows.append(
            {
                "space": space,
                "scored_on": scored_on,
                "proxy": proxy,
                "dataset": dataset,
                "split": split,
                "architectures": len(paired.accuracy),
                "singular": paired.singular,
                "failed": paired.failed,
                "kendall": found.kendall.value,
                "kendall_low": found.kendall.low,
                "kendall_high": found.kendall.high,
                "spearman": found.spearman.value,
                "spearman_low": found.spearman.low,
                "spearman_high": found.spearman.high,
                "published_kendall": published_tau(published, space, scored_on, proxy, dataset, split),
                "filtered_architectures": found.filtered,
            }
            | {
                f"{name}{end}": value
                for name in _FURTHER
                for end, value in zip(("", "_low", "_high"), astuple(found.estimates[name]), strict=True)
            }
        )
    return pd.DataFrame(rows, columns=CORRELATION_COLUMNS)


def _params(truth: pd.DataFrame, dataset: str) -> pd.Series | None:
    """The parameters of the networks for a data set (its classes count), by `arch_index`; None where there are none."""
    if "params" not in truth:
        return None
    return truth[truth["dataset"] == dataset].drop_duplicates("arch_index").set_index("arch_index")["params"]


def published_tau(published: pd.DataFrame, space: str, scored_on: str, proxy: str, dataset: str, split: str) -> float:
    """The published Kendall tau of a proxy, or NaN.

    From Mellor et al. (ICML 2021, Figure 3) where they have one, else from Lee and Ham (AZ-NAS, CVPR 2024). Figure
    3's rows name no split: its axis says validation, its code reads test accuracies, so they go to test. Its scores
    are of images of the data set that they are correlated with, so they have no counterpart among scores of another
    of its data sets; scores of standard-normal images are set beside all.
    """
    taus = published[(published["measure"] == "kendall_tau") & (published["space"] == space)]
    taus = taus[(taus["method"].str.casefold() == proxy.casefold()) & (taus["split"].fillna("test") == split)]
    # The paper calls its panel by the images that were scored, which stand in for those of the training.
    dataset = "imagenette2" if dataset == "imagenet" else dataset
    figure3 = taus[taus["source"] == "mellor2021-icml"]
    if dataset in set(figure3["dataset"]):
        if scored_on != dataset and scored_on in set(figure3["dataset"]):
            return math.nan
        taus = figure3
    else:
        taus = taus[taus["source"] == "lee2024-aznas"]
    match = taus.loc[taus["dataset"] == dataset, "mean"]
    return float(match.iloc[0]) if len(match) else math.nan


def search_rows(
    table: pd.DataFrame, made_by: Mapping[str, Any], published: pd.DataFrame, beside: str | None = None
) -> pd.DataFrame:
    """The rows of searches.csv of one search: one a data set and split with an accuracy.

    `table` has one row a run; `made_by` is its provenance with `space`, `scored_on`, `algorithm`, `proxy` and
    `n_samples` (the last two may be None, `n_samples` "all"); `beside` is the published method that it stands beside,
    by default the one of its own name. The standard deviation is the population's (ddof 0), as the reference code's is.
    A run that found no architecture (`arch_index` below 0) is left out of all cells, `runs` counts the others, and
    `search_seconds` is their mean (empty where seconds were not recorded).
    """
    facts = {key: made_by[key] for key in ("space", "scored_on", "proxy", "algorithm", "n_samples")}
    method = beside or method_of(facts["algorithm"], facts["proxy"])
    if made_by.get("variant"):
        facts["algorithm"] += f"@{made_by['variant']}"
    where = f"{facts['space']}, {search_label(facts['algorithm'], facts['proxy'], facts['n_samples'])}"
    found = table[table["arch_index"] >= 0]
    if len(found) < len(table):
        log.warning("%s: %d of %d runs found no architecture", where, len(table) - len(found), len(table))
    rows = []
    for dataset, split in accuracy_columns(table):
        values = found[f"{dataset}_{split}"].dropna()
        if len(values) < len(found):
            log.warning("%s: %d runs without %s %s accuracy", where, len(found) - len(values), dataset, split)
        looks_at_images = facts["proxy"] is not None or made_by["algorithm"] in NETWORK_SEARCHES
        mean, std, source = published_accuracy(
            published,
            facts["space"],
            method,
            facts["n_samples"],
            dataset,
            split,
            scored_on=facts["scored_on"] if looks_at_images else None,
        )
        if source and made_by.get("by", "valid") != "valid":
            source += " (chosen by validation accuracy)"
        rows.append(
            facts
            | {
                "runs": len(values),
                "dataset": dataset,
                "split": split,
                "mean": values.mean(),
                "std": values.std(ddof=0),
                "search_seconds": found["seconds"].mean(),
                "published_mean": mean,
                "published_std": std,
                "published_source": source,
            }
        )
    return pd.DataFrame(rows, columns=SEARCH_COLUMNS)


def quoted_rows(
    published: pd.DataFrame, methods: Sequence[str], like: pd.DataFrame, space: str, scored_on: str
) -> pd.DataFrame:
    """Published rows of methods that were not run, for the data sets and splits of the rows `like`, marked as quoted.

    Raises NaswotError for a method that has no published accuracy at all.
    """
    accuracies = published[published["measure"] == "accuracy_percent"]
    rows = []
    for method in methods:
        if method_key(method) not in set(accuracies["method"].map(method_key)):
            raise unknown("published method", method, sorted(set(accuracies["method"])))
        for dataset, split in like[["dataset", "split"]].drop_duplicates().itertuples(index=False):
            mean, std, source = published_accuracy(published, space, method, None, dataset, split, scored_on=scored_on)
            if source:
                quoted = {"published_mean": mean, "published_std": std, "published_source": f"{source}, {QUOTED}"}
                place = {"space": space, "scored_on": scored_on, "algorithm": method, "dataset": dataset}
                rows.append(place | quoted | {"split": split, "runs": 0})
    return pd.DataFrame(rows, columns=SEARCH_COLUMNS)


def accuracy_columns(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The (data set, split) pairs that the columns of a search table, "{data set}_{split}", are of."""
    pairs = (str(column).rpartition("_")[::2] for column in table.columns)
    return [(dataset, split) for dataset, split in pairs if split in SPLITS]


def published_accuracy(
    published: pd.DataFrame,
    space: str,
    method: str | None,
    n_samples: int | None,
    dataset: str,
    split: str,
    *,
    scored_on: str | None,
) -> tuple[float, float, str]:
    """The published mean, standard deviation and source of a method, or (NaN, NaN, "").

    From Mellor et al. (ICML 2021) where it has the method, else from whoever has. `scored_on` are the images that the
    search looked at, None for one that looks at none. Table 2a of that paper searches on CIFAR-10 and table 2b on the
    data set it reports, so a search that looked at another of these data sets has no counterpart; one that looked at
    neither (standard-normal images) is set beside both.
    """
    if method is None:
        return math.nan, math.nan, ""
    of_space = published[(published["measure"] == "accuracy_percent") & (published["space"] == space)]
    numbers = of_space["n_samples"]
    rows = of_space[
        (of_space["method"].map(method_key) == method_key(method))
        & (numbers.isna() | (numbers == n_samples))
        & (of_space["dataset"] == dataset)
        & (of_space["split"] == split)
    ]
    by_paper = rows[rows["source"] == "mellor2021-icml"]
    rows = rows if by_paper.empty else by_paper
    if scored_on in set(of_space["dataset"]):
        searched_on = rows["dataset"].where(rows["table"] == "table2b", "cifar10")
        rows = rows[searched_on == scored_on]
    if rows.empty:
        return math.nan, math.nan, ""
    row = rows.iloc[0]
    return float(row["mean"]), float(row["std"]), f"{row['source']} {row['table']}"


def write_correlations(
    rows: Iterable[pd.DataFrame], csv: str | os.PathLike[str], markdown: str | os.PathLike[str]
) -> None:
    """Join the rows of the proxies, in the order given, into correlations.csv and its twin for people."""
    table = pd.concat(list(rows), ignore_index=True)[CORRELATION_COLUMNS]
    write_csv(table, csv)
    lines = [
        "# Rank correlation of score and accuracy",
        "",
        "Kendall's tau-b and Spearman's rho with bootstrap intervals over architectures. Singular architectures "
        "count as the worst rank; failed ones are left out. Empty: undefined (fewer than 3 architectures, or all "
        "values equal). Published: Mellor et al. 2021 (Figure 3, test), else Lee and Ham 2024.",
        "",
        "Each second table holds further measures of the same rankings; their intervals are in the CSV file. Weighted "
        "tau and nDCG: the most accurate count most. Regret of k: percentage points between the best accuracy and the "
        "best among the k of the highest score. Filtered tau: as the reference code plots it, without the least "
        "accurate architectures, so not to be compared with tau. Partial: given the number of parameters.",
    ]
    for (space, scored_on), part in groups(table, "space", "scored_on"):
        body = [
            [
                title(row.proxy),
                f"{title(row.dataset)} {row.split}",
                interval(row.kendall, row.kendall_low, row.kendall_high),
                cell(row.published_kendall, "{:g}"),
                interval(row.spearman, row.spearman_low, row.spearman_high),
                *map(str, (row.architectures, row.singular, row.failed)),
            ]
            for row in part
        ]
        head = ["Proxy", "Accuracy", "Kendall tau", "Published", "Spearman rho", "Architectures", "Singular"]
        lines += section(f"{title(space)}, scored on {title(scored_on)}", [*head, "Failed"], body)
        body = [
            [
                title(row.proxy),
                f"{title(row.dataset)} {row.split}",
                *(cell(getattr(row, name), "{:.3f}") for name in ("weighted_tau", "ndcg", "ndcg_100")),
                *(cell(getattr(row, f"regret_{k}"), "{:.2f}") for k in TOP),
                cell(row.kendall_filtered, f"{{:.3f}} (n = {row.filtered_architectures})"),
                *(cell(getattr(row, f"partial_{name}"), "{:.3f}") for name in ("kendall", "spearman", "pearson")),
            ]
            for row in part
        ]
        head = ["Proxy", "Accuracy", "Weighted tau", "nDCG", "nDCG at 100", *(f"Regret of {k}" for k in TOP)]
        head += ["Filtered tau", "Partial tau", "Partial rho", "Partial r"]
        lines += ["", *_grid(head, body)]
    write_text("\n".join(lines) + "\n", markdown)


def write_searches(rows: Iterable[pd.DataFrame], csv: str | os.PathLike[str], markdown: str | os.PathLike[str]) -> None:
    """Join the rows of the searches, in the order given, into searches.csv and its twin for people."""
    # Nothing that is quoted is no rows, whose columns have no types.
    table = pd.concat([part for part in rows if len(part)], ignore_index=True)[SEARCH_COLUMNS]
    write_csv(table, csv)
    lines = [
        "# Accuracy of the architectures that searches find",
        "",
        "Percent, mean ± standard deviation over the runs that found an architecture with that accuracy. Seconds: mean "
        "cost of one run. Of a search that looks up scores it is the time that scoring its architectures took; of one "
        "with a budget, the simulated training; of one that builds networks, the time that it took here. Published: "
        "the source's number, where the search is the same.",
    ]
    for (space, scored_on), part in groups(table, "space", "scored_on"):
        body = [
            [
                row_label(row),
                f"{title(row.dataset)} {row.split}",
                spread(row.mean, row.std),
                spread(row.published_mean, row.published_std),
                row.published_source,
                str(row.runs) if row.runs else "",
                cell(row.search_seconds, "{:.2f}"),
            ]
            for row in part
        ]
        head = ["Search", "Accuracy", "Measured", "Published", "Source", "Runs", "Seconds"]
        lines += section(f"{title(space)}, scored on {title(scored_on)}", head, body)
    write_text("\n".join(lines) + "\n", markdown)


def write_html(csv: str | os.PathLike[str], html: str | os.PathLike[str]) -> None:
    """Write a CSV table as a page to read, since Snakemake's report shows pages but only hands out CSV files."""
    table = pd.read_csv(csv, dtype=str, keep_default_na=False)
    write_text(_PAGE.format(table=table.to_html(index=False, border=0)), html)


def interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """A statistic with its interval, "0.574 [0.551, 0.602]"; without it where there is none; empty where undefined."""
    if math.isnan(value):
        return ""
    text = f"{value:.{digits}f}"
    return text if math.isnan(low) else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def spread(mean: float, std: float) -> str:
    """A mean with its standard deviation, "92.44 ± 1.13"; empty where there is none."""
    return "" if math.isnan(mean) else f"{mean:.2f} ± {std:.2f}"


def groups(table: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, list[Any]]]:
    """The values of `columns` and the rows, as named tuples, of each group in the order of the table."""
    for names, part in table.groupby(list(columns), sort=False):
        yield names, list(part.itertuples())


def cell(value: Any, form: str) -> str:
    """A formatted value, or an empty cell where there is none; text, such as an N of "all", is itself."""
    return "" if pd.isna(value) else value if isinstance(value, str) else form.format(value)


def write_csv(
    table: pd.DataFrame, path: str | os.PathLike[str], formats: Mapping[str, str] = MappingProxyType(_FORMATS)
) -> None:
    """Write a table, every number with the decimals of its column, so that equal results are equal bytes."""
    text = {column: [cell(value, formats.get(column, "{}")) for value in table[column]] for column in table.columns}
    write_text(pd.DataFrame(text, columns=table.columns).to_csv(index=False, lineterminator="\n"), path)


def section(heading: str, head: list[str], body: list[list[str]]) -> list[str]:
    """The lines of a Markdown section that holds one table."""
    return ["", f"## {heading}", "", *_grid(head, body)]


def _grid(head: list[str], body: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)]


def write_text(text: str, path: str | os.PathLike[str]) -> None:
    """Write a text file at once or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
