"""A table of cells in the paper's layout: methods by family, a column for each data set and split.

Source: Mellor et al. (ICML 2021), tables 1, 2a and 2b; Mellor et al. (arXiv 2006.04647 version 1), table 1. The
measured number stands above the published one, with a mark for the verdict, so that it can be read without colours.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from naswot_ext.config import method_key
from naswot_ext.papers.cells import DIFFERS, NOT_MEASURED, REPRODUCED, WITHIN, write_cells
from naswot_ext.tables import cell, spread, title, write_text

MARKS = {REPRODUCED: "=", DIFFERS: "≠", NOT_MEASURED: "–"}
_LATEX_MARKS = {REPRODUCED: "$=$", DIFFERS: r"$\neq$", NOT_MEASURED: "--"}

FAMILIES = {
    "Non-weight sharing": ("REA", "RS", "REINFORCE", "BOHB", "AREA"),
    "Weight sharing": ("RSPS", "DARTS-V1", "DARTS-V2", "GDAS", "SETN", "ENAS"),
    "Training-free": ("NASWOT", "NASWOT-Jacobian"),
    "Reference": ("Random", "Optimal"),
}
_FAMILY_OF = {method_key(method): family for family, methods in FAMILIES.items() for method in methods}
_OTHER = "Other"

_NAMES = {"NASWOT-Jacobian": "NASWOT"}  # as the 2020 paper, which has no other, prints it
_SPLITS = {"valid": "validation", "test": "test"}

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{heading}</title><style>
body {{ font: 14px sans-serif; margin: 1em; }} table {{ border-collapse: collapse; }}
th, td {{ border: 1px solid #ccc; padding: 0.3em 0.6em; text-align: right; white-space: nowrap; }}
th {{ background: #eee; }} th:first-child {{ text-align: left; }} th.family {{ background: #fff; }}
td small {{ color: #555; display: block; }} p {{ max-width: 60em; }}
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
\scriptsize
\setlength{{\tabcolsep}}{{3pt}}
\begin{{tabular}}{{@{{}}l{columns}@{{}}}}
\toprule
{head}
\midrule
{body}
\bottomrule
\end{{tabular}}
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
    "<": "$<$",
    ">": "$>$",
}


@dataclass(frozen=True)
class _Entry:
    """One place of the table; a text is empty where there is no number."""

    measured: str
    published: str
    verdict: str = ""
    why: str = ""


@dataclass(frozen=True)
class _Row:
    family: str
    method: str
    seconds: _Entry
    entries: Sequence[_Entry | None]


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

    `note` says what the numbers are of (runs, architectures, scale); what the marks mean and why cells are not
    measured is added. `cells` may be of one quantity only: percent, mean and standard deviation.
    """
    write_cells(cells, csv)
    columns, rows = _columns(cells), list(_rows(cells))
    notes = [note, _legend(), *_reasons(cells)]
    write_text(_markdown(heading, columns, rows, notes), markdown)
    write_text(_html(heading, columns, rows, notes), html)
    # A caption of many reasons would be longer than the table: they are in the other files.
    write_text(_latex(" ".join([f"{heading}.", note, _legend()]), columns, rows), tex)


def _columns(cells: pd.DataFrame) -> list[tuple[str, str]]:
    """(data set, split) of each column, in the order of the cells."""
    return list(dict.fromkeys(zip(cells["dataset"], cells["split"], strict=True)))


def _rows(cells: pd.DataFrame) -> Iterator[_Row]:
    """A row for each (method, N): families in the order of `FAMILIES`, methods in that of the cells."""
    columns = _columns(cells)
    of_family: dict[str, list[_Row]] = {}
    keys = cells["method"] + cells["n_samples"].map(lambda n: cell(n, " (N = {:.0f})"))
    for name, part in cells.groupby(keys, sort=False):
        rows: list[Any] = list(part.itertuples())
        method = rows[0].method
        family = _FAMILY_OF.get(method_key(method), _OTHER)
        entries = {(row.dataset, row.split): _entry(row) for row in rows}
        seconds = _Entry(_seconds(part["seconds"]), _seconds(part["published_seconds"]))
        label = str(name).replace(method, _NAMES.get(method, method))
        row = _Row(family, label, seconds, [entries.get(column) for column in columns])
        of_family.setdefault(family, []).append(row)
    for family in [*FAMILIES, _OTHER]:
        yield from of_family.get(family, [])


def _entry(row: Any) -> _Entry:
    published = spread(row.published, row.published_std)
    measured = spread(row.measured, row.measured_std)
    return _Entry(measured, published, row.verdict, row.reason or "")


def _seconds(values: pd.Series) -> str:
    """The mean cost of a run, with as many digits as tell something."""
    values = values.dropna()
    if values.empty:
        return ""
    value = values.mean()
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _legend() -> str:
    return (
        "Percent, mean ± standard deviation over runs; the published number stands below the measured one. "
        f"Marks: {MARKS[REPRODUCED]} reproduced (within {WITHIN:g} standard errors of the difference), "
        f"{MARKS[DIFFERS]} differs, {MARKS[NOT_MEASURED]} not measured, or with too few to tell. Seconds: mean of one "
        "search; of one that looks up scores, the time that scoring took; of one with a budget, the simulated training."
    )


def _reasons(cells: pd.DataFrame) -> Iterator[str]:
    """A sentence for each reason why cells are not measured."""
    absent = cells[cells["verdict"] == NOT_MEASURED]
    for reason, part in absent.groupby("reason", sort=False):
        methods = list(dict.fromkeys(_NAMES.get(method, method) for method in part["method"]))
        datasets = list(dict.fromkeys(title(dataset) for dataset in part["dataset"]))
        yield f"Not measured: {', '.join(methods)} on {', '.join(datasets)}: {reason}."


def _head(columns: Sequence[tuple[str, str]]) -> list[str]:
    return ["Method", "Search (s)", *(f"{title(dataset)} {_SPLITS.get(split, split)}" for dataset, split in columns)]


def _markdown(heading: str, columns: Sequence[tuple[str, str]], rows: Sequence[_Row], notes: Sequence[str]) -> str:
    head = _head(columns)
    lines = [f"# {heading}", "", *(f"{note}\n" for note in notes)]
    for family in dict.fromkeys(row.family for row in rows):
        lines += [f"## {family}", "", *(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head)))]
        for row in [row for row in rows if row.family == family]:
            texts = [row.seconds, *row.entries]
            lines.append(
                f"| {' | '.join([row.method, *('<br>'.join(filter(None, _two_lines(entry))) for entry in texts)])} |"
            )
        lines.append("")
    return "\n".join(lines)


def _two_lines(entry: _Entry | None) -> list[str]:
    """What was measured with its mark, and what was published; nothing where the paper has no number."""
    if entry is None:
        return []
    measured = " ".join(filter(None, (entry.measured, MARKS.get(entry.verdict, ""))))
    published = f"({entry.published})" if entry.published else ""
    return [measured or (MARKS[NOT_MEASURED] if published else ""), published]


def _html(heading: str, columns: Sequence[tuple[str, str]], rows: Sequence[_Row], notes: Sequence[str]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in _head(columns))
    lines = [f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    family = None
    for row in rows:
        if row.family != family:
            family = row.family
            lines.append(f'<tr><th class="family" colspan="{len(columns) + 2}">{html.escape(family)}</th></tr>')
        texts = "".join(_html_cell(entry) for entry in (row.seconds, *row.entries))
        lines.append(f'<tr><th class="method">{html.escape(row.method)}</th>{texts}</tr>')
    lines.append("</tbody>")
    paragraphs = "\n".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return _PAGE.format(heading=html.escape(heading), table="\n".join(lines), notes=paragraphs)


def _html_cell(entry: _Entry | None) -> str:
    if entry is None:
        return "<td></td>"
    why = "; ".join(filter(None, (entry.verdict, entry.why)))
    hint = f' title="{html.escape(why)}"' if why else ""
    measured, published = map(html.escape, _two_lines(entry))
    return f"<td{hint}>{measured}<small>{published}</small></td>"


def _latex(caption: str, columns: Sequence[tuple[str, str]], rows: Sequence[_Row]) -> str:
    datasets = list(dict.fromkeys(dataset for dataset, _ in columns))
    spans = [sum(of == dataset for of, _ in columns) for dataset in datasets]
    tops = [rf"\multicolumn{{{span}}}{{c}}{{{_escaped(title(of))}}}" for of, span in zip(datasets, spans, strict=True)]
    ends = [sum(spans[: i + 1]) + 2 for i in range(len(spans))]
    rules = "".join(rf"\cmidrule(lr){{{end - span + 1}-{end}}}" for end, span in zip(ends, spans, strict=True))
    splits = [_SPLITS.get(split, split) for _, split in columns]
    head = [f" & & {' & '.join(tops)} \\\\", rules, f"Method & Search (s) & {' & '.join(splits)} \\\\"]
    body = []
    family = None
    for row in rows:
        if row.family != family:
            body += [r"\midrule"] * (family is not None)
            family = row.family
            body.append(rf"\multicolumn{{{len(columns) + 2}}}{{l}}{{\textit{{{_escaped(family)}}}}} \\")
        lines = [_latex_lines(entry) for entry in (row.seconds, *row.entries)]
        body.append(
            " & ".join([re.sub(r"N = (\d+)", r"$N = \1$", row.method), *(above for above, _ in lines)]) + r" \\"
        )
        body.append(" & ".join(["", *(below for _, below in lines)]) + r" \\")
    return _TEX.format(
        caption=_escaped(caption), columns="r" * (len(columns) + 1), head="\n".join(head), body="\n".join(body)
    )


def _latex_lines(entry: _Entry | None) -> tuple[str, str]:
    if entry is None:
        return "", ""
    mark = _LATEX_MARKS.get(entry.verdict, "")
    above = " ".join(filter(None, (_escaped(entry.measured), mark)))
    if not entry.published:
        return above, ""
    return above or _LATEX_MARKS[NOT_MEASURED], f"({_escaped(entry.published)})"


def _escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(_SPECIAL.get(sign, sign) for sign in text)
