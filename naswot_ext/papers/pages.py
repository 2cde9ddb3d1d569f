"""Pages of the report for a reader who has nothing else: what was reproduced, and every number with its verdict.

Each is one file that asks nothing of the network, and reads without its script, which only hides rows.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from naswot_ext.papers.cells import NOT_COMPARABLE, TOO_FEW, accuracy_name, told
from naswot_ext.papers.items import PAPERS
from naswot_ext.papers.layout import MARKS
from naswot_ext.papers.summary import blocks, items_of, joined, measured, published
from naswot_ext.tables import cell, title

COLUMNS = ["Item", "Space", "Accuracy", "Method", "Measured", "Published", "Standard errors", "Verdict", "Why"]
_CHOICES = {
    "paper": "Paper",
    "item": "Table or figure",
    "space": "Space",
    "dataset": "Data set",
    "method": "Method or score",
    "verdict": "Verdict",
}
_NO_BREAK = "\N{NO-BREAK SPACE}"
_CLASSES = {
    **dict.fromkeys(("Measured", "Published", "Standard errors"), "number"),
    **{name: name.lower() for name in ("Verdict", "Why")},
}

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{heading}</title><style>
body {{ font: 13px sans-serif; margin: 1em 1.5em; color: #111; }} p, ul {{ max-width: 75em; line-height: 1.4; }}
h1 {{ font-size: 1.4em; }} h2 {{ font-size: 1.2em; margin-top: 1.6em; }} h3 {{ font-size: 1em; }}
table {{ border-collapse: collapse; }} th, td {{ border: 1px solid #ccc; padding: 0.25em 0.5em; vertical-align: top; }}
th {{ background: #eee; text-align: left; position: sticky; top: 0; }}
td {{ font-size: 12px; }} .number, .verdict {{ white-space: nowrap; }} .number {{ text-align: right; }}
.why {{ min-width: 13em; overflow-wrap: anywhere; }}
.reproduced .verdict {{ background: #d6e9f5; }} .differs .verdict {{ background: #fbdcb8; }}
label {{ display: inline-block; margin: 0 1em 0.5em 0; }} select {{ font: inherit; }}
</style><h1>{heading}</h1>
{body}
</html>
"""
_SCRIPT = """<script>
const rows = [...document.querySelectorAll("tbody tr")], choices = [...document.querySelectorAll("select")];
const fits = row => choices.every(choice => !choice.value || row.dataset[choice.name] === choice.value);
const choose = () => {
  rows.forEach(row => { row.hidden = !fits(row); });
  document.querySelector("output").textContent = rows.filter(fits).length;
};
choices.forEach(choice => choice.addEventListener("change", choose));
</script>"""


def summary_page(cells: Iterable[pd.DataFrame], note: str = "") -> str:
    """What `summary.summary` says in Markdown, as a page."""
    parts = [_html(kind, what) for kind, what in blocks(cells, note)]
    return _PAGE.format(heading="What was reproduced", body="\n".join(parts))


def numbers_page(cells: Iterable[pd.DataFrame], heading: str, note: str = "") -> str:
    """Every cell with its verdict and why, a row each, in the papers' order; the reader chooses which are shown."""
    rows = [row for _, part in items_of(joined(cells)) for row in part.itertuples()]
    # What all rows have in common, the heading says.
    columns = COLUMNS[len({(row.paper, row.item) for row in rows}) == 1 :]
    chosen_by = [_chosen_by(row) for row in rows]
    choices = [
        _choice(name, label, values)
        for name, label in _CHOICES.items()
        if len(values := list(dict.fromkeys(row[name] for row in chosen_by))) > 1
    ]
    explained = (
        "Measured and published: the mean ± the standard deviation over runs, where there are runs. Standard errors: "
        f"how many of its own the difference is. {TOO_FEW.capitalize()}: the difference lies within its error, "
        f"which is too large for a verdict. {NOT_COMPARABLE.capitalize()}: the number is of something else than the "
        "published one."
    )
    body = [f"<p>{html.escape(text)}</p>" for text in (note, explained) if text]
    body += [f"<p>{''.join(choices)}</p>"] * bool(choices)
    body += [f"<p><output>{len(rows)}</output> of {len(rows)} numbers</p>", "<table>"]
    body += [f"<thead><tr>{''.join(f'<th>{name}</th>' for name in columns)}</tr></thead>", "<tbody>"]
    body += [_line(row, by, columns) for row, by in zip(rows, chosen_by, strict=True)]
    return _PAGE.format(heading=html.escape(heading), body="\n".join([*body, "</tbody></table>", _SCRIPT]))


def _chosen_by(row: Any) -> dict[str, str]:
    """What a reader may choose a cell by."""
    return {
        "paper": PAPERS.get(row.paper, row.paper),
        "item": row.item,
        "space": title(row.space),
        "dataset": title(row.dataset),
        "method": row.method,
        "verdict": told(row),
    }


def _choice(name: str, label: str, values: Sequence[str]) -> str:
    options = "".join(f"<option>{html.escape(value)}</option>" for value in values)
    options = f'<option value="">all</option>{options}'
    return f'<label>{label} <select name="{name}" autocomplete="off">{options}</select></label>'


def _line(row: Any, by: dict[str, str], columns: Sequence[str]) -> str:
    """The row of a cell, its verdict as its class."""
    texts = {
        "Item": f"{by['paper'].replace(' ', _NO_BREAK)} {row.item}",
        "Space": by["space"],
        "Accuracy": accuracy_name(row.dataset, row.split),
        "Method": row.method + cell(row.n_samples, ", N = {:.0f}"),
        "Measured": measured(row, spread=True),
        "Published": published(row, spread=True),
        "Standard errors": cell(row.in_standard_errors, "{:+.1f}"),
        "Verdict": f"{MARKS[by['verdict']]} {by['verdict']}",
        "Why": row.reason,
    }
    data = " ".join(f'data-{name}="{html.escape(value)}"' for name, value in by.items())
    cells = "".join(f'<td class="{_CLASSES.get(name, "")}">{html.escape(texts[name])}</td>' for name in columns)
    return f'<tr class="{row.verdict}" {data}>{cells}</tr>'


def _html(kind: str, what: Any) -> str:
    """A block of the summary."""
    if kind == "ul":
        return f"<ul>{''.join(f'<li>{html.escape(text)}</li>' for text in what)}</ul>"
    if kind == "table":
        head, *body = what
        lines = ["<table>", f"<thead><tr>{''.join(f'<th>{html.escape(name)}</th>' for name in head)}</tr></thead>"]
        lines += [
            "<tbody>",
            *(f"<tr>{''.join(_counted(text) for text in row)}</tr>" for row in body),
            "</tbody></table>",
        ]
        return "\n".join(lines)
    tag = {"strong": "p", "p": "p", "h2": "h2", "h3": "h3"}[kind]
    text = html.escape(what)
    return f"<{tag}>{f'<strong>{text}</strong>' if kind == 'strong' else text}</{tag}>"


def _counted(text: str) -> str:
    return f"<td{' class=number' * text.isdigit()}>{html.escape(text)}</td>"
