"""Cells of the tables of accuracies that searches find.

Source: Mellor et al. (ICML 2021), tables 1, 2a and 2b; Mellor et al. (arXiv 2006.04647 version 1), table 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from scipy import stats

from naswot_ext.config import NETWORK_SEARCHES, method_key, split_title
from naswot_ext.errors import NaswotError, unknown
from naswot_ext.papers.cells import (
    DIFFERS,
    DIGITS,
    NOT_MEASURED,
    REPRODUCED,
    TOO_FEW,
    WITHIN,
    compared,
    frame,
    not_comparable,
    not_measured,
    standard_error,
)
from naswot_ext.papers.items import ITEMS, SOURCES
from naswot_ext.tables import accuracy_columns, method_of

TABLES = [(item.paper, item.name) for item in ITEMS if item.kind == "searches"]
QUANTITY = "accuracy_percent"
QUOTED = "the paper quotes NAS-Bench-201's own runs; config/weight_sharing.yaml runs these searches, days of a GPU"

ONE_INITIALISATION = "one initialisation, whose error is not in this: more seeds, as seeds: [0, 1, 2, 3, 4], add it"

# These draw all that they look at from the architectures that were scored, N a run.
_DRAW_FROM_POOL = ("naswot", "optimal", "random")

# How many architectures there are, to tell a part from the whole without importing torch.
_SIZES = {"nasbench101": 423_624, "nasbench201": 15_625, "nats-sss": 32_768}

Searches = Sequence[tuple[pd.DataFrame, Mapping[str, Any]]]
# {(method, data set): why}, where None stands for any; "NASWOT, N = 100" is the method with that N alone.
Missing = Mapping[tuple[str | None, str | None], str]


def search_cells(
    item: tuple[str, str],
    searches: Searches,
    published: pd.DataFrame,
    missing: Missing | None = None,
    official: str = "",
) -> pd.DataFrame:
    """A cell for every published number of a table, in the paper's order.

    Args:
        item: ("icml2021" or "arxiv2020", "table1", "table2a" or "table2b").
        searches: (one row a run, how it was made) of each search that was run: space, scored_on, algorithm, proxy and
            n_samples, and where there are any, variant, dataset, draw, by, `initialisations` (k of them: run r saw the
            networks of number r modulo k), and two of the caller's: `published`, the method that it stands beside, and
            `note`, in what it is unlike the paper's (say, its ground truth), so that its numbers are not comparable.
        published: the papers' numbers, all of published.csv.
        missing: why there is no search of a (method, data set). The most specific reason counts; of two that are as
            specific, the method's.
        official: the file that has the accuracies which the ground truth lacks, to name it.

    Table 2b searches on the data set that it reports, the other tables on CIFAR-10: a search that went by images or
    trainings of another data set is not that search. Where several are, one that looks up comes before one that builds
    networks, one that names what it stands beside before others, one without a variant before others, then one of more
    runs. All runs that found an architecture with that accuracy count.

    Optimal is another search for each column: on NAS-Bench-201 the published means are those of the best of N by the
    very accuracy that the column reports (of N = 100, CIFAR-100 validation: 71.44 so, 71.12 by that of CIFAR-10, and
    71.45 published). So a search by that accuracy (options `dataset` and `by`) comes before all others.

    The papers initialise networks anew in each run. Where all runs of a search by a score share one initialisation, its
    error is not known: a cell that differs says so.

    Raises NaswotError for a table that there is none of.
    """
    paper, table = item
    if (paper, table) not in TABLES:
        raise unknown("table of searches", f"{paper} {table}", [" ".join(known) for known in TABLES])
    rows = published[
        (published["source"] == SOURCES[paper]) & (published["table"] == table) & (published["measure"] == QUANTITY)
    ]
    if rows.empty:
        raise NaswotError(f"The published numbers have none of {paper} {table}. Use workflow/resources/published.csv.")
    return frame(_cell(paper, row, searches, published, missing or {}, official) for row in rows.itertuples())


def _cell(
    paper: str, row: Any, searches: Searches, published: pd.DataFrame, missing: Missing, official: str
) -> dict[str, Any]:
    searched_on = row.dataset if row.table == "table2b" else "cifar10"
    of_paper = {
        "paper": paper,
        "item": row.table,
        "space": row.space,
        "scored_on": searched_on,
        "method": row.method,
        "n_samples": None if pd.isna(row.n_samples) else int(row.n_samples),
        "dataset": row.dataset,
        "split": row.split,
        "quantity": QUANTITY,
        "published": row.mean,
        "published_std": row.std,
        "published_runs": row.runs,
        "published_seconds": row.search_seconds,
    }
    found = [search for search in searches if _is_of(search, row, searched_on)]
    if not found:
        return not_measured(_why_not(row, missing), **of_paper)
    runs, made_by = min(found, key=lambda search: _preference(search, row))
    hits = runs[runs["arch_index"] >= 0]
    column = f"{row.dataset}_{row.split}"
    # An accuracy that the ground truth has of no architecture is no column, or one of NaN.
    if column not in runs or (len(hits) and hits[column].isna().all()):
        reason = f"the ground truth of {row.space} has no {row.dataset} {split_title(row.split)} accuracy"
        reason += f": {official} has it" if official else ""
        return not_measured(_given(missing, row, methods=False) or reason, **of_paper)
    values = hits[column].dropna()
    if values.empty:
        return not_measured(f"none of {len(runs)} runs found an architecture", **of_paper)
    std = float(values.std(ddof=0))
    pool_share = _pool_share(made_by, row.space)
    shared = _error_of_initialisations(values, hits["run"], made_by)
    own = {"pool_share": pool_share, "at_least": shared}
    error = standard_error(std, len(values), row.std, row.runs, digits=DIGITS[QUANTITY], **own)
    remarks = [*_remarks(runs, values, made_by, row), *_of_paper(row, published)]
    found_here = compared(
        measured=float(values.mean()),
        measured_std=std,
        runs=len(values),
        standard_error=error,
        seconds=hits["seconds"].mean(),
        reason="; ".join(remarks),
        **of_paper,
    )
    if note := made_by.get("note"):
        return not_comparable(found_here, note)
    if found_here["verdict"] == DIFFERS and made_by.get("proxy") is not None and made_by.get("initialisations") == 1:
        found_here |= {"reason": "; ".join([ONE_INITIALISATION, *remarks])}
    if found_here["verdict"] == REPRODUCED and (why := _too_few(std, len(values), row, pool_share, shared, made_by)):
        found_here |= {"verdict": NOT_MEASURED, "reason": "; ".join([why, *remarks])}
    return found_here


def _error_of_initialisations(values: pd.Series, runs: pd.Series, made_by: Mapping[str, Any]) -> float:
    """The standard error of the mean that the initialisations make, which all runs share; 0 of one, which shows none.

    The papers initialise networks anew in every run. Runs that look up scores share those of k initialisations, so
    that theirs is the error of the mean of k independent means; the choice of the runs' architectures is in these, too.
    It is widened as Student's t with k - 1 degrees of freedom is, so that `WITHIN` of it hold what they hold of a
    normal distribution: a spread seen in three values may be far too small.
    """
    means = values.groupby(runs[values.index] % (made_by.get("initialisations") or 1)).mean()
    if len(means) < 2:
        return 0.0
    widened = float(stats.t.ppf(stats.norm.cdf(WITHIN), len(means) - 1)) / WITHIN
    return widened * float(means.std(ddof=1)) / math.sqrt(len(means))


def _too_few(std: float, runs: int, row: Any, pool_share: float, shared: float, made_by: Mapping[str, Any]) -> str:
    """Why a measured number cannot tell, though it lies within its error: that is larger than what single runs vary by.

    The error of our own number counts, not that of the published one, of which there may be three runs.
    """
    limit = max(std, 0.0 if pd.isna(row.std) else row.std) / WITHIN
    if not standard_error(std, runs, row.std, None, pool_share=pool_share, at_least=shared) > limit:
        return ""
    if shared > limit:
        return f"{TOO_FEW}: {made_by['initialisations']} initialisations"
    if not pool_share:
        return f"{TOO_FEW}: {runs} runs"
    drawn = made_by.get("n_samples") or 1
    return f"{TOO_FEW}: {drawn} of {made_by['draw']['architectures']} scored architectures a run"


def _of_paper(row: Any, published: pd.DataFrame) -> Iterable[str]:
    """What is odd about a published number."""
    same = published[(published["source"] == row.source) & (published["table"] == row.table)]
    same = same[(same["method"] == row.method) & (same["dataset"] == row.dataset) & (same["split"] == "valid")]
    same = same[same["n_samples"].isna() if pd.isna(row.n_samples) else same["n_samples"] == row.n_samples]
    # Networks that are tested were trained on twice the images of CIFAR-10 that validated ones were.
    if row.dataset == "cifar10" and row.split == "test" and (same["mean"] > row.mean).any():
        yield "the published test accuracy is below the validation accuracy beside it, unlike those of other rows"


def _is_of(search: tuple[pd.DataFrame, Mapping[str, Any]], row: Any, searched_on: str) -> bool:
    """Whether a search is the one that a published row is of."""
    table, made_by = search
    method = made_by.get("published") or method_of(made_by["algorithm"], made_by.get("proxy"))
    if made_by["space"] != row.space or method is None or method_key(method) != method_key(row.method):
        return False
    if not pd.isna(row.n_samples) and made_by.get("n_samples") != row.n_samples:
        return False
    if made_by["algorithm"] == "optimal" and _chosen_by(table, made_by) == (row.dataset, row.split):
        return True
    return searched_on in _searched_on(table, made_by, searched_on)


def _searched_on(table: pd.DataFrame, made_by: Mapping[str, Any], wanted: str) -> set[str]:
    """The data sets that a search went by; `wanted` where it went by none."""
    algorithm = made_by["algorithm"]
    if algorithm == "random":
        return {wanted}
    if algorithm == "optimal":
        return {_chosen_by(table, made_by)[0]}
    images = made_by.get("proxy") is not None or algorithm in NETWORK_SEARCHES
    if images and made_by["scored_on"] != wanted:
        return set()
    return {_dataset_of(table, made_by)}


def _dataset_of(table: pd.DataFrame, made_by: Mapping[str, Any]) -> str:
    """The data set whose accuracies a search goes by: that of its option, or the algorithms' own default."""
    known = sorted({dataset for dataset, _ in accuracy_columns(table)})
    scored_on = str(made_by["scored_on"])
    return made_by.get("dataset") or (known[0] if known and scored_on not in known else scored_on)


def _chosen_by(table: pd.DataFrame, made_by: Mapping[str, Any]) -> tuple[str, str]:
    """The data set and split of the accuracy that a search for the best accuracy goes by."""
    dataset, by = _dataset_of(table, made_by), made_by.get("by", "valid")
    if by == "either":
        by = "valid" if (dataset, "valid") in accuracy_columns(table) else "test"
    return dataset, by


def _preference(search: tuple[pd.DataFrame, Mapping[str, Any]], row: Any) -> tuple[bool, bool, bool, bool, int]:
    table, made_by = search
    optimal = made_by["algorithm"] == "optimal"
    by_another = optimal and _chosen_by(table, made_by) != (row.dataset, row.split)
    live = made_by["algorithm"] in NETWORK_SEARCHES
    return by_another, live, not made_by.get("published"), bool(made_by.get("variant")), -len(table)


def _pool_share(made_by: Mapping[str, Any], space: str) -> float:
    """The `pool_share` of `cells.standard_error`: how much of the architectures that were scored one run draws.

    Less where these are a good part of the space: when they are all of it, there was no choice of them.
    """
    scored = (made_by.get("draw") or {}).get("architectures", "all")
    if made_by["algorithm"] not in _DRAW_FROM_POOL or scored == "all":
        return 0.0
    samples = made_by.get("n_samples") or 1
    left_out = 1 - scored / _SIZES.get(space, math.inf)
    return min(1.0, scored if samples == "all" else samples / scored) * max(0.0, left_out)


def _remarks(runs: pd.DataFrame, values: pd.Series, made_by: Mapping[str, Any], row: Any) -> Iterable[str]:
    """What a reader must know of a measured number."""
    if len(values) < len(runs):
        yield f"{len(runs) - len(values)} of {len(runs)} runs found no architecture with an accuracy"
    if made_by["algorithm"] == "optimal":
        dataset, by = _chosen_by(runs, made_by)
        if (dataset, by) != (row.dataset, row.split):
            yield f"the best by {dataset} {split_title(by)} accuracy; the published is by the accuracy that it reports"
    scored = (made_by.get("draw") or {}).get("architectures", "all")
    if scored != "all" and (made_by.get("proxy") is not None or made_by["algorithm"] in _DRAW_FROM_POOL):
        yield f"among {scored} architectures"


def _why_not(row: Any, missing: Missing) -> str:
    if row.family == "weight-sharing":
        return _given(missing, row, datasets=False) or QUOTED
    return _given(missing, row) or "this search was not run"


def _given(missing: Missing, row: Any, methods: bool = True, datasets: bool = True) -> str | None:
    """The most specific reason that was given for a row: of its method and data set, of either, of none.

    Only reasons that name the method where `datasets` is False, and only ones that name the data set where `methods`
    is: a download that is missing is no reason for a search that needs days, nor one that was not run for one that was.
    """
    by_key = {(method and method_key(method), dataset): why for (method, dataset), why in missing.items()}
    named = [method_key(row.method)]
    if not pd.isna(row.n_samples):
        named.insert(0, method_key(f"{row.method}, N = {row.n_samples:.0f}"))
    keys: list[tuple[str | None, str | None]] = [(method, row.dataset) for method in named]
    keys += [(method, None) for method in named if methods]
    keys += [(None, row.dataset)] * datasets
    keys += [(None, None)] * (methods and datasets)
    return next((by_key[key] for key in keys if key in by_key), None)
