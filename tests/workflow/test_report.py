"""The report of a finished run, opened in a browser that has no network."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workflow import browser
from tests.workflow.browser import Page
from tests.workflow.conftest import Project

needs_chromium = pytest.mark.skipif(browser.CHROMIUM is None, reason="there is no chromium (apt-get install chromium)")
MEGABYTES = 30
# The rows of the results in the menu: what the first button of each opens, and what its labels are.
ROWS = """
[...document.querySelectorAll('nav tbody tr')].map(row => ({
    labels: [...row.querySelectorAll('td')].slice(0, -1).map(cell => cell.textContent.replace(/\\s+/g, ' ')),
    download: row.querySelector('a').getAttribute('download'),
}))
"""


# Both papers in a minute: numbers, networks and images are of no worth, and most is not at hand.
PAPERS: dict[str, Any] = {
    "datasets": {"cifar10": {"source": "gaussian", "image_size": 8, "classes": 10}},
    "proxies": ["naswot", "jacobian"],
    "searches": {"runs": 30, "algorithms": {"random": None, "rs": None}},
    "papers": {
        "ablation_2020": {"networks": 1, "samples": 1},
        "training": {"networks": 1, "epochs": 1, "images": 4, "batch_size": 4},
        "kernels": {"networks": 1},
        "histograms": {"networks": 1},
        "library": {"networks": ["nin_cifar10", "resnet20_cifar10"], "initialisations": 1},
    },
}


class Report:
    """The report in a browser, with its menu at hand."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.page.open(file.as_uri())
        self.wait("!!document.querySelector('nav li')")

    def wait(self, condition: str) -> None:
        """Wait for an expression of JavaScript to become true."""
        self._wait(lambda: bool(self.page.evaluate(condition)), f"{condition} did not come true")

    def _wait(self, happened: Callable[[], bool], otherwise: str) -> None:
        end = time.monotonic() + 120
        while not happened():
            assert time.monotonic() < end, otherwise
            time.sleep(0.05)

    def show(self, category: str, subcategory: str) -> None:
        """Open a category's menu of results."""
        view = f"{{navbarMode: 'subcategory', category: {category!r}, subcategory: {subcategory!r}}}"
        # By way of the main menu, since a menu keeps the switches of the one before.
        self.page.evaluate("app.setView({navbarMode: 'menu'})")
        self.wait("!document.querySelector('nav tbody')")
        self.page.evaluate(f"app.setView({view})")
        self.wait("document.querySelectorAll('nav tbody tr').length > 0")

    def menus(self) -> list[tuple[str, str]]:
        """Every category with its subcategories."""
        found = self.page.evaluate("Object.entries(categories).map(([c, s]) => [c, Object.keys(s)])")
        return [(category, subcategory) for category, inner in found for subcategory in inner]

    def click(self, row: int) -> None:
        """Click the eye in a row of the menu."""
        self.page.evaluate(f"document.querySelectorAll('nav tbody tr')[{row}].querySelector('a').click()")

    def text(self) -> str:
        """The words of the page that is shown in the report's frame, when it is whole."""
        self.wait("!!document.querySelector('#app iframe')")
        whole = "document.readyState == 'complete' && !!document.querySelector('h1')"
        self._wait(lambda: bool(self.page.evaluate_inside(whole)), "no page shows")
        return str(self.page.evaluate_inside("document.body.innerText"))

    def image(self) -> dict[str, Any]:
        """The figure that is shown, when it is whole: its address and its width in pixels."""
        self.wait("!!document.querySelector('#app .p-3 > img') && document.querySelector('#app .p-3 > img').complete")
        script = "(({src, naturalWidth}) => ({src, naturalWidth}))(document.querySelector('#app .p-3 > img'))"
        return dict(self.page.evaluate(script))

    def switches(self) -> dict[str, list[str]]:
        """{label: the two values} of the switches of the menu that is open."""
        sets = "[...document.querySelectorAll('nav fieldset')]"
        values = "[...f.querySelectorAll('input')].map(i => i.value)"
        return dict(self.page.evaluate(f"{sets}.map(f => [f.firstChild.textContent, {values}])"))


@pytest.fixture(scope="module")
def two_data_sets(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run on two data sets."""
    folder = tmp_path_factory.mktemp("reported") / "project"
    shutil.copytree(finished.folder, folder)
    project = Project(folder, finished.checkout)
    project.config["datasets"]["loud"] = {"source": "gaussian", "image_size": 8, "classes": 3}
    project.run()
    return project


@pytest.fixture(scope="module")
def report(two_data_sets: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    """Its report, open."""
    with Page(tmp_path_factory.mktemp("profile")) as page:
        yield Report(page, two_data_sets.folder / "results" / "report.html")


@pytest.fixture(scope="module")
def papers_report(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    """The report of both papers, open."""
    project = Project(tmp_path_factory.mktemp("papers"), checkout)
    project.config |= PAPERS
    project.run()
    with Page(tmp_path_factory.mktemp("profile")) as page:
        yield Report(page, project.folder / "results" / "report.html")


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test: no error in the browser's console, and nothing was asked of the network."""
    yield
    for name in {"report", "papers_report"} & set(request.fixturenames):
        page = request.getfixturevalue(name).page
        page.evaluate("1")
        assert page.errors == []
        assert {url.partition(":")[0] for url in page.requests} <= {"file", "data", "blob", "about"}


@needs_chromium
def test_the_browser_tells_of_errors_and_of_what_is_asked_of_the_network(tmp_path: Path) -> None:
    """So that a page without any is one that has none."""
    wrong = "<img src='http://example.invalid/x.png'><script>console.error('oh'); missing()</script>"
    (tmp_path / "page.html").write_text(f"<html><body>{wrong}</body></html>")
    with Page(tmp_path / "profile") as page:
        page.open((tmp_path / "page.html").as_uri())
        page.evaluate("new Promise(done => setTimeout(done, 300))")
    assert any("missing is not defined" in error for error in page.errors)
    assert any("oh" in error for error in page.errors)
    assert "http://example.invalid/x.png" in page.requests


@needs_chromium
def test_the_landing_page_says_on_one_screen_what_was_run_and_what_was_found(report: Report) -> None:
    text = report.page.evaluate("document.querySelector('#app .prose').innerText")
    assert "Neural architecture search without training" in text
    assert "6 architectures of nasbench201" in text
    assert re.search(r"NASWOT +-?\d\.\d{3} \[.*published 0\.574", text)
    assert re.search(r"random +\d\d\.\d\d ± ", text)
    # To the end of what was found, without scrolling.
    bottom = "document.querySelector('#app .prose').getBoundingClientRect().bottom"
    assert report.page.evaluate(f"{bottom} <= window.innerHeight")


@needs_chromium
def test_every_category_opens_and_every_result_in_it_shows(report: Report) -> None:
    menus = report.menus()
    assert {category for category, _ in menus} == {"All spaces", "Scores against accuracy", "Searches", "Tables"}
    assert {inner for category, inner in menus if category in ("Searches", "Scores against accuracy")} == {
        "nasbench201"
    }
    shown = set()
    for category, subcategory in menus:
        report.show(category, subcategory)
        for row, facts in enumerate(report.page.evaluate(ROWS)):
            assert facts["download"] is None
            report.click(row)
            if category == "Tables":
                frame = "document.querySelector('#app iframe')"
                report.wait(f"!!{frame} && {frame}.src.startsWith('data:text/html')")
                shown.add(report.page.evaluate(f"{frame}.src"))
            else:
                image = report.image()
                assert image["naturalWidth"] > 100
                shown.add(image["src"])
    files = report.page.evaluate("Object.keys(results).filter(path => !path.endsWith('.csv')).length")
    # Of each figure of a data set, the other is behind the switch.
    behind = report.page.evaluate("Object.keys(results).filter(path => path.includes('/noise/')).length")
    assert len(shown) == files - behind


@needs_chromium
@pytest.mark.parametrize("category", ["Scores against accuracy", "Searches"])
def test_a_switch_goes_from_one_data_set_to_the_other(report: Report, category: str) -> None:
    report.show(category, "nasbench201")
    assert report.switches() == {"images": ["loud", "noise"]}
    report.click(0)
    before = report.image()
    report.page.evaluate("document.querySelectorAll('nav fieldset input')[1].click()")
    report.wait(f"document.querySelector('#app .p-3 > img').src != {before['src']!r}")
    after = report.image()
    assert after["naturalWidth"] > 100
    assert report.page.evaluate(f"Object.entries(results).find(([, r]) => r.data_uri == {after['src']!r})[0]").count(
        "/noise/"
    )


@needs_chromium
def test_tables_are_pages_and_behind_a_switch_files_to_download(report: Report) -> None:
    report.show("Tables", "Other")
    assert report.switches() == {"format": ["A page", "CSV"]}
    names = ["Paired tests of proxies", "Paired tests of searches", "Rank correlations", "Searches"]
    assert [row["labels"] for row in report.page.evaluate(ROWS)] == [[name] for name in names]
    report.page.evaluate("document.querySelectorAll('nav fieldset input')[1].click()")
    report.wait("!!document.querySelector('nav tbody tr a').getAttribute('download')")
    assert all(row["download"].endswith(".csv") for row in report.page.evaluate(ROWS))


@needs_chromium
def test_every_result_has_a_caption(report: Report) -> None:
    captions = report.page.evaluate("Object.values(results).map(result => result.caption)")
    assert len(captions) > 20
    for caption in captions:
        text = re.sub(r"<[^>]+>", "", caption)
        assert len(text) > 100
        assert "system-message" not in caption  # what docutils says of a mistake
        assert "{{" not in text


@needs_chromium
@pytest.mark.parametrize("page", ["Statistics", "About", "Workflow"])
def test_the_pages_of_the_workflow_open(report: Report, page: str) -> None:
    report.page.evaluate("app.setView({navbarMode: 'menu'})")
    report.wait("!document.querySelector('nav tbody')")
    item = f"[...document.querySelectorAll('nav li')].find(item => item.textContent.trim() == {page!r})"
    report.page.evaluate(f"({item}.querySelector('a') || {item}).click()")
    what = {"Statistics": "#app canvas, #app svg.marks", "About": "nav ul", "Workflow": "#app .prose h1"}[page]
    report.wait(f"!!document.querySelector({what!r})")


@needs_chromium
def test_the_papers_landing_page_fits_one_screen_and_leads_to_all_verdicts(papers_report: Report) -> None:
    page = papers_report.page
    box = "document.querySelector('#app .prose').getBoundingClientRect()"
    assert page.evaluate(f"{box}.top >= 0 && {box}.bottom <= window.innerHeight")
    assert re.search(
        r"Of \d+ published numbers: \d+ reproduced", page.evaluate("document.querySelector('.prose').innerText")
    )
    page.evaluate("[...document.querySelectorAll('.prose a')].find(a => a.textContent == 'All verdicts').click()")
    papers_report.wait("document.querySelectorAll('nav tbody tr').length == 2")


@needs_chromium
def test_the_summary_is_a_page_of_the_report(papers_report: Report) -> None:
    papers_report.show("All verdicts", "Other")
    papers_report.click(0)
    text = papers_report.text()
    assert re.search(r"Of \d+ published numbers: \d+ reproduced", text)
    assert "Not measured, and what would fill it" in text
    assert "no images of cifar100: the config does not name them" in text
    rows = "[...document.querySelectorAll('tbody tr')].map(row => row.cells[1].innerText)"
    items = [row.partition(":")[0] for row in papers_report.page.evaluate_inside(rows)]
    assert items == ["table1", "table2a", "table2b", "figure3", "table1", "figure5", "rank_claim"]


@needs_chromium
def test_every_number_is_chosen_by_space_data_set_method_and_verdict(papers_report: Report) -> None:
    papers_report.show("All verdicts", "Other")
    papers_report.click(1)
    papers_report.text()
    inside = papers_report.page.evaluate_inside
    every = inside("[...document.querySelectorAll('tbody tr')].map(row => ({...row.dataset}))")
    assert len(every) > 250
    assert inside("document.querySelector('output').innerText") == str(len(every))
    choose = "(name, value) => { const choice = document.querySelector(`select[name=${name}]`); choice.value = value;"
    choose += "choice.dispatchEvent(new Event('change')); }"
    visible = (
        "[...document.querySelectorAll('tbody tr')].filter(row => row.offsetHeight).map(row => ({...row.dataset}))"
    )
    chosen = {"space": "NAS-Bench-201", "dataset": "CIFAR-10", "method": "Random", "verdict": "not measured"}
    left = every
    for name, value in chosen.items():
        inside(f"({choose})({name!r}, {value!r})")
        fewer = [row for row in left if row[name] == value]
        assert 0 < len(fewer) < len(left)
        assert inside(visible) == fewer
        left = fewer
    assert inside("document.querySelector('output').innerText") == str(len(left))


@needs_chromium
@pytest.mark.parametrize(("paper", "figure"), [("ICML 2021", "Figure 3"), ("arXiv 2020", "Figure 5")])
def test_the_numbers_beside_a_figure_are_a_page_and_a_file_of_the_report(
    papers_report: Report, paper: str, figure: str
) -> None:
    papers_report.show(paper, "Tables")
    assert papers_report.switches() == {"format": ["A page", "CSV"]}
    (row,) = [i for i, row in enumerate(papers_report.page.evaluate(ROWS)) if row["labels"][0].startswith(figure)]
    papers_report.click(row)
    text = papers_report.text()
    assert figure.lower().replace(" ", "") in text
    assert "VERDICT" in text.upper()
    papers_report.page.evaluate("document.querySelectorAll('nav fieldset input')[1].click()")
    papers_report.wait("!!document.querySelector('nav tbody tr a').getAttribute('download')")
    download = papers_report.page.evaluate(ROWS)[row]["download"]
    assert download == f"{figure.lower().replace(' ', '')}_cells.csv"


@needs_chromium
def test_tables_and_figures_of_a_paper_are_told_by_space_data_set_and_score(papers_report: Report) -> None:
    for paper in ("ICML 2021", "arXiv 2020"):
        papers_report.show(paper, "Figures")
        # A label of which half the figures have one value and half another would hide half of them behind a switch.
        assert papers_report.switches() == {}
        head = papers_report.page.evaluate("[...document.querySelectorAll('nav th')].map(cell => cell.innerText)")
        assert [name.lower() for name in head] == ["what", "space", "data set", "score", ""]
        shown = {row["labels"][0].partition(":")[0]: row["labels"][1:] for row in papers_report.page.evaluate(ROWS)}
        if paper == "ICML 2021":
            assert shown["Figure 3"] == ["several", "several", "naswot"]
            assert shown["Figure 4"] == ["several", "cifar10", "several"]
            assert shown["Figure 5"] == ["nasbench201", "cifar100", "naswot"]
    papers_report.show("arXiv 2020", "Tables")
    tables = [row["labels"] for row in papers_report.page.evaluate(ROWS)]
    assert ["Table 1: Searches on NAS-Bench-201", "nasbench201", "several", "jacobian"] in tables


@needs_chromium
def test_the_menu_leaves_most_of_the_window_to_what_it_shows(papers_report: Report) -> None:
    for category, subcategory in papers_report.menus():
        papers_report.show(category, subcategory)
        assert papers_report.page.evaluate("document.querySelector('nav').offsetWidth / window.innerWidth") < 0.4
        table = "document.querySelector('nav table')"
        assert papers_report.page.evaluate(
            f"{table}.getBoundingClientRect().right <= {table}.closest('nav').offsetWidth"
        )


def test_the_file_is_small_and_says_nothing_of_where_it_was_made(two_data_sets: Project) -> None:
    file = two_data_sets.folder / "results" / "report.html"
    assert file.stat().st_size < MEGABYTES * 2**20
    page = file.read_text()
    assert str(two_data_sets.folder) not in page
    assert str(two_data_sets.checkout) not in page
