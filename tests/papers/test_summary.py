"""The summary of all verdicts, and the report's first page."""

from __future__ import annotations

import html
import re
from pathlib import Path

import docutils.core
import docutils.utils
import pandas as pd
import pytest

from naswot_ext.headline import reproduced
from naswot_ext.papers.cells import cell, compared, frame, not_measured, read_cells, write_cells
from naswot_ext.papers.pages import numbers_page, summary_page
from naswot_ext.papers.summary import COLUMNS, distinct, landing, summary, totals


def made(item: str, offsets=(), absent=(), paper="icml2021"):
    """Cells that are off by so many standard errors, and cells that are not measured for these reasons."""
    of = {"paper": paper, "item": item, "space": "nasbench201", "dataset": "cifar10", "split": "test"}
    of |= {"quantity": "accuracy_percent", "published": 90.0}
    rows = [
        compared(**{**of, "measured": 90 + 0.1 * off}, standard_error=0.1, method=f"M{i}", n_samples=10)
        for i, off in enumerate(offsets)
    ]
    return frame([*rows, *(not_measured(why, **of, method="RS", n_samples=i) for i, why in enumerate(absent))])


OF_TABLE = {
    "paper": "icml2021",
    "item": "table2a",
    "space": "nasbench201",
    "method": "RS",
    "dataset": "cifar10",
    "split": "test",
    "quantity": "accuracy_percent",
}
FILE = "NATS-tss-v1_0-3ffb9-simple.tar would fill it"
CELLS = [
    made("table1", offsets=[0.5, -1.0], absent=[FILE], paper="arxiv2020"),
    made("table2a", offsets=[1.0, -7.0, 4.0, 2.0], absent=["days of a GPU", FILE, FILE]),
]


def test_verdicts_are_counted_for_each_item_in_the_papers_order() -> None:
    counted, _ = summary(CELLS)
    assert list(counted.columns) == COLUMNS
    names = ["item", "cells", "reproduced", "differs", "too_few_to_tell", "not_comparable", "not_measured"]
    assert counted[names].to_numpy().tolist() == [["table2a", 7, 2, 2, 0, 0, 3], ["table1", 3, 2, 0, 0, 0, 1]]
    assert totals(counted) == (
        "Of 10 published numbers: 4 reproduced, 2 different, 0 too few to tell, 0 not comparable, 4 not measured."
    )


def test_the_end_of_a_run_says_of_each_item_where_all_its_numbers_are(tmp_path: Path) -> None:
    few = not_measured("too few to tell: 3 runs", **OF_TABLE, measured=90.1)
    counted, _ = summary([*CELLS, frame([few, few])])
    counted.to_csv(tmp_path / "summary.csv", index=False)
    first, *lines = reproduced(tmp_path / "summary.csv")
    assert first == totals(counted)
    assert lines == [
        "  icml2021 table2a    2 reproduced,   2 different,   2 without a verdict,   3 not measured",
        "  arxiv2020 table1    2 reproduced,   0 different,   0 without a verdict,   1 not measured",
    ]


def test_what_was_measured_without_a_verdict_is_no_cell_that_was_not_measured() -> None:
    few, unlike = ({**row, "measured": 90.1} for row in (not_measured("too few to tell: 3 runs", **OF_TABLE),) * 2)
    cells = [
        made("table2a", offsets=[0.5], absent=["no file"]),
        frame([few, {**unlike, "reason": "not comparable: why"}]),
    ]
    counted, markdown = summary(cells)
    (row,) = counted.itertuples()
    assert (row.cells, row.reproduced, row.too_few_to_tell, row.not_comparable, row.not_measured) == (4, 1, 1, 1, 1)
    assert "Of 4 published numbers: 1 reproduced, 0 different, 1 too few to tell, 1 not comparable, 1 not" in markdown
    without, absent = markdown.split("## Measured, but without a verdict\n")[1].split("## Not measured, and")
    assert "too few to tell: 3 runs" in without
    assert "not comparable: why" in without
    assert "no file" in absent
    # The first page has room for one column of them.
    (line,) = (line for line in landing(counted, {}).splitlines() if "table2a" in line)
    assert line.split()[-4:] == ["1", "0", "2", "1"]


def test_a_number_that_both_papers_print_and_that_was_measured_alike_is_counted_once() -> None:
    here = made("table2a", offsets=[0.5, -7.0], absent=["no file", "another"])
    there = made("table1", offsets=[0.5, -6.0], absent=["no accuracy"], paper="arxiv2020")
    # M0 and the first RS are the same; M1 was measured otherwise, and the second RS is of another N.
    said = "Both papers print 2 of these alike, so 5 are distinct, 1 of them reproduced, 2 different."
    counted, markdown = summary([here, there])
    assert markdown.splitlines()[2] == said
    assert f"{totals(counted)} {said}" in landing(counted, {"distinct": distinct(pd.concat([here, there]))})
    other_split = there.assign(split="valid")
    assert distinct(pd.concat([here, other_split])) == ""
    assert distinct(pd.concat([here, there.assign(published=90.01)])) == ""
    assert distinct(pd.concat([here, there.assign(method="other")])) == ""


def test_the_first_line_has_the_totals_and_then_comes_what_was_run() -> None:
    counted, markdown = summary(CELLS, "Scale: small.")
    lines = markdown.splitlines()
    assert lines[0] == f"**{totals(counted)}**"
    assert lines[2].startswith("Both papers print 1 of these alike, so 9 are distinct, 4 of them reproduced")
    assert lines[4] == "Scale: small."
    assert "| ICML 2021 | table2a: Searches on NAS-Bench-201 | 7 | 2 | 2 | 0 | 0 | 3 |" in lines


def test_the_worst_deviation_is_named_with_its_sign() -> None:
    counted, markdown = summary(CELLS)
    assert counted["worst"].iloc[0] == "M1 (N = 10), CIFAR-10 test"
    assert counted["worst_in_standard_errors"].iloc[0] == pytest.approx(-7)
    named = [line for line in markdown.splitlines() if "standard errors" in line and line.startswith("- ")]
    assert named == [
        "- M1 (N = 10), CIFAR-10 test: measured 89.30 %, published 90.00 %, -7.0 standard errors",
        "- M2 (N = 10), CIFAR-10 test: measured 90.40 %, published 90.00 %, +4.0 standard errors",
    ]


def test_many_deviations_are_cut_and_the_rest_counted() -> None:
    _, markdown = summary([made("table2a", offsets=range(4, 14))])
    assert len([line for line in markdown.splitlines() if line.startswith("- M")]) == 5
    assert "- and 5 more, each nearer in standard errors" in markdown


def test_what_is_not_measured_has_one_line_for_each_reason() -> None:
    _, markdown = summary(CELLS)
    listed = markdown.split("## Not measured, and what would fill it\n\n")[1].splitlines()
    assert listed == [
        f"- 3 cells (ICML 2021 table2a, arXiv 2020 table1): {FILE}",
        "- 1 cell (ICML 2021 table2a): days of a GPU",
    ]


def test_cells_that_are_equal_or_not_as_printed_have_no_deviation_but_are_named() -> None:
    of = {"paper": "arxiv2020", "item": "rank_claim", "method": "params", "dataset": "cifar10", "quantity": "rank"}
    counted, markdown = summary([frame([compared(measured=700.0, published=667.0, standard_error=0.0, **of)])])
    assert "- params, CIFAR-10: measured 700, published 667\n" in markdown
    assert counted["worst"].iloc[0] == "params, CIFAR-10"
    of = {"paper": "arxiv2020", "item": "figure5", "method": "NASWOT", "quantity": "p_value", "dataset": "cifar10"}
    _, markdown = summary([frame([cell(measured=0.31, verdict="differs", reason="why", **of)])])
    assert "measured p = 0.31, published significant (why)" in markdown


def test_the_summary_of_cells_read_from_files_is_the_same(tmp_path) -> None:
    for i, cells in enumerate(CELLS):
        write_cells(cells, tmp_path / f"{i}.csv")
    again = [read_cells(tmp_path / f"{i}.csv") for i in range(len(CELLS))]
    assert summary(again)[1] == summary(CELLS)[1]


def text_of(page: str) -> str:
    """A page's words, as a reader sees them."""
    body = re.sub(r"<(style|script|title)>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_summarys_page_says_what_its_markdown_says() -> None:
    cells = [*CELLS, frame([not_measured("a <b> & c", **OF_TABLE)])]
    _, markdown = summary(cells, "Scale: small.")
    page = summary_page(cells, "Scale: small.")
    said = re.sub(r"^(#+|-) |\*\*|\|( --- \|)*", "", markdown, flags=re.MULTILINE)
    assert text_of(page) == "What was reproduced " + " ".join(said.split())
    assert page.count("<table>") == 1


def test_the_page_of_numbers_has_every_cell_with_its_verdict_and_why() -> None:
    few = compared(measured=90.05, published=90.0, standard_error=0.1, n_samples=100, **OF_TABLE)
    cells = [*CELLS, frame([{**few, "verdict": "not measured", "reason": "too few to tell: <3> runs"}])]
    page = numbers_page(cells, "Every number")
    rows = [re.findall(r"<td.*?>(.*?)</td>", row) for row in re.findall(r"<tr class.*?</tr>", page)]
    assert [html.unescape(row[7]) for row in rows] == [
        *("= reproduced", "≠ differs", "≠ differs", "= reproduced", *["– not measured"] * 3, "? too few to tell"),
        *("= reproduced", "= reproduced", "– not measured"),
    ]
    assert rows[1][:3] == ["ICML\N{NO-BREAK SPACE}2021 table2a", "NAS-Bench-201", "CIFAR-10 test"]
    assert rows[1][3:7] == ["M1, N = 10", "89.30 %", "90.00 %", "-7.0"]
    assert rows[7][8] == "too few to tell: &lt;3&gt; runs"
    assert "11 of 11 numbers" in text_of(page)


def test_numbers_are_chosen_by_what_they_differ_in() -> None:
    def choices(cells: list[pd.DataFrame]) -> dict[str, list[str]]:
        found = re.findall(r'<select name="(\w+)".*?</select>', page := numbers_page(cells, "Numbers"))
        return {
            name: re.findall(r"<option>(.*?)<", page.split(f'name="{name}"')[1].split("</sel")[0]) for name in found
        }

    assert choices(CELLS) == {
        "paper": ["ICML 2021", "arXiv 2020"],
        "item": ["table2a", "table1"],
        "method": ["M0", "M1", "M2", "M3", "RS"],
        "verdict": ["reproduced", "differs", "not measured"],
    }
    assert choices([made("table1", offsets=[0.5])]) == {}


def test_the_page_of_one_figures_numbers_does_not_repeat_its_name() -> None:
    assert "<th>Item</th>" not in numbers_page([made("figure3", offsets=[0.5, 4.0])], "Figure 3")
    assert "<th>Item</th>" in numbers_page(CELLS, "Numbers")


def test_pages_ask_nothing_of_the_network() -> None:
    for page in (summary_page(CELLS), numbers_page(CELLS, "Numbers")):
        assert not re.search(r"\b(src|href|url|import)\b\s*[=(:]", page)
        assert "//" not in page


def test_spreads_of_runs_stand_beside_their_means() -> None:
    made_so = compared(
        measured=92.4, published=92.5, standard_error=1.0, measured_std=1.0, published_std=0.3, **OF_TABLE
    )
    page = text_of(numbers_page([frame([made_so])], "Numbers"))
    assert "92.40 ± 1.00 %" in page
    assert "92.50 ± 0.30 %" in page


def test_no_cells_are_a_summary_too() -> None:
    assert "0 of 0 numbers" in text_of(numbers_page([frame([])], "Numbers"))
    counted, markdown = summary([frame([])])
    assert len(counted) == 0
    assert markdown.startswith("**No table or figure was made yet.**")
    assert "No table or figure was made yet." in landing(counted, {})


def test_the_first_page_is_valid_and_fits_one_screen() -> None:
    counted, _ = summary([made(item, [0.0], [FILE]) for item in ("table1", "table2a", "figure3", "new_figure")])
    facts = {
        "Scale": "small: 200 of 15,625 architectures, 100 runs",
        "Images": "*.npz of CIFAR-10 | `two` names_ with signs",
        "headline": "tau = 0.58 (0.574 published)\nNASWOT (N = 10): 92.5 %",
    }
    text = landing(counted, facts)
    assert len(text.splitlines()) < 40
    settings = {"report_level": docutils.utils.Reporter.INFO_LEVEL, "halt_level": docutils.utils.Reporter.INFO_LEVEL}
    page = docutils.core.publish_string(text, writer="html5", settings_overrides=settings).decode()
    for said in (
        "Of 8 published numbers: 4 reproduced, 0 different, 0 too few to tell, 0 not comparable, 4 not measured.",
        "*.npz of CIFAR-10 | `two` names_ with signs",
        "<li><p>tau = 0.58 (0.574 published)</p></li>",
        "<p>new_figure</p>",
        "table2a: Searches on NAS-Bench-201",
        # Where the reader finds the rest.
        """href="javascript:app.showCategory('All%20verdicts')">All verdicts</a>""",
    ):
        assert said in page
    # Snakemake reads captions as Jinja templates.
    assert "{{" not in text
    assert "{%" not in text
