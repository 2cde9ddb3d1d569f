"""One published number beside the measured one: the row that every table and figure of the papers is made of.

A verdict compares a difference with its standard error, so it needs the spread of both numbers. What is known of the
spread, and what is taken where it is not, is in `standard_error`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from naswot_ext.config import split_title
from naswot_ext.errors import NaswotError
from naswot_ext.tables import title, write_csv

COLUMNS = [
    "paper",
    "item",
    "space",
    "scored_on",
    "method",
    "n_samples",
    "dataset",
    "split",
    "quantity",
    "measured",
    "measured_std",
    "runs",
    "published",
    "published_std",
    "published_runs",
    "difference",
    "standard_error",
    "in_standard_errors",
    "verdict",
    "reason",
    "seconds",
    "published_seconds",
]

REPRODUCED, DIFFERS, NOT_MEASURED = "reproduced", "differs", "not measured"
VERDICTS = (REPRODUCED, DIFFERS, NOT_MEASURED)
# What people read of a number that is measured, and yet has no verdict: it lies within its error only because that is
# wide; or it is of something else than the published one. The reason of its cell begins so.
TOO_FEW, NOT_COMPARABLE = "too few to tell", "not comparable"
# All that people read, in the order in which it is counted.
TOLD = (REPRODUCED, DIFFERS, TOO_FEW, NOT_COMPARABLE, NOT_MEASURED)

# With some 200 cells, fewer than one would lie outside by chance.
WITHIN = 3.0

# Decimals that the papers print. The file of published numbers has no zeros at the end, so it cannot tell.
DIGITS: Mapping[str, int] = {"accuracy_percent": 2, "kendall_tau": 3, "rank": 0, "p_value": 2}

_NUMBERS = dict.fromkeys(
    ("measured", "measured_std", "difference", "standard_error", "in_standard_errors", "published", "published_std"),
    "{:.10g}",
)
_FORMATS = {
    **_NUMBERS,
    **dict.fromkeys(("n_samples", "runs", "published_runs"), "{:.0f}"),
    "seconds": "{:.3f}",
    "published_seconds": "{:g}",
}


def cell(**what: Any) -> dict[str, Any]:
    """A row with all of `COLUMNS`; what is not given is None.

    Raises TypeError for a column that there is none of, one of paper, item, quantity and verdict left out, a verdict
    that there is none of, or one that is `not measured` without a reason.
    """
    wrong = [key for key in what if key not in COLUMNS]
    wrong += [key for key in ("paper", "item", "quantity", "verdict") if what.get(key) is None]
    if wrong:
        raise TypeError(f"A cell has the columns {', '.join(COLUMNS)}; unknown or left out: {', '.join(wrong)}")
    if what["verdict"] not in VERDICTS:
        raise TypeError(f"A verdict is {', '.join(VERDICTS)}, not {what['verdict']!r}")
    if what["verdict"] == NOT_MEASURED and not what.get("reason"):
        raise TypeError("A cell that is not measured says why")
    return {column: what.get(column) for column in COLUMNS}


def compared(*, measured: float, published: float, standard_error: float, quantity: str, **what: Any) -> dict[str, Any]:
    """The cell of a measured number beside a published one, with their difference and the verdict of it."""
    difference = measured - published
    # Without an error there is nothing to count the difference in.
    in_errors = difference / standard_error if standard_error > 0 else None
    return cell(
        measured=measured,
        published=published,
        quantity=quantity,
        difference=difference,
        standard_error=None if math.isnan(standard_error) else standard_error,
        in_standard_errors=in_errors,
        verdict=verdict(measured, published, standard_error, DIGITS[quantity]),
        **what,
    )


def not_measured(reason: str, **what: Any) -> dict[str, Any]:
    """The cell of a published number that there is no measured one for, and why."""
    return cell(verdict=NOT_MEASURED, reason=reason, **what)


def not_comparable(found: Mapping[str, Any], why: str) -> dict[str, Any]:
    """A compared cell whose number is shown but not judged, as it is of something else than the published one."""
    reason = "; ".join(filter(None, (f"{NOT_COMPARABLE}: {why}", found["reason"])))
    return {**found, "verdict": NOT_MEASURED, "reason": reason}


def told(row: Any) -> str:
    """The verdict of a cell (a row of `frame`) as people read it, one of `TOLD`."""
    if row.verdict != NOT_MEASURED or pd.isna(row.measured):
        return str(row.verdict)
    return NOT_COMPARABLE if str(row.reason).startswith(NOT_COMPARABLE) else TOO_FEW


def accuracy_name(dataset: str, split: str) -> str:
    """What people call the accuracy that a cell is of or goes by: "CIFAR-10 validation"."""
    return f"{title(dataset)} {split_title(split)}".strip()


def verdict(measured: float, published: float, standard_error: float, digits: int = DIGITS["accuracy_percent"]) -> str:
    """`reproduced` where the numbers lie within `WITHIN` standard errors of each other, else `differs`.

    Where the error is 0 or unknown (NaN), the numbers must be equal after rounding to the published `digits`.
    Where one number is NaN: `not measured`.
    """
    difference = abs(measured - published)
    if math.isnan(difference):
        return NOT_MEASURED
    if standard_error > 0:
        return REPRODUCED if difference <= WITHIN * standard_error else DIFFERS
    # The last term is float64's rounding of a difference of decimals.
    return REPRODUCED if difference <= 0.5 * 10.0**-digits + 1e-9 else DIFFERS


def standard_error(
    std: float | None,
    runs: float | None,
    published_std: float | None,
    published_runs: float | None,
    *,
    digits: int | None = None,
    pool_share: float = 0.0,
    at_least: float = 0.0,
) -> float:
    """The standard error of the difference of two means, in their units: sqrt(s^2 / R + s_p^2 / R_p), and more.

    Args:
        std: population standard deviation s of the measured runs, as the papers print theirs.
        runs: their number R. One run has no spread, so the published one stands for it.
        published_std: s_p. Where it was not published, s stands for it.
        published_runs: R_p. Where it was not published, the published number's own error is left out.
        digits: decimals of the published number. Rounding to them has a variance of (unit of the last one)^2 / 12.
        pool_share: N / A where runs draw N architectures each among the same A that stand for a whole space, else 0.
            The choice of these A is common to all runs, so more runs do not make its error smaller: it is as large as
            that of A / N independent runs, max(s, s_p)^2 N / A.
        at_least: an error of the measured mean that counts instead of s / sqrt(R) where it is larger, because runs
            have more than the architectures they draw from in common.

    Returns 0 where both spreads are 0 (rounding is then for `verdict`), NaN where neither is known.
    """
    own, theirs = _known(std), _known(published_std)
    count, their_count = _known(runs), _known(published_runs)
    if count is None or count < 2:
        own = None
    if own is None and theirs is None:
        return math.nan
    s = theirs if own is None else own
    s_p = own if theirs is None else theirs
    assert s is not None
    assert s_p is not None
    if s == s_p == 0:
        return 0.0
    variance = max(s**2 / (count or 1), at_least**2)
    if their_count:
        variance += s_p**2 / their_count
    variance += max(s, s_p) ** 2 * pool_share
    if digits is not None:
        variance += 10.0 ** (-2 * digits) / 12
    return math.sqrt(variance)


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def frame(cells: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Cells as a table with `COLUMNS`: texts, empty where there is none; float64, NaN where there is none.

    Only `n_samples` is what it was, a whole number, "all" or None.
    """
    table = pd.DataFrame(list(cells), columns=COLUMNS, dtype=object)
    for column in COLUMNS:
        if column == "n_samples":
            table[column] = pd.Series([_count(value) for value in table[column]], dtype=object)
        elif column in _FORMATS:
            table[column] = table[column].astype("float64")
        else:
            table[column] = table[column].where(table[column].notna(), "").astype(object)
    return table


def _count(value: Any) -> int | str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    # Beside empty cells, pandas reads whole numbers as floats; beside "all", as text.
    return int(value) if not isinstance(value, str) or value.isdigit() else value


def write_cells(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write cells as CSV, so that equal cells are equal bytes."""
    write_csv(table[COLUMNS], path, _FORMATS)


def read_cells(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read what `write_cells` wrote; raises NaswotError where the file is missing or holds no cells."""
    if not Path(path).is_file():
        raise NaswotError(f"No such file: {path}. Make it with the rule of its table or figure.")
    table = pd.read_csv(path)
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise NaswotError(f"{path} holds no cells: it has no column {', '.join(missing)}. Make it again.")
    return frame({str(column): value for column, value in row.items()} for row in table.to_dict("records"))
