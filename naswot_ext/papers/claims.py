"""Claims in the text of the 2020 paper that are numbers.

Source: Mellor et al., arXiv 2006.04647 version 1, section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from naswot_ext.experiments.notes import PUBLISHED
from naswot_ext.papers.cells import (
    DIFFERS,
    NOT_MEASURED,
    REPRODUCED,
    TOO_FEW,
    WITHIN,
    cell,
    compared,
    frame,
    not_comparable,
    not_measured,
    told,
)
from naswot_ext.papers.smallest import THRESHOLD, smallest_and_params

RANK_BY_SCORE, RANK_BY_PARAMS = 667, 8597
IMAGES: int = PUBLISHED["arxiv2020"]["images"]  # that a network is scored on
SIGNIFICANT = 0.05

_RANK = {
    "paper": "arxiv2020",
    "item": "rank_claim",
    "space": "nasbench201",
    "dataset": "cifar10",
    "split": "valid",
    "quantity": "rank",
}


def rank_claim(
    scores: Sequence[tuple[pd.DataFrame, pd.DataFrame]],
    truth: pd.DataFrame,
    scored_on: str = "cifar10",
    official: str = "",
    *,
    images: int = IMAGES,
    remark: str = "",
) -> pd.DataFrame:
    """Two cells: the ranks of the smallest network above 90 % CIFAR-10 validation accuracy, by score and by parameters.

    "The smallest network that attains a CIFAR-10 validation accuracy over 90% is ranked 667th best (of 15625) by our
    score and 8597th best by number of parameters." `scores` are, for each seed, the score tables of networks drawn at
    random (or of all) and of the smallest networks, which may be among the drawn ones; `truth` is the ground truth of
    NAS-Bench-201, `official` the file that has what it lacks. Rank 1 is the highest score, and the most parameters.
    With a `remark`, in what the ground truth is unlike the paper's, neither rank is comparable; with another number of
    `images` a network than the paper's, that by score is not. Which images these are, flipped or not, is no such
    reason: by the paper's figure 4, they change its score little.

    On NAS-Bench-201 many networks have equally many parameters, and several of these are above 90 %: the paper does
    not say which of them it took, nor how it ordered equals. So a rank by parameters is the mean of the places that
    equals share, and its error the standard deviation of one of these places, drawn at random. The rank by score is the
    mean of those of all these networks that were scored, and the spread is theirs. The published rank is of one of
    them, so the error of the difference has this spread, too, and the verdict is by this error as that of any cell.

    A network is ranked among the drawn ones alone, as the other smallest are no random part of the space: where k of
    the n others that were drawn are better, its rank among the N of the space is 1 + (N - 1) k / n, with the standard
    error (N - 1) sqrt(p (1 - p) / n) of k / n, p, times sqrt((N - 1 - n) / (N - 2)), as drawing was without
    replacement: 0 where all were scored. A singular score is the worst; equal scores share the mean of their places; a
    failed network is left out.
    """
    by_score, by_params = _of_claim(scored_on)
    smallest, params, why = smallest_and_params(truth)
    if why:
        return no_rank_claim(f"{why}: {official} has it" if official else why, scored_on)
    ranks = [_by_score(scores, smallest, params.index, by_score), _by_params(smallest, params, by_params)]
    unlike = [f"{images} images a network, the paper {IMAGES}" * (images != IMAGES), ""]
    reasons = ["; ".join(filter(None, (remark, why))) for why in unlike]
    return frame(
        not_comparable(rank, why) if why and rank["measured"] is not None else rank
        for rank, why in zip(ranks, reasons, strict=True)
    )


def no_rank_claim(reason: str, scored_on: str = "cifar10") -> pd.DataFrame:
    """The two cells of `rank_claim` where there is nothing to rank."""
    return frame([not_measured(reason, **of_paper) for of_paper in _of_claim(scored_on)])


def _of_claim(scored_on: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the two cells have of the paper: by score, by parameters."""
    by_score = {**_RANK, "method": "NASWOT-Jacobian", "scored_on": scored_on, "published": RANK_BY_SCORE}
    return by_score, {**_RANK, "method": "params", "published": RANK_BY_PARAMS}


def _by_params(smallest: NDArray[np.int64], params: pd.Series, of_paper: dict[str, Any]) -> dict[str, Any]:
    size = params[smallest[0]]
    larger, equal = int((params > size).sum()), int((params == size).sum())
    # The places are larger + 1, ..., larger + equal.
    variance = (equal**2 - 1) / 12
    reason = f"{len(params)} networks with an accuracy, {equal} of them with {size:.0f} parameters, {_named(smallest)}"
    return compared(
        measured=larger + (equal + 1) / 2,
        measured_std=math.sqrt(variance),
        runs=1,
        standard_error=math.sqrt(variance),
        reason=f"{reason}; equals share places {larger + 1} to {larger + equal}",
        **of_paper,
    )


def _by_score(
    scores: Sequence[tuple[pd.DataFrame, pd.DataFrame]],
    smallest: NDArray[np.int64],
    known: pd.Index,
    of_paper: dict[str, Any],
) -> dict[str, Any]:
    ranks: list[float] = []
    errors: list[float] = []
    drawn, total = 0, len(known)
    for sample, claimed in scores:
        values, own = _values(sample), _values(claimed)
        values = values[values.index.isin(known)]
        for index in smallest[np.isin(smallest, own.index)]:
            others = values.drop(index, errors="ignore").to_numpy(float)
            if len(others):
                rank, error = _rank(float(own[index]), others, total)
                ranks.append(rank)
                errors.append(error)
                drawn = max(drawn, len(others))
    if not ranks:
        return not_measured(f"no scores of {_named(smallest)}, or none of others to rank them among", **of_paper)
    spread, error = float(np.std(ranks)), float(np.mean(errors))
    # The published rank is one of such; the mean of ours has the error that ranking among a part of the space has,
    # which is common to all of them.
    variance = spread**2 * (1 + 1 / len(ranks)) + error**2
    among = f"all {total - 1}" if drawn == total - 1 else f"{drawn} of {total - 1}"
    if len(ranks) > 1:
        better = sum(rank <= RANK_BY_SCORE for rank in ranks)
        spread_is = f"places {min(ranks):.0f} to {max(ranks):.0f}, {better} of them {RANK_BY_SCORE} or better"
    else:
        spread_is = "its spread is not known: score more seeds"
    reason = f"{len(ranks)} rank{'s' * (len(ranks) > 1)} of {_named(smallest)}, each among {among} others; {spread_is}"
    found = compared(
        measured=float(np.mean(ranks)),
        measured_std=spread,
        runs=len(ranks),
        standard_error=math.sqrt(variance) if variance else math.nan,
        reason=reason,
        **of_paper,
    )
    # An error so large that a rank of 667 could hardly be told from the first, nor the ranks from each other.
    if found["verdict"] == REPRODUCED and error > max(spread, RANK_BY_SCORE) / WITHIN:
        found |= {"verdict": NOT_MEASURED, "reason": f"{TOO_FEW}: {drawn} of {total - 1} others; {reason}"}
    return found


def _values(table: pd.DataFrame) -> pd.Series:
    """The scores of a table's networks by their number, without failed ones."""
    return table[table["status"] != "failed"].set_index("arch_index")["score"].fillna(-np.inf)


def _rank(own: float, others: NDArray[np.float64], of: int) -> tuple[float, float]:
    """The rank of a score among `of` networks, `others` being those of some of the `of` - 1 others, and its error."""
    n, rest = len(others), of - 1
    share = float(((others > own).sum() + 0.5 * (others == own).sum()) / n)
    # As if one more were better and one more worse, so that a few without a better one are not taken for certainty.
    smoothed = (share * n + 1) / (n + 2)
    left_out = (rest - n) / max(1, rest - 1)
    return 1 + share * rest, rest * math.sqrt(smoothed * (1 - smoothed) / n * left_out)


def _named(smallest: NDArray[np.int64]) -> str:
    first = f"number {smallest[0]}"
    others = len(smallest) - 1
    return f"the smallest above {THRESHOLD:g} % ({first}{f' and {others} as small' if others else ''})"


@dataclass(frozen=True)
class Association:
    """Least squares of accuracy on the mean score and the parameters of n networks.

    `slope` is percentage points a unit of score at equal parameters, with its standard error; `t` and the two-sided
    `p` test it against 0 with n - 3 degrees of freedom. All NaN where `why` says that there is none.
    """

    n: int
    slope: float = math.nan
    slope_error: float = math.nan
    t: float = math.nan
    p: float = math.nan
    why: str = ""


def mean_scores(table: pd.DataFrame, proxy: str = "jacobian") -> pd.DataFrame:
    """network, accuracy, params, score (mean of the initialisations) and initialisations, a row a network.

    A network with a failed or singular initialisation is left out: its mean is not a number.
    """
    rows = table[table["proxy"] == proxy]
    usable = (rows["status"] == "ok") & np.isfinite(rows["score"])
    rows = rows[usable.groupby(rows["network"]).transform("all")]
    found = rows.groupby("network", sort=False).agg(
        accuracy=("accuracy", "first"),
        params=("params", "first"),
        score=("score", "mean"),
        initialisations=("score", "size"),
    )
    return found.reset_index()


def associate(networks: pd.DataFrame, log_params: bool = False) -> Association:
    """Test whether accuracy goes with the score at equal parameters, of the networks of `mean_scores`."""
    n = len(networks)
    if n < 4:
        return Association(n, why=f"{n} networks, at least 4 are needed to test an association")
    params = networks["params"].to_numpy(float)
    covariates = np.column_stack([networks["score"].to_numpy(float), np.log(params) if log_params else params])
    centred = covariates - covariates.mean(0)
    scale = centred.std(0)
    accuracy = networks["accuracy"].to_numpy(float)
    # Standardised, since parameters are millions and the test does not depend on units.
    x = centred / np.where(scale > 0, scale, 1)
    y = accuracy - accuracy.mean()
    if np.linalg.matrix_rank(x, tol=1e-9 * math.sqrt(n)) < 2:
        return Association(n, why="scores and parameters of the networks do not vary, or only together")
    coefficients, *_ = np.linalg.lstsq(x, y, rcond=None)
    residual = y - x @ coefficients
    degrees = n - 3
    error = math.sqrt(float(residual @ residual) / degrees * np.linalg.inv(x.T @ x)[0, 0])
    slope = float(coefficients[0])
    t = slope / error if error else math.copysign(math.inf, slope)
    return Association(n, slope / scale[0], error / scale[0], t, float(2 * stats.t.sf(abs(t), degrees)))


def association(table: pd.DataFrame, known: int, proxy: str = "jacobian") -> pd.DataFrame:
    """One cell: the p-value of the linear association of score and accuracy, corrected for parameters.

    The paper, of figure 5: "a statistically significant linear association was found even when correcting for number of
    parameters". It gives no number, so there is no published one: the claim is reproduced where p is below 0.05 and
    accuracy rises with the score, and differs where p is below 0.05 and accuracy falls with it. No significance among
    all `known` networks of the package differs, too; among a part of them (failed ones are missing) it may be for want
    of networks, so that the cell is not measured.

    `table` has one row a network and initialisation: network, accuracy (percent), params, proxy, score, status. The
    mean score of a network counts. The number of parameters enters as it is; what its logarithm would give stands in
    the reason.
    """
    networks = mean_scores(table, proxy)
    found = associate(networks)
    if found.why:
        return no_association(found.why, proxy)
    left_out = table.loc[table["proxy"] == proxy, "network"].nunique() - found.n
    by_log = associate(networks, log_params=True)
    too_few = found.p >= SIGNIFICANT and found.n < known
    counted = f"{found.n} of {known} networks" if found.n < known else f"{found.n} networks"
    parts = [
        f"{f'{TOO_FEW}: ' * too_few}{counted}, {_initialisations(networks)}",
        f"p = {found.p:.2g} given parameters (t = {found.t:.2f}, {found.slope:.3g} points a unit of score)",
        f"p = {by_log.p:.2g} given their logarithm" if not by_log.why else "",
        f"{left_out} left out as a score failed or was singular" if left_out else "",
        f"published: significant, without a number; held to p < {SIGNIFICANT:g}",
    ]
    holds = found.p < SIGNIFICANT and found.slope > 0
    return frame(
        [
            cell(
                measured=found.p,
                runs=networks["initialisations"].min(),
                verdict=NOT_MEASURED if too_few else REPRODUCED if holds else DIFFERS,
                reason="; ".join(filter(None, parts)),
                seconds=table.loc[table["proxy"] == proxy, "seconds"].mean() if "seconds" in table else None,
                **_of_association(proxy),
            )
        ]
    )


def association_told(cells: pd.DataFrame) -> str:
    """What a figure that counts its networks itself says of the cell of `association`."""
    row: Any = next(cells.itertuples())
    if math.isnan(row.measured):
        return f"Linear association not tested: {row.reason}"
    _, _, found = row.reason.partition("; ")
    return f"Linear association: {told(row)}; {found}"


def no_association(reason: str, proxy: str = "jacobian") -> pd.DataFrame:
    """The cell of `association` where there is nothing to test."""
    return frame([not_measured(reason, **_of_association(proxy))])


def _of_association(proxy: str) -> dict[str, Any]:
    """What the cell has of the paper."""
    return {
        "paper": "arxiv2020",
        "item": "figure5",
        "space": "pytorchcv",
        "scored_on": "cifar10",
        "method": "NASWOT-Jacobian" if proxy == "jacobian" else proxy,
        "dataset": "cifar10",
        "split": "test",
        "quantity": "p_value",
    }


def _initialisations(networks: pd.DataFrame) -> str:
    low, high = networks["initialisations"].min(), networks["initialisations"].max()
    count = f"{low}" if low == high else f"{low} to {high}"
    return "one initialisation each" if count == "1" else f"mean of {count} initialisations"
