"""Score against accuracy: what is drawn, kept back, and said."""

from __future__ import annotations

import numpy as np
import pytest

from naswot_ext.errors import NaswotError
from naswot_ext.papers.figures.scatter import COLUMNS, data, scatter
from tests.papers.figures.samples import PUBLISHED, scored

PANEL = ("nasbench201", "cifar10")


def test_the_data_are_the_dots_and_at_most_as_many_as_are_kept():
    parts = [scored(60, status={0: "singular", 3: "failed"})]
    table = data([PANEL], parts, keep=40)
    assert list(table.columns) == COLUMNS
    assert len(table) == 40
    assert len(set(table["arch_index"])) == 40
    (axes,) = [axes for axes in scatter([PANEL], parts, x_label="x", keep=40).axes if axes.axison]
    dots = axes.collections[0].get_offsets()
    finite = table[np.isfinite(table["score"])]
    assert np.array_equal(dots, finite[["score", "accuracy"]])
    scores = parts[0].scores[0].set_index("arch_index")["score"]
    assert list(table["score"]) == list(scores.loc[table["arch_index"]])


def test_all_are_drawn_where_they_are_few_and_singular_ones_are_in_the_data():
    table = data([PANEL], [scored(20, status={4: "singular", 7: "failed"})])
    assert len(table) == 19
    assert table.loc[table["arch_index"] == 4, "score"].item() == -np.inf
    assert 7 not in set(table["arch_index"])


def test_the_title_has_tau_of_all_and_beside_the_papers_number_its_like():
    part = scored(60, status={0: "singular"})
    figure = scatter([PANEL], [part._replace(filter_below=80.0)], x_label="NASWOT score", keep=30)
    row = part.rows[part.rows["split"] == "test"].iloc[0]
    assert figure.axes[0].get_title(loc="left").split("\n") == [
        "NAS-Bench-201",
        "CIFAR-10",
        "n = 60, 1 singular",
        f"τ = {row.kendall:.2f} [{row.kendall_low:.2f}, {row.kendall_high:.2f}]",
        f"from 80 % up: n = {row.filtered_architectures}",
        f"τ = {row.kendall_filtered:.2f} [{row.kendall_filtered_low:.2f}, {row.kendall_filtered_high:.2f}]",
        "paper: τ = 0.574",
    ]
    below = figure.get_supxlabel().replace("\n", " ")
    assert below.startswith("NASWOT score; at most 30 networks drawn second τ: without networks below this accuracy")


def test_a_panel_that_the_paper_prints_no_tau_of_has_the_tau_of_all_alone():
    figure = scatter([("nats-sss", "cifar10")], [scored(60, "nats-sss")], x_label="score", published=PUBLISHED)
    assert len(figure.axes[0].get_title(loc="left").split("\n")) == 4
    assert figure.get_supxlabel() == "score"


def test_an_empty_panel_has_the_papers_tau_of_this_score():
    panels = [PANEL, ("nds-pnas", "cifar10")]
    for proxy, lines in (
        ("naswot", ["NDS PNAS", "CIFAR-10", "paper: τ = 0.382"]),
        ("jacobian", ["NDS PNAS", "CIFAR-10"]),
    ):
        figure = scatter(panels, [scored(20, proxy=proxy)], x_label="score", published=PUBLISHED)
        assert figure.axes[1].get_title(loc="left").split("\n") == lines


def test_a_panel_of_the_other_split_has_the_papers_tau_too():
    part = scored(20, "nds-darts")
    rows = part.rows[part.rows["split"] == "valid"]
    shown = [part._replace(rows=rows)]
    figure = scatter([("nds-darts", "cifar10")], shown, x_label="score", published=PUBLISHED)
    assert figure.axes[0].get_title(loc="left").endswith("paper: τ = 0.467")
    assert data([("nds-darts", "cifar10")], shown, published=PUBLISHED)["published_kendall"].unique() == [0.467]


def test_the_score_of_2020_stands_against_validation_accuracy_as_its_paper_has_it():
    for proxy, split, label in (("jacobian", "valid", "validation"), ("naswot", "test", "test")):
        part = scored(20, proxy=proxy)
        (axes,) = [axes for axes in scatter([PANEL], [part], x_label="score").axes if axes.axison]
        assert axes.get_ylabel() == f"{label} accuracy\n(%, log error)"
        table = data([PANEL], [part])
        assert set(table["split"]) == {split}
        truth = part.truth.set_index("arch_index")[f"{split}_accuracy"]
        assert list(table["accuracy"]) == list(truth.loc[table["arch_index"]])
    only_test = part._replace(
        truth=part.truth.assign(valid_accuracy=np.nan), rows=part.rows[part.rows["split"] == "test"]
    )
    assert set(data([PANEL], [only_test._replace(rows=only_test.rows.assign(proxy="jacobian"))])["split"]) == {"test"}


def test_the_data_have_what_a_title_says_on_each_row_of_its_panel():
    part = scored(60, status={0: "singular"})
    table = data([PANEL], [part], keep=10)
    row = part.rows[part.rows["split"] == "test"].iloc[0]
    for name in COLUMNS[7:-2]:
        assert set(table[name]) == {row[name]}, name
    assert set(table["filter_below"]) == {15.0}
    assert set(table["published_kendall"]) == {0.574}


def test_a_panel_without_ground_truth_says_which_file_would_fill_it():
    panels = [("nds-pnas", "cifar10"), ("nds-enas", "cifar10")]
    figure = scatter(panels, [], x_label="x", reasons={panels[0]: "nds_data.zip is missing"})
    assert [axes.texts[0].get_text().replace("\n", " ") for axes in figure.axes[:2]] == [
        "nds_data.zip is missing",
        "no ground truth in this run",
    ]
    assert data(panels, []).empty


def test_no_panels_are_refused():
    with pytest.raises(NaswotError, match="at least one panel"):
        scatter([], [], x_label="x")
