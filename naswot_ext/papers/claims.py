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

from naswot_ext.papers.cells import DIFFERS, DIGITS, REPRODUCED, WITHIN, cell, compared, frame, not_measured
from naswot_ext.papers.smallest import THRESHOLD, smallest_and_params

RANK_BY_SCORE, RANK_BY_PARAMS = 667, 8597
SIGNIFICANT = 0.05

_RANK = {
    "paper": "arxiv2020",
    "item": "rank_claim",
    "space": "nasbench201",
    "dataset": "cifar10",
    "split": "valid",
    "quantity": "rank",
}
_UNIT = 10.0 ** -DIGITS["rank"]


def rank_claim(
    scores: pd.DataFrame | Sequence[pd.DataFrame], truth: pd.DataFrame, scored_on: str = "cifar10"
) -> pd.DataFrame:
    """Two cells: the ranks of the smallest network above 90 % CIFAR-10 validation accuracy, by score and by parameters.

    "The smallest network that attains a CIFAR-10 validation accuracy over 90% is ranked 667th best (of 15625) by our
    score and 8597th best by number of parameters." `scores` are score tables, one a seed; `truth` is the ground truth
    of NAS-Bench-201. Rank 1 is the highest score, and the most parameters.

    On NAS-Bench-201 many networks have equally many parameters, and several of these are above 90 %: the paper does
    not say which of them it took, nor how it ordered equals. So a rank by parameters is the mean of the places that
    equals share, and its error the standard deviation of one of these places, drawn at random. The rank by score is the
    mean of those of all these networks that were scored, and the spread is theirs. The published rank is of one of
    them: it is reproduced where it lies among theirs, give or take three of the errors that follow. Where fewer than
    all with an accuracy were scored, a rank is 1 + (N - 1) k / n, with k of the n others better, and has the binomial
    standard error sqrt(p (1 - p) / n) (N - 1), less for the part of the N - 1 others that was scored. A singular
    score is the worst; equal scores share the mean of their places; a failed network is left out.
    """
    tables = [scores] if isinstance(scores, pd.DataFrame) else list(scores)
    by_score, by_params = _of_claim(scored_on)
    smallest, params, why = smallest_and_params(truth)
    if why:
        return no_rank_claim(why)
    return frame([_by_score(tables, smallest, params.index, by_score), _by_params(smallest, params, by_params)])


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
    within = larger < RANK_BY_PARAMS <= larger + equal
    reason = f"{len(params)} networks with an accuracy, {equal} of them with {size:.0f} parameters, {_named(smallest)}"
    return compared(
        measured=larger + (equal + 1) / 2,
        measured_std=math.sqrt(variance),
        runs=1,
        standard_error=math.sqrt(variance),
        reason=f"{reason}; equals share places {larger + 1} to {larger + equal}",
        **of_paper,
    ) | {"verdict": REPRODUCED if within else DIFFERS}


def _by_score(
    tables: Sequence[pd.DataFrame], smallest: NDArray[np.int64], known: pd.Index, of_paper: dict[str, Any]
) -> dict[str, Any]:
    ranks: list[float] = []
    errors: list[float] = []
    scored = 0
    for table in tables:
        values = table[table["status"] != "failed"].set_index("arch_index")["score"]
        values = values[values.index.isin(known)].fillna(-np.inf)
        scored = max(scored, len(values))
        # One network has no rank.
        for index in smallest[np.isin(smallest, values.index)] if len(values) > 1 else []:
            rank, error = _rank(values, int(index), len(known))
            ranks.append(rank)
            errors.append(error)
    if not ranks:
        return not_measured(f"not scored: {_named(smallest)}; score all architectures of nasbench201", **of_paper)
    spread = float(np.std(ranks))
    # The published rank is one of such; the mean of ours has the error that ranking among a part of the space has,
    # which is common to all of them.
    variance = spread**2 * (1 + 1 / len(ranks)) + float(np.mean(errors)) ** 2
    known_as = f"{len(ranks)} ranks of {_named(smallest)}; {scored} of {len(known)} were scored"
    if variance:
        better = sum(rank <= RANK_BY_SCORE for rank in ranks)
        spread_is = f"places {min(ranks):.0f} to {max(ranks):.0f}, {better} of them {RANK_BY_SCORE} or better"
    else:
        spread_is = "its spread is not known: score more seeds"
    reason = f"{known_as}; {spread_is}"
    margin = WITHIN * float(np.mean(errors))
    within = min(ranks) - margin <= RANK_BY_SCORE <= max(ranks) + margin
    return compared(
        measured=float(np.mean(ranks)),
        measured_std=spread,
        runs=len(ranks),
        standard_error=math.sqrt(variance) if variance else math.nan,
        reason=reason,
        **of_paper,
    ) | {"verdict": REPRODUCED if within else DIFFERS}


def _rank(values: pd.Series, index: int, of: int) -> tuple[float, float]:
    """The rank among `of` of the architecture `index`, from the scores of some of them, and its standard error."""
    others = values.drop(index).to_numpy(float)
    n, own = len(others), float(values[index])
    share = float(((others > own).sum() + 0.5 * (others == own).sum()) / n)
    # As if one more were better and one more worse, so that a few without a better one are not taken for certainty.
    smoothed = (share * n + 1) / (n + 2)
    left_out = max(0.0, 1 - n / (of - 1))
    return 1 + share * (of - 1), (of - 1) * math.sqrt(smoothed * (1 - smoothed) / n * left_out)


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


def association(table: pd.DataFrame, proxy: str = "jacobian") -> pd.DataFrame:
    """One cell: the p-value of the linear association of score and accuracy, corrected for parameters.

    The paper, of figure 5: "a statistically significant linear association was found even when correcting for number of
    parameters". `table` has one row a network and initialisation: network, accuracy (percent), params, proxy, score,
    status. The mean score of a network counts. `published` is the level 0.05 that the claim is held to: reproduced
    where p is below it and accuracy rises with the score. The number of parameters enters as it is; what its logarithm
    would give stands in the reason.
    """
    networks = mean_scores(table, proxy)
    found = associate(networks)
    if found.why:
        return no_association(found.why, proxy)
    of_paper = _of_association(proxy)
    left_out = table.loc[table["proxy"] == proxy, "network"].nunique() - found.n
    by_log = associate(networks, log_params=True)
    parts = [
        f"{found.n} networks, {_initialisations(networks)}",
        f"{found.slope:.3g} percentage points a unit of score, t = {found.t:.2f}",
        f"given the logarithm of parameters, p = {by_log.p:.2g}" if not by_log.why else "",
        f"{left_out} left out as a score failed or was singular" if left_out else "",
        "published: significant, held to p < 0.05",
    ]
    holds = found.p < SIGNIFICANT and found.slope > 0
    return frame(
        [
            cell(
                measured=found.p,
                runs=networks["initialisations"].min(),
                difference=found.p - SIGNIFICANT,
                verdict=REPRODUCED if holds else DIFFERS,
                reason="; ".join(filter(None, parts)),
                seconds=table.loc[table["proxy"] == proxy, "seconds"].mean() if "seconds" in table else None,
                **of_paper,
            )
        ]
    )


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
        "published": SIGNIFICANT,
    }


def _initialisations(networks: pd.DataFrame) -> str:
    low, high = networks["initialisations"].min(), networks["initialisations"].max()
    count = f"{low}" if low == high else f"{low} to {high}"
    return f"mean of {count} initialisations"
