"""Cells of the ten panels of score against accuracy: Kendall's tau of the score of 2021.

Source: Mellor et al. (ICML 2021), figure 3. Its code takes tau of the first 1,000 networks that are not among the
least accurate (below 15 %, on NAS-Bench-101 below 50 %), which is `kendall_filtered` of correlations.csv.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from scipy import stats

from naswot_ext.papers.cells import (
    DIGITS,
    NOT_MEASURED,
    REPRODUCED,
    TOO_FEW,
    compared,
    frame,
    not_comparable,
    not_measured,
)
from naswot_ext.papers.items import SOURCES

QUANTITY = "kendall_tau"
NETWORKS = 1000  # in a panel of the paper
# Three of a larger error would not tell most published taus from each other: they lie between 0.22 and 0.61.
TOO_WIDE = 0.05

Missing = Mapping[tuple[str | None, str | None], str]


def tau_cells(
    correlations: pd.DataFrame,
    published: pd.DataFrame,
    missing: Missing | None = None,
    notes: Mapping[str, str] | None = None,
    *,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """A cell for each panel that has a published tau, in the paper's order.

    Args:
        correlations: rows of correlations.csv (`tables.CORRELATION_COLUMNS`), of any spaces and proxies.
        published: the papers' numbers, all of published.csv.
        missing: why there is none of a (space, data set), where None stands for any; the most specific reason counts.
        notes: in what a space's panel is unlike the paper's (say, its ground truth), so that its tau is not comparable.
        confidence: of the intervals, as the config's statistics.confidence.

    The paper scores images of the data set that it correlates with. Its axis says validation, its code reads test
    accuracies: so test, or validation where the ground truth has nothing else. The standard error of a measured tau is
    the half width of its interval over the normal quantile of the confidence; that of the published tau, of which no
    spread is printed, is the measured one scaled from n networks to 1,000, by sqrt(n / 1000). A tau that would be
    reproduced, but whose error is larger than `TOO_WIDE`, is not measured.
    """
    rows = published[
        (published["source"] == SOURCES["icml2021"])
        & (published["table"] == "figure3")
        & (published["measure"] == QUANTITY)
    ]
    quantile = float(stats.norm.ppf(0.5 + confidence / 2))
    return frame(_cell(row, correlations, missing or {}, notes or {}, quantile) for row in rows.itertuples())


def _cell(
    row: Any, correlations: pd.DataFrame, missing: Missing, notes: Mapping[str, str], quantile: float
) -> dict[str, Any]:
    of_paper = {
        "paper": "icml2021",
        "item": "figure3",
        "space": row.space,
        "scored_on": row.dataset,
        "method": row.method,
        "dataset": row.dataset,
        "quantity": QUANTITY,
        "published": row.mean,
    }
    measured = _measured(correlations, row)
    if measured is None:
        keys = [(row.space, row.dataset), (row.space, None), (None, row.dataset), (None, None)]
        reason = next((missing[key] for key in keys if key in missing), "this panel was not scored")
        return not_measured(reason, **of_paper)
    of_paper["split"] = measured.split
    tau, n = measured.kendall_filtered, int(measured.filtered_architectures)
    if math.isnan(tau):
        return not_measured(f"tau is undefined for the {n} networks that were scored", **of_paper)
    own = (measured.kendall_filtered_high - measured.kendall_filtered_low) / 2 / quantile
    variance = own**2 * (1 + n / NETWORKS) + 10.0 ** (-2 * DIGITS[QUANTITY]) / 12
    remarks = [*_remarks(measured, n), *_by_validation(correlations, measured)]
    found = compared(
        measured=tau,
        # An interval of no width is of too few networks to tell an error.
        standard_error=math.sqrt(variance) if own > 0 else math.nan,
        reason="; ".join(remarks),
        **of_paper,
    )
    if note := notes.get(row.space):
        return not_comparable(found, note)
    if found["verdict"] == REPRODUCED and own > TOO_WIDE:
        found |= {"verdict": NOT_MEASURED, "reason": "; ".join([TOO_FEW, *remarks])}
    return found


def _measured(correlations: pd.DataFrame, row: Any) -> Any:
    """The row of correlations.csv that a panel is beside, or None."""
    # Networks of ImageNet are scored on Imagenette2, and correlated with their accuracy on ImageNet.
    accuracy_of = "imagenet" if row.dataset == "imagenette2" else row.dataset
    panel = correlations[
        (correlations["space"] == row.space)
        & (correlations["scored_on"] == row.dataset)
        & (correlations["dataset"] == accuracy_of)
        & (correlations["proxy"] == row.method.casefold())
    ]
    for split in ("test", "valid"):
        found = list(panel[panel["split"] == split].itertuples())
        if found:
            return found[0]
    return None


def _by_validation(correlations: pd.DataFrame, measured: Any) -> Iterable[str]:
    """The tau with the accuracy that the figure's axis names, where its code reads the other."""
    keys = ("space", "scored_on", "dataset", "proxy")
    same = pd.concat([correlations[key] == getattr(measured, key) for key in keys], axis=1).all(axis=1)
    for row in correlations[same & (correlations["split"] == "valid")].itertuples() if measured.split == "test" else ():
        yield f"with validation accuracy {row.kendall_filtered:.3f}"


def _remarks(measured: Any, n: int) -> Iterable[str]:
    yield f"{n} networks"
    if measured.split != "test":
        yield "with validation accuracy, as the ground truth has no test accuracy"
    if math.isnan(measured.kendall_filtered_low):
        yield "no interval: too few networks"
