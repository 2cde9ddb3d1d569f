"""Tables in the papers' layout: what stands in each of the four files, and that LaTeX takes one of them."""

from __future__ import annotations

import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from naswot_ext.papers.cells import compared, frame, not_measured, read_cells
from naswot_ext.papers.layout import MARKS, write_table
from naswot_ext.papers.search_cells import search_cells
from tests.papers.tables import made_by, runs

NOTE = "100 runs among 200 of 15,625 architectures & 50% of it_all."


def forms(folder: Path, cells, heading: str, note: str) -> dict[str, str]:
    """The text of each form of a table."""
    files = {"csv": "csv", "markdown": "md", "tex": "tex", "html": "html"}
    paths = {kind: folder / f"table.{ending}" for kind, ending in files.items()}
    write_table(cells, heading, note, **paths)
    return {kind: path.read_text(encoding="utf-8") for kind, path in paths.items()}


def written(folder: Path, published, item=("icml2021", "table2a")) -> dict[str, str]:
    """A table with a cell that is reproduced, one that differs, and one of too few to tell, as {form: text}."""
    part = {"architectures": 200, "draw_seed": 0}
    searches = [
        (runs({"cifar10_test": [92.0, 93.0, 92.5]}), made_by("naswot", proxy="naswot", n_samples=10)),
        (runs({"cifar10_test": [92.6, 92.7]}), made_by("naswot", proxy="naswot", n_samples=100, draw=part)),
        (runs({"cifar10_test": [80.0, 80.1, 80.2]}, seconds=12345.6), made_by("rea")),
    ]
    missing = {(None, "imagenet16-120"): "NATS-tss-v1_0-3ffb9-simple.tar would fill it"}
    cells = search_cells(item, searches, published, missing)
    return forms(folder, cells, "Table 2a: 100% & more", NOTE)


def row_of(markdown: str, method: str) -> list[str]:
    (line,) = (line for line in markdown.splitlines() if line.startswith(f"| {method} |"))
    return [text.strip() for text in line.strip("|").split("|")]


def test_a_row_holds_seconds_and_every_column_measured_above_published(tmp_path, published) -> None:
    markdown = written(tmp_path, published)["markdown"]
    method, seconds, valid, test, *_, imagenet = row_of(markdown, "NASWOT (N = 10)")
    assert method == "NASWOT (N = 10)"
    assert seconds == "2<br>(3.05)"
    assert valid == "–<br>(89.14 ± 1.14)"
    assert test == "92.50 ± 0.41 =<br>(92.44 ± 1.13; +0.2 SE)"
    assert imagenet == "–<br>(41.31 ± 4.11)"
    assert row_of(markdown, "REA")[1:4] == [
        "12,346<br>(12,000)",
        "–<br>(91.19 ± 0.31)",
        "80.10 ± 0.08 ≠<br>(93.92 ± 0.30; -281.5 SE)",
    ]
    # The paper has no test accuracy of AREA.
    assert row_of(markdown, "AREA")[3] == ""


def test_the_difference_in_standard_errors_is_that_of_the_cells_and_stands_in_every_form(tmp_path, published) -> None:
    files = written(tmp_path, published)
    cells = read_cells(tmp_path / "table.csv")
    known = cells["in_standard_errors"].dropna()
    assert len(known) == 3
    for number in known:
        assert f"; {number:+.1f} SE)" in files["markdown"]
        assert f"; {number:+.1f} SE)" in files["html"]
        assert f"${number:+.1f}$ SE" in files["tex"]
    for form in ("markdown", "html", "tex"):
        assert "measured less published, in standard errors (SE) of this difference" in files[form]


def test_too_few_to_tell_looks_unlike_a_verdict_and_unlike_nothing(tmp_path, published) -> None:
    files = written(tmp_path, published)
    cell = row_of(files["markdown"], "NASWOT (N = 100)")[3]
    assert cell == "*92.65 ± 0.05* ?<br>(92.81 ± 0.99; -0.2 SE)"
    assert '<td class="unjudged" title="too few to tell: ' in files["html"]
    assert ">92.65 ± 0.05 ?<small>" in files["html"]
    assert r"\textit{92.65\,$\pm$\,0.05} ? " in files["tex"]
    for form in ("markdown", "html", "tex"):
        assert "Too few to tell: NASWOT on CIFAR-10: 100 of 200 scored architectures a run" in files[form]
        assert "? (in italics) measured, but too few to tell" in files[form]


def test_what_is_not_comparable_is_shown_with_its_value_and_a_mark_of_its_own(tmp_path, published) -> None:
    part = made_by("random", space="nasbench101", note="a part of the space")
    cells = search_cells(("icml2021", "table1"), [(runs({"cifar10_test": [90.5, 90.6]}), part)], published)
    files = forms(tmp_path, cells, "Table 1", "")
    assert row_of(files["markdown"], "Random")[-1].startswith("*90.55 ± 0.05* †<br>(90.38 ± 5.51")
    assert '<td class="unjudged" title="not comparable: a part of the space">90.55 ± 0.05 †<small>' in files["html"]
    assert r"\textit{90.55\,$\pm$\,0.05} $\dagger$" in files["tex"]
    for form in ("markdown", "html", "tex"):
        assert "Not comparable: Random on CIFAR-10: a part of the space." in files[form]
        assert "(in italics) measured, but not comparable" in files[form]
    assert "†" not in files["tex"]


def test_a_difference_that_may_be_the_one_initialisations_is_remarked_on(tmp_path, published) -> None:
    one_of_all = made_by("naswot", proxy="naswot", n_samples=10, initialisations=1)
    cells = search_cells(("icml2021", "table2a"), [(runs({"cifar10_test": [80.0, 80.1, 80.2]}), one_of_all)], published)
    for text in forms(tmp_path, cells, "Table 2a", "").values():
        assert "one initialisation, whose error is not in this" in text


def ranks(folder: Path) -> dict[str, str]:
    """A table of ranks: one that is known, one that is not."""
    of = {"paper": "arxiv2020", "item": "rank_claim", "space": "nasbench201", "dataset": "cifar10", "split": "valid"}
    of |= {"quantity": "rank"}
    known = {
        "measured": 5905.15,
        "measured_std": 1007.2,
        "runs": 44,
        "standard_error": 1147.1,
        "reason": "44 ranks & 1",
    }
    single = {"measured": 700.0, "measured_std": 0.0, "runs": 1, "standard_error": float("nan"), "reason": "1 rank"}
    cells = [
        compared(**known, **of, method="NASWOT-Jacobian", published=667),
        compared(**single, **of, method="naswot", published=668),
        not_measured("no number of parameters", **of, method="params", published=8597),
    ]
    return forms(folder, frame(cells), "The smallest network above 90 %", "scale small; one mini-batch")


def test_ranks_are_whole_numbers_without_a_deviation_that_there_is_none_of(tmp_path) -> None:
    files = ranks(tmp_path)
    assert row_of(files["markdown"], "NASWOT-Jacobian") == ["NASWOT-Jacobian", "5905 ± 1007 ≠<br>(667; +4.6 SE)"]
    assert row_of(files["markdown"], "naswot") == ["naswot", "700 ≠<br>(668)"]
    assert row_of(files["markdown"], "Number of parameters") == ["Number of parameters", "–<br>(8597)"]
    for form in ("markdown", "html", "tex"):
        assert "nan" not in files[form]
        assert "Percent" not in files[form]
        assert "Seconds" not in files[form]
        assert "1 is the highest score, or the most parameters" in files[form]
        # One rule for all cells, that of the standard errors beside them.
        assert "reproduced (within 3 SE)" in files[form]
    # There is no search, so no column of its seconds.
    assert "| Method | CIFAR-10 rank |" in files["markdown"].splitlines()


def test_the_reasons_of_judged_cells_stand_in_every_form(tmp_path) -> None:
    files = ranks(tmp_path)
    for form, sign in (("markdown", "&"), ("html", "&amp;"), ("tex", r"\&")):
        assert f"Remark: NASWOT-Jacobian on CIFAR-10: 44 ranks {sign} 1." in files[form]
        assert "Not measured: Number of parameters on CIFAR-10: no number of parameters." in files[form]


def test_every_part_of_a_caption_is_a_sentence(tmp_path, published) -> None:
    tex = ranks(tmp_path)["tex"]
    assert r"\caption{The smallest network above 90 \%.}" in tex
    assert "\nScale small; one mini-batch.\nRank among all networks: 1 is" in tex
    assert "of it\\_all.\nPercent, mean $\\pm$ standard" in written(tmp_path, published)["tex"]


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
    for method in ("REA", "NASWOT (N = 10)", "NASWOT (N = 100)", "Optimal (N = 100)"):
        assert rows[method] == [re.sub(r"<br>|\*", "", text) for text in row_of(files["markdown"], method)]
    assert "<title>Table 2a: 100% &amp; more</title>" in files["html"]
    assert 'title="differs"' in files["html"]
    # Nothing is fetched from anywhere.
    assert not re.search(r"src=|href=|url\(", files["html"])


def test_the_latex_table_has_booktabs_rules_and_as_many_places_in_every_row(tmp_path, published) -> None:
    tex = written(tmp_path, published)["tex"]
    assert all(tex.count(rule) == 1 for rule in (r"\toprule", r"\bottomrule", r"\begin{tabular}", r"\end{tabular}"))
    of_methods = [line for line in tex.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count("&") for line in of_methods} == {7}
    assert r"92.50\,$\pm$\,0.41 $=$" in tex
    assert r"80.10\,$\pm$\,0.08 $\neq$" in tex
    # What is not measured takes one line.
    assert r"ENAS & -- (13,315) & -- (39.77\,$\pm$\,0.00) & " in tex
    assert r"architectures \& 50\% of it\_all." in tex
    assert "NASWOT & 2 &" in tex
    assert "\\\\\n\\quad $N = 10$ & (3.05) &" in tex
    assert tex.count("{") == tex.count("}")


@pytest.mark.parametrize("item", [("icml2021", "table1"), ("icml2021", "table2b"), ("arxiv2020", "table1")])
def test_every_table_of_the_papers_has_a_layout(item, tmp_path, published) -> None:
    files = written(tmp_path, published, item)
    methods = {"table1": "REA", "table2b": "BOHB"}
    assert len(row_of(files["markdown"], methods[item[1]])) == (3 if item == ("icml2021", "table1") else 8)
    if item[0] == "arxiv2020":
        # One name wherever people read, as figure 6 and the summary have it.
        assert "| NASWOT-Jacobian (N = 10) |" in files["markdown"]
        assert "| NASWOT (N" not in files["markdown"]


@pytest.mark.parametrize("item", [("icml2021", "table2a"), ("arxiv2020", "table1"), None])
def test_latex_compiles_the_table_and_a_page_has_room_for_it(item, tmp_path, published) -> None:
    if not shutil.which("pdflatex"):
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-recommended)")
    if item is None:
        ranks(tmp_path)
    else:
        # As many and as long numbers as there can be.
        numbers = {"measured_std": 17.67, "runs": 500, "seconds": 12_000.0, "in_standard_errors": -12.3}
        cells = search_cells(item, [], published).assign(measured=85.12, verdict="differs", **numbers)
        # A run's notes: what is said of the scale in some three lines, and as many of reasons.
        why = {"NASWOT": "one initialisation", "NASWOT-Jacobian": "one initialisation", "Optimal": "of 200"}
        forms(tmp_path, cells.assign(reason=cells["method"].map(why).fillna("")), "Table", " ".join([NOTE] * 10))
    # A page of ICML: two columns of 3.25 inches with 0.25 between them.
    (tmp_path / "page.tex").write_text(
        "\\documentclass[twocolumn]{article}\\usepackage{booktabs}\\textwidth=6.75in\\textheight=9in\n"
        "\\begin{document}\\input{table.tex}\\end{document}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    compiled = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stdout[-2000:]
    assert "Overfull" not in compiled.stdout, compiled.stdout[-2000:]
    assert "too large" not in compiled.stdout, compiled.stdout[-2000:]
    assert (tmp_path / "page.pdf").stat().st_size > 10_000
