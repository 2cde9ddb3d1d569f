"""Histograms of correlations: counts, order, colours."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.patches import StepPatch

from naswot_ext.errors import NaswotError
from naswot_ext.figures import accuracy_colour
from naswot_ext.papers.figures.histograms import histograms
from tests.papers.figures.samples import histogram


def panels(figure):
    return [axes for axes in figure.axes if axes.axison]


def test_a_panel_has_the_counts_of_its_network_and_the_colour_of_its_accuracy():
    (axes,) = panels(histograms(histogram(1, 91.0, "90 % and more", [1, 5, 2, 0])))
    filled = next(patch for patch in axes.patches if isinstance(patch, StepPatch))
    assert filled.get_data().values.tolist() == [1, 5, 2, 0]
    assert filled.get_data().edges.tolist() == [-1, -0.5, 0, 0.5, 1]
    assert filled.get_facecolor() == accuracy_colour(91.0)
    assert axes.get_xlim() == (-1, 1)


def test_columns_are_bands_and_both_they_and_networks_are_by_accuracy():
    tables = [(1, 93.0, "90 % and more"), (2, 55.0, "below 60 %"), (3, 91.0, "90 % and more")]
    figure = histograms(pd.concat([histogram(*facts, [1, 2]) for facts in tables]))
    shown = {axes.texts[0].get_text(): axes.get_subplotspec() for axes in panels(figure)}
    places = {text: (spec.rowspan.start, spec.colspan.start) for text, spec in shown.items()}
    assert places == {"55.0 %": (0, 0), "91.0 %": (0, 1), "93.0 %": (1, 1)}
    assert [axes.get_title() for axes in panels(figure) if axes.get_title()] == ["below 60 %", "90 % and more"]


def test_each_has_its_own_scale_and_one_without_correlations_says_so():
    tables = [histogram(1, 50.0, "a", [0, 0]), histogram(2, 60.0, "b", [10, 5]), histogram(3, 70.0, "c", [1000, 5])]
    figure = histograms(pd.concat(tables))
    tops = [axes.get_ylim()[1] for axes in panels(figure)]
    assert 10 < tops[1] < 20
    assert 1000 < tops[2] < 2000
    assert panels(figure)[0].texts[0].get_text() == "no correlation\nis defined"
    assert "(15 to 1005 pairs a network)" in figure.get_supxlabel()


def test_no_network_is_refused():
    with pytest.raises(NaswotError, match="no correlations"):
        histograms(pd.DataFrame())
