"""Score against accuracy: what is drawn, kept back, and said."""

from __future__ import annotations

import numpy as np
import pytest

from naswot_ext.errors import NaswotError
from naswot_ext.papers.figures.scatter import COLUMNS, data, scatter
from tests.papers.figures.samples import scored

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


def test_the_title_has_n_tau_and_the_papers_number():
    part = scored(60, status={0: "singular"})
    figure = scatter([PANEL], [part], x_label="NASWOT score", keep=30)
    row = part.rows.iloc[0]
    lines = figure.axes[0].get_title(loc="left").split("\n")
    assert lines[:3] == ["NAS-Bench-201", "CIFAR-10", "n = 60, 1 singular"]
    assert lines[3] == f"τ = {row.kendall:.2f} [{row.kendall_low:.2f}, {row.kendall_high:.2f}]"
    assert lines[4] == f"filtered {row.kendall_filtered:.2f} (paper 0.574)"
    assert figure.get_supxlabel() == "NASWOT score; at most 30 networks drawn"


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
