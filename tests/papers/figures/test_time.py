"""Search time against accuracy: marks, names, and what has no seconds."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from naswot_ext.errors import NaswotError
from naswot_ext.papers.figures.time import COLUMNS, data, time
from tests.papers.figures.samples import search_cells


def test_the_data_have_a_row_for_what_was_measured_and_one_for_what_was_published():
    table = data(search_cells())
    assert list(table.columns) == COLUMNS
    of_naswot = table[(table["method"] == "NASWOT") & (table["n_samples"] == 10)]
    assert of_naswot["what"].tolist() == ["measured", "published"]
    assert of_naswot["accuracy"].tolist() == pytest.approx([92.34, 92.44])
    assert of_naswot["seconds"].iloc[0] == pytest.approx(3 * of_naswot["seconds"].iloc[1])


def test_measured_marks_are_filled_and_published_ones_hollow():
    cells = search_cells()
    cells = cells[(cells["method"] == "NASWOT") & (cells["n_samples"] == 10)]
    (axes,) = time(cells).axes
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    faces = {round(float(line.get_ydata()[0]), 6): to_hex(line.get_markerfacecolor()) for line in marks}
    assert faces[92.44] == "#ffffff"
    assert faces[92.34] != "#ffffff"
    assert axes.get_xscale() == "log"
    assert len(axes.get_xticks()) >= 2


def test_every_search_with_seconds_is_named_once():
    cells = search_cells()
    (axes,) = time(cells).axes
    names = [text.get_text() for text in axes.texts]
    assert len(names) == len(set(names))
    assert {"REA", "RS", "BOHB", "REINFORCE", "GDAS", "SETN", "NASWOT, N = 10", "N = 100", "N = 1000"} <= set(names)


def test_methods_without_seconds_are_said_with_the_note():
    below = time(search_cells(), note="Two cores.").get_supxlabel().replace("\n", " ")
    assert below.startswith("No seconds known, so not shown: Random; Optimal, N = 10; ")
    assert below.endswith("Two cores.")


def test_a_deviation_beyond_100_percent_is_drawn_up_to_the_scale():
    cells = search_cells()
    cells.loc[cells["method"] == "GDAS", "published_std"] = 30.0
    (axes,) = time(cells).axes
    assert axes.get_ylim()[1] <= 100


def test_another_split_has_its_own_accuracies():
    (axes,) = time(search_cells(), split="valid").axes
    assert axes.get_ylabel() == "CIFAR-10 valid accuracy (%)"
    assert 91.2 in data(search_cells(), split="valid")["accuracy"].to_list()


def test_cells_without_seconds_are_refused():
    cells = search_cells()
    cells[["seconds", "published_seconds"]] = np.nan
    with pytest.raises(NaswotError, match="No search has seconds"):
        time(cells)
