"""Search time against accuracy: marks, names, and what has no seconds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from naswot_ext.errors import NaswotError
from naswot_ext.papers.figures.time import COLUMNS, data, time
from naswot_ext.papers.live import with_live_seconds
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
    marks = [line for line in axes.lines if line.get_marker() in ("o", "s")]
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


def test_searches_that_have_no_place_are_named_with_the_reason():
    cells = search_cells()
    cells.loc[cells["method"] == "Random", "seconds"] = 0.0
    below = time(cells, note="Two cores.").get_supxlabel().replace("\n", " ")
    assert below.startswith("Marks: mean over runs; bars: ± standard deviation. Two cores. Looked-up seconds: ")
    assert below.endswith(
        "Not shown: Optimal, N = 10, Optimal, N = 100 (no seconds known); "
        "Random (0 seconds, for which this axis has no place); "
        "AREA (no CIFAR-10 test accuracy in the paper's table)."
    )


def test_marks_and_data_tell_what_the_seconds_are():
    made_by = {"algorithm": "naswot_live", "proxy": "naswot", "n_samples": 10}
    cells, note = with_live_seconds(search_cells(), [(pd.DataFrame({"seconds": [4.0, 6.0]}), made_by)])
    assert note == "Live seconds: means of whole searches on this machine, N = 10 (2 runs)."
    found = data(cells).set_index(["method", "n_samples", "what"])[["seconds", "seconds_are"]]
    assert found.loc[("NASWOT", 10, "measured")].tolist() == [5.0, "live"]
    assert found.loc[("NASWOT", 10, "published")].tolist() == [3.05, "published"]
    assert found.loc[("NASWOT", 100, "measured")].tolist() == [pytest.approx(90.03), "looked up"]
    assert found.loc[("Optimal", 10, "measured"), "seconds_are"] == ""
    (axes,) = time(cells, note=note).axes
    marks = {float(line.get_xdata()[0]): line for line in axes.lines if line.get_marker() in ("o", "s")}
    shown = {x: (line.get_marker(), to_hex(line.get_markerfacecolor()) == "#ffffff") for x, line in marks.items()}
    assert (shown[5.0], shown[3.05]) == (("o", False), ("o", True))
    assert shown[3 * 30.01] == ("s", False)
    told = [text.get_text().partition(" (")[0] for text in axes.get_legend().get_texts()]
    assert told == ["measured, live seconds", "measured, looked-up seconds", "published"]


def test_seconds_are_looked_up_where_no_search_was_live():
    cells, note = with_live_seconds(search_cells(), [])
    assert note == ""
    assert set(data(cells)["seconds_are"]) == {"looked up", "published", ""}


def test_a_deviation_beyond_100_percent_is_drawn_up_to_the_scale():
    cells = search_cells()
    cells.loc[cells["method"] == "GDAS", "published_std"] = 30.0
    (axes,) = time(cells).axes
    assert axes.get_ylim()[1] <= 100


def test_another_split_has_its_own_accuracies():
    (axes,) = time(search_cells(), split="valid").axes
    assert axes.get_ylabel() == "CIFAR-10 validation accuracy (%, log error)"
    assert 91.2 in data(search_cells(), split="valid")["accuracy"].to_list()


def test_cells_without_seconds_are_refused():
    cells = search_cells()
    cells[["seconds", "published_seconds"]] = np.nan
    with pytest.raises(NaswotError, match="No search has seconds"):
        time(cells)
