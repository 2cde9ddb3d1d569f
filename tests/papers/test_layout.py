"""Tables in the papers' layout: what stands in each of the four files, and that LaTeX takes one of them."""

from __future__ import annotations

import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from naswot_ext.papers.cells import read_cells
from naswot_ext.papers.layout import MARKS, write_table
from naswot_ext.papers.search_cells import search_cells
from tests.papers.tables import made_by, runs

NOTE = "100 runs among 200 of 15,625 architectures & 50% of it_all."


def written(folder: Path, published, item=("icml2021", "table2a")) -> dict[str, str]:
    """A table with one cell that is reproduced and one that differs, as {ending: text}."""
    searches = [
        (runs({"cifar10_test": [92.0, 93.0, 92.5]}), made_by("naswot", proxy="naswot", n_samples=10)),
        (runs({"cifar10_test": [80.0, 80.1, 80.2]}, seconds=12345.6), made_by("rea")),
    ]
    missing = {(None, "imagenet16-120"): "NATS-tss-v1_0-3ffb9-simple.tar would fill it"}
    files = {"csv": "csv", "markdown": "md", "tex": "tex", "html": "html"}
    paths = {kind: folder / f"table.{ending}" for kind, ending in files.items()}
    write_table(search_cells(item, searches, published, missing), "Table 2a: 100% & more", NOTE, **paths)
    return {kind: path.read_text(encoding="utf-8") for kind, path in paths.items()}


def row_of(markdown: str, method: str) -> list[str]:
    (line,) = (line for line in markdown.splitlines() if line.startswith(f"| {method} |"))
    return [text.strip() for text in line.strip("|").split("|")]


def test_a_row_holds_seconds_and_every_column_measured_above_published(tmp_path, published) -> None:
    markdown = written(tmp_path, published)["markdown"]
    method, seconds, valid, test, *_, imagenet = row_of(markdown, "NASWOT (N = 10)")
    assert method == "NASWOT (N = 10)"
    assert seconds == "2<br>(3.05)"
    assert valid == "–<br>(89.14 ± 1.14)"
    assert test == "92.50 ± 0.41 =<br>(92.44 ± 1.13)"
    assert imagenet == "–<br>(41.31 ± 4.11)"
    assert row_of(markdown, "REA")[1:4] == [
        "12,346<br>(12,000)",
        "–<br>(91.19 ± 0.31)",
        "80.10 ± 0.08 ≠<br>(93.92 ± 0.30)",
    ]
    # The paper has no test accuracy of AREA.
    assert row_of(markdown, "AREA")[3] == ""


def test_families_stand_in_the_papers_order_with_their_methods(tmp_path, published) -> None:
    markdown = written(tmp_path, published)["markdown"]
    assert re.findall(r"^## (.*)$", markdown, re.MULTILINE) == [
        "Non-weight sharing",
        "Weight sharing",
        "Training-free",
        "Reference",
    ]
    methods = [line.split("|")[1].strip() for line in markdown.splitlines() if "<br>(" in line]
    assert methods[:6] == ["REA", "RS", "REINFORCE", "BOHB", "AREA", "RSPS"]
    assert methods[-3:] == ["Random", "Optimal (N = 10)", "Optimal (N = 100)"]


def test_the_notes_say_what_was_run_what_marks_mean_and_what_is_missing(tmp_path, published) -> None:
    files = written(tmp_path, published)
    for text in (files["markdown"], files["html"].replace("&amp;", "&")):
        assert NOTE in text
        assert all(mark in text for mark in MARKS.values())
        assert "NATS-tss-v1_0-3ffb9-simple.tar would fill it" in text
        assert "RSPS, DARTS-V1, DARTS-V2, GDAS, SETN, ENAS on CIFAR-10, CIFAR-100, ImageNet16-120" in text


def test_the_csv_file_holds_the_cells(tmp_path, published) -> None:
    written(tmp_path, published)
    cells = read_cells(tmp_path / "table.csv")
    assert len(cells) == 99
    assert sorted(set(cells["verdict"])) == ["differs", "not measured", "reproduced"]


class _Table(html.parser.HTMLParser):
    """The texts of the cells of a page, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag) -> None:
        self._inside &= tag not in ("td", "th")

    def handle_data(self, data) -> None:
        if self._inside:
            self.rows[-1][-1] += data


def test_the_page_holds_what_the_markdown_holds(tmp_path, published) -> None:
    files = written(tmp_path, published)
    rows = {row[0]: row for row in _Table(files["html"]).rows}
    for method in ("REA", "NASWOT (N = 10)", "Optimal (N = 100)"):
        assert rows[method] == [text.replace("<br>", "") for text in row_of(files["markdown"], method)]
    assert "<title>Table 2a: 100% &amp; more</title>" in files["html"]
    assert 'title="differs"' in files["html"]
    # Nothing is fetched from anywhere.
    assert not re.search(r"src=|href=|url\(", files["html"])


def test_the_latex_table_has_booktabs_rules_and_as_many_places_in_every_row(tmp_path, published) -> None:
    tex = written(tmp_path, published)["tex"]
    assert all(tex.count(rule) == 1 for rule in (r"\toprule", r"\bottomrule", r"\begin{tabular}", r"\end{tabular}"))
    rows = [line for line in tex.splitlines() if line.endswith(r"\\") and r"\textit" not in line]
    of_methods = [line for line in rows if "multicolumn" not in line]
    assert {line.count("&") for line in of_methods} == {7}
    assert r"92.50 $\pm$ 0.41 $=$" in tex
    assert r"80.10 $\pm$ 0.08 $\neq$" in tex
    assert r"architectures \& 50\% of it\_all." in tex
    assert r"NASWOT ($N = 10$) & 2 &" in tex
    assert tex.count("{") == tex.count("}")


@pytest.mark.parametrize("item", [("icml2021", "table1"), ("icml2021", "table2b"), ("arxiv2020", "table1")])
def test_every_table_of_the_papers_has_a_layout(item, tmp_path, published) -> None:
    files = written(tmp_path, published, item)
    methods = {"table1": "REA", "table2b": "BOHB"}
    assert len(row_of(files["markdown"], methods[item[1]])) == (3 if item == ("icml2021", "table1") else 8)
    if item[0] == "arxiv2020":
        assert "Jacobian" not in files["markdown"]


def test_latex_compiles_the_table(tmp_path, published) -> None:
    if not shutil.which("pdflatex"):
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-recommended)")
    written(tmp_path, published)
    (tmp_path / "page.tex").write_text(
        "\\documentclass[twocolumn]{article}\\usepackage{booktabs}\\begin{document}\\input{table.tex}\\end{document}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    compiled = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stdout[-2000:]
    assert (tmp_path / "page.pdf").stat().st_size > 10_000
