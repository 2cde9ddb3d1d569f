"""How much of the papers was reproduced: verdicts counted for each table and figure, and the report's first page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pandas as pd

from naswot_ext.config import method_key
from naswot_ext.papers.cells import (
    DIFFERS,
    NOT_COMPARABLE,
    NOT_MEASURED,
    REPRODUCED,
    TOLD,
    TOO_FEW,
    WITHIN,
    accuracy_name,
    told,
)
from naswot_ext.papers.items import ITEMS, PAPERS, VERDICTS_CATEGORY
from naswot_ext.tables import cell as cell_text
from naswot_ext.tables import title

# {what people read: the column of how many cells it is said of}
_COUNTS = {said: said.replace(" ", "_") for said in TOLD}
COLUMNS = [
    "paper",
    "item",
    "title",
    "cells",
    *_COUNTS.values(),
    "worst",
    "worst_in_standard_errors",
]
_TITLES = {(item.paper, item.name): item.title for item in ITEMS}
_ORDER = {key: place for place, key in enumerate(_TITLES)}
_WORST = 5  # deviations named for each item
# The form of a number and of its spread, and the unit of both.
_FORMS = {
    "accuracy_percent": ("{:.2f}", " %"),
    "kendall_tau": ("{:.3f}", ""),
    "rank": ("{:.0f}", ""),
    "p_value": ("p = {:.2g}", ""),
}
# What tells one number from another, whichever paper prints it.
_NUMBER = ["space", "method", "n_samples", "dataset", "split", "quantity", "published", "measured"]

# ("p", "strong", "h2" or "h3", text), ("ul", texts) or ("table", rows of which the first is the head)
Block = tuple[str, Any]


def summary(cells: Iterable[pd.DataFrame], note: str = "") -> tuple[pd.DataFrame, str]:
    """Count the verdicts of cells as people read them: (a row an item with `COLUMNS`, Markdown for people).

    The Markdown's first line has the totals; then come those of distinct numbers, the items in the papers' order, the
    deviations of each that are largest in standard errors, and one line for each reason why cells have no verdict.
    `note` says what was run.
    """
    table = joined(cells)
    counted = _counted(table)
    return counted, "\n\n".join(_markdown(kind, what) for kind, what in _blocks(table, counted, note)) + "\n"


def blocks(cells: Iterable[pd.DataFrame], note: str = "") -> list[Block]:
    """What the Markdown of `summary` says, to be set otherwise."""
    table = joined(cells)
    return list(_blocks(table, _counted(table), note))


def joined(cells: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """All cells in one table, which has no columns where there are none."""
    parts = [part for part in cells if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _counted(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([_row(paper, item, part) for (paper, item), part in items_of(table)], columns=COLUMNS)


def _blocks(table: pd.DataFrame, counted: pd.DataFrame, note: str) -> Iterator[Block]:
    yield "strong", totals(counted)
    for text in (distinct(table), note):
        if text:
            yield "p", text
    yield (
        "p",
        (
            f"Reproduced: within {WITHIN:g} standard errors of the published number, the rounding of which counts. "
            "Measured, but no verdict: too few to tell, where the error is too large for one; not comparable, where "
            "the number is of something else than the published one. The reasons stand below."
        ),
    )
    columns = ["cells", *_COUNTS.values()]
    yield "table", _table(counted, {name.replace("_", " ").capitalize(): [name] for name in columns})
    if len(table):
        yield from _deviations(table)
        yield from _no_verdict(table)


def _table(counted: pd.DataFrame, columns: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The head and a row an item: its name, and the sums of the `columns` that stand under each heading."""
    rows = [
        [
            PAPERS.get(row.paper, row.paper),
            _item(row),
            *(str(sum(getattr(row, c) for c in of)) for of in columns.values()),
        ]
        for row in _tuples(counted)
    ]
    return [["Paper", "Item", *columns], *rows]


def _markdown(kind: str, what: Any) -> str:
    if kind == "ul":
        return "\n".join(f"- {text}" for text in what)
    if kind == "table":
        head, *body = what
        return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))
    return {"strong": "**{}**", "p": "{}", "h2": "## {}", "h3": "### {}"}[kind].format(what)


def totals(summary: pd.DataFrame) -> str:
    """One sentence: how many cells were reproduced, differ, were measured without a verdict, and not measured."""
    if summary.empty:
        return "No table or figure was made yet."
    words = {DIFFERS: "different"}
    counts = ", ".join(f"{summary[column].sum()} {words.get(said, said)}" for said, column in _COUNTS.items())
    return f"Of {summary['cells'].sum()} published numbers: {counts}."


def distinct(cells: pd.DataFrame) -> str:
    """One sentence: how many numbers there are where those count once that both papers print; empty if they print none.

    Alike are cells of one method, number of architectures, space and accuracy, with equal published and measured
    numbers and the same verdict.
    """
    if cells.empty:
        return ""
    number = cells[_NUMBER].assign(method=cells["method"].map(method_key), said=_said(cells))
    once = number.drop_duplicates()
    alike = len(number) - len(once)
    if not alike:
        return ""
    reproduced, differs = (int((once["said"] == said).sum()) for said in (REPRODUCED, DIFFERS))
    counts = f"{reproduced} of them reproduced, {differs} different"
    return f"Both papers print {alike} of these alike, so {len(once)} are distinct, {counts}."


def _said(cells: pd.DataFrame) -> list[str]:
    """What people read of each cell."""
    return [told(row) for row in _tuples(cells)]


def landing(summary: pd.DataFrame, facts: Mapping[str, str]) -> str:
    """The report's first page as reStructuredText, in one screen.

    `facts` are what was run, in order: a label (such as "Scale" or "Ground truth") and a text of one line each. Two
    labels are set apart: the lines of "headline" are the numbers that a reader should see first, and "distinct" is the
    sentence of the function of that name.
    """
    heading = "Neural architecture search without training: what was reproduced"
    counted = " ".join(filter(None, (totals(summary), facts.get("distinct"))))
    lines = [heading, "=" * len(heading), "", _rst(counted), ""]
    lines += [f":{_rst(label)}: {_rst(text)}" for label, text in facts.items() if label not in ("headline", "distinct")]
    if facts.get("headline"):
        lines += [
            "",
            "**First to look at**",
            "",
            *(f"- {_rst(line)}" for line in facts["headline"].splitlines() if line),
        ]
    lines += ["", *_rst_table(summary), ""]
    lines += [
        f"*Reproduced*: within {WITHIN:g} standard errors of the published number. *No verdict*: measured, but "
        f"{TOO_FEW}, or {NOT_COMPARABLE} with the published number. What differs, and why cells have "
        f"no verdict, stands on the first page under `{VERDICTS_CATEGORY} <{_link(VERDICTS_CATEGORY)}>`__ in the menu; "
        "the second has every number, to choose from. Tables and figures stand under the name of their paper.",
        "",
    ]
    return "\n".join(lines)


def _link(category: str) -> str:
    """The address of a category of the report."""
    return f"javascript:app.showCategory('{quote(category)}')"


def items_of(table: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """(paper, item) and its cells, in the papers' order; unknown ones come last."""
    if table.empty:
        return []
    found = [((str(paper), str(item)), part) for (paper, item), part in table.groupby(["paper", "item"], sort=False)]
    return sorted(found, key=lambda entry: _ORDER.get(entry[0], len(_ORDER)))


def _row(paper: str, item: str, part: pd.DataFrame) -> dict[str, Any]:
    counts = pd.Series(_said(part)).value_counts()
    judged = _by_deviation(part[part["verdict"] != NOT_MEASURED])
    return {
        "paper": paper,
        "item": item,
        "title": _TITLES.get((paper, item), item),
        "cells": len(part),
        **{column: int(counts.get(said, 0)) for said, column in _COUNTS.items()},
        "worst": _what(judged.iloc[0]) if len(judged) else "",
        "worst_in_standard_errors": judged["in_standard_errors"].iloc[0] if len(judged) else None,
    }


def _by_deviation(part: pd.DataFrame) -> pd.DataFrame:
    """Cells by their difference in standard errors, the largest first; those that have none, by their verdict."""
    size = part["in_standard_errors"].astype(float).abs()
    no_error = (part["verdict"] == DIFFERS).map({True: float("inf"), False: -1.0})
    return part.loc[size.fillna(no_error).sort_values(ascending=False, kind="stable").index]


def _what(cell: pd.Series) -> str:
    """What a cell is of, as people say it: "NASWOT (N = 10), CIFAR-10 test"."""
    n_samples = "" if pd.isna(cell["n_samples"]) else f" (N = {_whole(cell['n_samples'])})"
    # A table is of one space.
    space = "" if str(cell["item"]).startswith("table") else title(cell["space"])
    accuracy = accuracy_name(cell["dataset"], cell["split"])
    return ", ".join(filter(None, (f"{cell['method']}{n_samples}", space, accuracy)))


def _whole(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.0f}"


def _deviations(table: pd.DataFrame) -> Iterator[Block]:
    """The largest deviations of each item that has cells that differ."""
    found = items_of(table[table["verdict"] == DIFFERS])
    if found:
        yield "h2", "What differs"
    for (paper, item), part in found:
        yield "h3", f"{PAPERS.get(paper, paper)}, {_TITLES.get((paper, item), item)} ({item}): what differs"
        worst = _by_deviation(part)
        texts = []
        for _, cell in worst.head(_WORST).iterrows():
            remark = f" ({cell['reason']})" if cell["reason"] else ""
            texts.append(f"{_what(cell)}: {_numbers(cell)}{remark}")
        if len(worst) > _WORST:
            texts.append(f"and {len(worst) - _WORST} more, each nearer in standard errors")
        yield "ul", texts


def measured(cell: Any, spread: bool = False) -> str:
    """The measured number of a cell (a row of `cells.frame`) with its unit; empty where there is none.

    Over several runs, `spread` adds their standard deviation.
    """
    return _number(cell.quantity, cell.measured, cell.measured_std if spread else None)


def published(cell: Any, spread: bool = False) -> str:
    """What the paper states of a cell, as `measured`: of an association no number, but that it is significant."""
    if cell.quantity == "p_value":
        return "significant"
    return _number(cell.quantity, cell.published, cell.published_std if spread else None)


def _number(quantity: str, value: float, std: float | None) -> str:
    form, unit = _FORMS[quantity]
    return "" if pd.isna(value) else form.format(value) + cell_text(std, f" ± {form}") + unit


def _numbers(cell: pd.Series) -> str:
    text = f"measured {measured(cell)}, published {published(cell)}"
    return text if pd.isna(cell["in_standard_errors"]) else f"{text}, {cell['in_standard_errors']:+.1f} standard errors"


def _no_verdict(table: pd.DataFrame) -> Iterator[Block]:
    """What was measured without a verdict, and what was not measured."""
    without = table["verdict"] == NOT_MEASURED
    there = table["measured"].notna()
    yield from _reasons("Measured, but without a verdict", table[without & there])
    yield from _reasons("Not measured, and what would fill it", table[without & ~there])


def _reasons(heading: str, absent: pd.DataFrame) -> Iterator[Block]:
    """One line for each reason, that of most cells first."""
    if absent.empty:
        return
    yield "h2", heading
    reasons = absent["reason"].value_counts(sort=True)
    texts = []
    for reason in reasons.index:
        part = absent[absent["reason"] == reason]
        where = [f"{PAPERS.get(paper, paper)} {item}" for (paper, item), _ in items_of(part)]
        texts.append(f"{len(part)} cell{'s' * (len(part) > 1)} ({', '.join(where)}): {reason}")
    yield "ul", texts


def _tuples(table: pd.DataFrame) -> list[Any]:
    """The rows as named tuples."""
    return list(table.itertuples())


def _item(row: Any) -> str:
    return f"{row.item}: {row.title}" if row.title != row.item else row.item


def _rst_table(summary: pd.DataFrame) -> list[str]:
    """A simple table of the counts, with columns as wide as their longest text."""
    columns = {
        "Reproduced": [_COUNTS[REPRODUCED]],
        "Differs": [_COUNTS[DIFFERS]],
        # Of which, the page of all verdicts tells: more columns would not fit on one line.
        "No verdict": [_COUNTS[TOO_FEW], _COUNTS[NOT_COMPARABLE]],
        "Not measured": [_COUNTS[NOT_MEASURED]],
    }
    return _simple_table(_table(summary, columns)) if len(summary) else []


def _simple_table(rows: Sequence[Sequence[str]]) -> list[str]:
    texts = [[_rst(text) for text in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in texts]
    return [rule, lines[0], rule, *lines[1:], rule]


def _rst(text: str) -> str:
    """Text that reStructuredText takes as it is."""
    for sign in "\\*`|_":
        text = text.replace(sign, f"\\{sign}")
    return text
