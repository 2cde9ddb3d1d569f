"""A table of cells in the paper's layout: methods by family, a column for each data set and split.

Source: Mellor et al. (ICML 2021), tables 1, 2a and 2b; Mellor et al. (arXiv 2006.04647 version 1), table 1. The
measured number stands above the published one, with a mark for the verdict, so that it can be read without colours,
and the difference of the two in standard errors beside the published one.
"""

from __future__ import annotations

import html
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from naswot_ext.config import method_key, split_title
from naswot_ext.papers.cells import (
    DIFFERS,
    DIGITS,
    NOT_COMPARABLE,
    NOT_MEASURED,
    REPRODUCED,
    TOO_FEW,
    WITHIN,
    told,
    write_cells,
)
from naswot_ext.tables import cell, title, write_text

MARKS = {REPRODUCED: "=", DIFFERS: "≠", TOO_FEW: "?", NOT_COMPARABLE: "†", NOT_MEASURED: "–"}
_LATEX_MARKS = {**MARKS, REPRODUCED: "$=$", DIFFERS: r"$\neq$", NOT_COMPARABLE: r"$\dagger$", NOT_MEASURED: "--"}
# Numbers that are shown without a verdict.
_UNJUDGED = (TOO_FEW, NOT_COMPARABLE)

FAMILIES = {
    "Non-weight sharing": ("REA", "RS", "REINFORCE", "BOHB", "AREA"),
    "Weight sharing": ("RSPS", "DARTS-V1", "DARTS-V2", "GDAS", "SETN", "ENAS"),
    "Training-free": ("NASWOT", "NASWOT-Jacobian"),
    "Reference": ("Random", "Optimal", "params"),
}
_FAMILY_OF = {method_key(method): family for family, methods in FAMILIES.items() for method in methods}
_OTHER = "Other"

_NAMES = {"params": "Number of parameters"}
_LEGENDS = {
    "accuracy_percent": "Percent, mean ± standard deviation over runs.",
    "rank": (
        "Rank among all networks: 1 is the highest score, or the most parameters. Mean ± standard deviation over "
        "equally small networks and initialisations, or over the places that networks of as many parameters share; "
        "the published rank is of one of them, so their deviation is part of the standard error."
    ),
}

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{heading}</title><style>
body {{ font: 14px sans-serif; margin: 1em; }} table {{ border-collapse: collapse; }}
th, td {{ border: 1px solid #ccc; padding: 0.3em 0.6em; text-align: right; white-space: nowrap; }}
th {{ background: #eee; }} th:first-child {{ text-align: left; }} th.family {{ background: #fff; }}
td small {{ color: #555; display: block; font-style: normal; }} p {{ max-width: 60em; }}
td.differs {{ background: #fdeadb; }} td.unjudged {{ color: #777; font-style: italic; }}
</style><h1>{heading}</h1>
<table>
{table}
</table>
{notes}
</html>
"""

_TEX = r"""% Needs \usepackage{{booktabs}}.
\begin{{table*}}
\centering
\caption{{{caption}}}
\smallskip
\scriptsize
\setlength{{\tabcolsep}}{{2pt}}
\begin{{tabular}}{{@{{}}l{columns}@{{}}}}
\toprule
{head}
\midrule
{body}
\bottomrule
\end{{tabular}}
\par\smallskip
\parbox{{\linewidth}}{{\raggedright
{notes}}}
\end{{table*}}
"""
_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "≠": r"$\neq$",
    "–": "--",
    "†": r"$\dagger$",
    "<": "$<$",
    ">": "$>$",
}


@dataclass(frozen=True)
class _Entry:
    """One place of the table; a text is empty where there is no number. `kind` is one of `MARKS`."""

    measured: str
    published: str
    difference: str = ""
    kind: str = ""
    why: str = ""


@dataclass(frozen=True)
class _Row:
    family: str
    method: str
    entries: Sequence[_Entry | None]


@dataclass(frozen=True)
class _Column:
    """`group` is what columns beside each other have in common, `name` what each is called there."""

    group: str
    name: str

    @property
    def head(self) -> str:
        return f"{self.group} {self.name}".strip()


def write_table(
    cells: pd.DataFrame,
    heading: str,
    note: str,
    *,
    csv: str | os.PathLike[str],
    markdown: str | os.PathLike[str],
    tex: str | os.PathLike[str],
    html: str | os.PathLike[str],
) -> None:
    """Write the cells of one table as CSV, and as Markdown, LaTeX (booktabs) and HTML in the paper's layout.

    `note` says what the numbers are of (runs, architectures, scale); what the marks mean, why cells are not measured
    and what must be known of others is added. `cells` may be of one quantity only, percent or ranks.
    """
    write_cells(cells, csv)
    columns, rows = _columns(cells), list(_rows(cells))
    notes = [*[_sentence(note)] * bool(note), _legend(cells), *_reasons(cells)]
    write_text(_markdown(heading, columns, rows, notes), markdown)
    write_text(_html(heading, columns, rows, notes), html)
    write_text(_latex(_sentence(heading), columns, rows, notes), tex)


def _places(cells: pd.DataFrame) -> list[tuple[str, str]]:
    """(data set, split) of each column, in the order of the cells."""
    return list(dict.fromkeys(zip(cells["dataset"], cells["split"], strict=True)))


def _timed(cells: pd.DataFrame) -> bool:
    """Whether the table has a column of seconds."""
    return bool(cells[["seconds", "published_seconds"]].notna().any(axis=None))


def _quantity(cells: pd.DataFrame) -> str:
    (quantity,) = set(cells["quantity"])
    return str(quantity)


def _columns(cells: pd.DataFrame) -> list[_Column]:
    """What stands behind the method: the seconds where there are any, and a column for each data set and split."""
    ranked = _quantity(cells) == "rank"
    columns = [_Column(title(dataset), "rank" if ranked else split_title(split)) for dataset, split in _places(cells)]
    return [_Column("", "Search (s)"), *columns] if _timed(cells) else columns


def _rows(cells: pd.DataFrame) -> Iterator[_Row]:
    """A row for each (method, N): families in the order of `FAMILIES`, methods in that of the cells."""
    places, timed = _places(cells), _timed(cells)
    of_family: dict[str, list[_Row]] = {}
    keys = cells["method"] + cells["n_samples"].map(lambda n: cell(n, " (N = {:.0f})"))
    for name, part in cells.groupby(keys, sort=False):
        rows: list[Any] = list(part.itertuples())
        method = rows[0].method
        family = _FAMILY_OF.get(method_key(method), _OTHER)
        of_place = {(row.dataset, row.split): _entry(row) for row in rows}
        entries = [of_place.get(place) for place in places]
        if timed:
            entries.insert(0, _Entry(_seconds(part["seconds"]), _seconds(part["published_seconds"])))
        label = str(name).replace(method, _NAMES.get(method, method))
        of_family.setdefault(family, []).append(_Row(family, label, entries))
    for family in [*FAMILIES, _OTHER]:
        yield from of_family.get(family, [])


def _entry(row: Any) -> _Entry:
    digits = DIGITS[row.quantity]
    # One run has no deviation; several that agree have one, of 0.
    std = math.nan if row.runs == 1 and row.measured_std == 0 else row.measured_std
    difference = "" if pd.isna(row.in_standard_errors) else f"{round(row.in_standard_errors, 1) + 0.0:+.1f} SE"
    return _Entry(
        _number(row.measured, std, digits),
        _number(row.published, row.published_std, digits),
        difference,
        told(row),
        row.reason or "",
    )


def _number(mean: float, std: float, digits: int) -> str:
    """A number with its deviation where there is one, "92.44 ± 1.13"; empty where there is none."""
    return " ± ".join(f"{value:.{digits}f}" for value in (mean, std) if not math.isnan(value))


def _seconds(values: pd.Series) -> str:
    """The mean cost of a run, with as many digits as tell something."""
    values = values.dropna()
    if values.empty:
        return ""
    value = values.mean()
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _legend(cells: pd.DataFrame) -> str:
    marks = (
        f"{MARKS[REPRODUCED]} reproduced (within {WITHIN:g} SE), {MARKS[DIFFERS]} differs, {MARKS[TOO_FEW]} (in "
        f"italics) measured, but {TOO_FEW}, {MARKS[NOT_COMPARABLE]} (in italics) measured, but {NOT_COMPARABLE}, "
        f"{MARKS[NOT_MEASURED]} not measured."
    )
    seconds = (
        "Seconds: mean of one search; of one that looks up scores, the time that scoring took; of one with a budget, "
        "the simulated training."
    )
    return " ".join(
        [
            _LEGENDS[_quantity(cells)],
            "Below: the published number in brackets, and the difference, measured less published, in standard errors "
            f"(SE) of this difference. Marks: {marks}",
            *[seconds] * _timed(cells),
        ]
    )


def _sentence(text: str) -> str:
    """A text as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _reasons(cells: pd.DataFrame) -> Iterator[str]:
    """A sentence for each reason why cells are not measured, and then for each remark on others."""
    absent = cells["verdict"] == NOT_MEASURED
    for part in (cells[absent], cells[~absent & (cells["reason"] != "")]):
        for reason, rows in part.groupby("reason", sort=False):
            methods = list(dict.fromkeys(_NAMES.get(method, method) for method in rows["method"]))
            datasets = list(dict.fromkeys(title(dataset) for dataset in rows["dataset"]))
            kind = told(next(rows.itertuples()))
            said = "Remark" if kind in (REPRODUCED, DIFFERS) else kind.capitalize()
            why = str(reason).removeprefix(f"{kind}: ")
            yield _sentence(f"{said}: {', '.join(methods)} on {', '.join(datasets)}: {why}")


def _markdown(heading: str, columns: Sequence[_Column], rows: Sequence[_Row], notes: Sequence[str]) -> str:
    head = ["Method", *(column.head for column in columns)]
    lines = [f"# {heading}", "", *(f"{note}\n" for note in notes)]
    for family in dict.fromkeys(row.family for row in rows):
        lines += [f"## {family}", "", *(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head)))]
        for row in [row for row in rows if row.family == family]:
            texts = ["<br>".join(filter(None, _two_lines(entry, "*{}*"))) for entry in row.entries]
            lines.append(f"| {' | '.join([row.method, *texts])} |")
        lines.append("")
    return "\n".join(lines)


def _two_lines(entry: _Entry | None, italic: str = "{}") -> tuple[str, str]:
    """What was measured with its mark, and what was published; nothing where the paper has no number."""
    if entry is None:
        return "", ""
    measured = italic.format(entry.measured) if entry.kind in _UNJUDGED else entry.measured
    above = " ".join(filter(None, (measured, MARKS.get(entry.kind, ""))))
    below = "; ".join(filter(None, (entry.published, entry.difference)))
    return above or (MARKS[NOT_MEASURED] if below else ""), f"({below})" if below else ""


def _html(heading: str, columns: Sequence[_Column], rows: Sequence[_Row], notes: Sequence[str]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("Method", *(column.head for column in columns)))
    lines = [f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    family = None
    for row in rows:
        if row.family != family:
            family = row.family
            lines.append(f'<tr><th class="family" colspan="{len(columns) + 1}">{html.escape(family)}</th></tr>')
        texts = "".join(map(_html_cell, row.entries))
        lines.append(f'<tr><th class="method">{html.escape(row.method)}</th>{texts}</tr>')
    lines.append("</tbody>")
    paragraphs = "\n".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return _PAGE.format(heading=html.escape(heading), table="\n".join(lines), notes=paragraphs)


def _html_cell(entry: _Entry | None) -> str:
    if entry is None:
        return "<td></td>"
    why = entry.why if entry.kind in _UNJUDGED else "; ".join(filter(None, (entry.kind, entry.why)))
    hint = f' title="{html.escape(why)}"' if why else ""
    shown = {DIFFERS: ' class="differs"', **dict.fromkeys(_UNJUDGED, ' class="unjudged"')}.get(entry.kind, "")
    measured, published = map(html.escape, _two_lines(entry))
    return f"<td{shown}{hint}>{measured}<small>{published}</small></td>"


def _latex(caption: str, columns: Sequence[_Column], rows: Sequence[_Row], notes: Sequence[str]) -> str:
    groups = [(group, len(list(part))) for group, part in itertools.groupby(column.group for column in columns)]
    tops, rules, end = [], [], 1
    for group, span in groups:
        end += span
        tops.append(rf"\multicolumn{{{span}}}{{c}}{{{_escaped(group)}}}" if group else "")
        rules += [rf"\cmidrule(lr){{{end - span + 1}-{end}}}"] * bool(group)
    head = [
        f" & {' & '.join(tops)} \\\\",
        "".join(rules),
        f"Method & {' & '.join(_escaped(column.name) for column in columns)} \\\\",
    ]
    body = []
    family = None
    for row in rows:
        if row.family != family:
            body += [r"\midrule"] * (family is not None)
            family = row.family
            body.append(rf"\multicolumn{{{len(columns) + 1}}}{{l}}{{\textit{{{_escaped(family)}}}}} \\")
        lines = itertools.zip_longest(_latex_name(row.method), *map(_latex_lines, row.entries), fillvalue="")
        body += [rf"{' & '.join(line)} \\" for line in lines]
        body.append(r"\addlinespace[1pt]")
    return _TEX.format(
        caption=_escaped(caption),
        columns="r" * len(columns),
        head="\n".join(head),
        body="\n".join(body),
        # One paragraph in the small type of the table, as a page has little room.
        notes="\n".join(map(_escaped, notes)),
    )


def _latex_name(method: str) -> list[str]:
    """A method, and its number of architectures on a line of its own, as a long name leaves no room beside it."""
    name, _, number = method.partition(" (N = ")
    return [_escaped(name), *[rf"\quad $N = {number.removesuffix(')')}$"] * bool(number)]


def _latex_lines(entry: _Entry | None) -> list[str]:
    """What `_two_lines` tells, on as many lines as keep the widest table within a page."""
    if entry is None:
        return []
    mark, published = _LATEX_MARKS.get(entry.kind, ""), f"({_tight(entry.published)})" * bool(entry.published)
    if not entry.measured:
        return [f"{_LATEX_MARKS[NOT_MEASURED]} {published}"] if published else []
    measured = _tight(entry.measured)
    if entry.kind in _UNJUDGED:
        measured = rf"\textit{{{measured}}}"
    lines = [f"{measured} {mark}".strip(), published]
    return [*lines, f"${entry.difference.replace(' SE', '$ SE')}"] if entry.difference else lines


def _tight(text: str) -> str:
    """A number with its deviation as LaTeX prints it, with little room between them."""
    return r"\,$\pm$\,".join(map(_escaped, text.split(" ± ")))


def _escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(_SPECIAL.get(sign, sign) for sign in text)
