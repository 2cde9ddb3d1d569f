"""Scores during training: lines, gaps, and the labels at their ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from naswot_ext.errors import NaswotError
from naswot_ext.figures import accuracy_colour
from naswot_ext.papers.figures.training import agreement, data, training
from tests.papers.figures.samples import trace


def test_a_line_is_the_score_of_a_network_and_has_the_colour_of_its_accuracy():
    (axes,) = training(pd.concat([trace(1, 93.0, [5, 7, 9]), trace(2, 91.0, [4, 5, 6])]), y_label="score").axes
    lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert [line.get_ydata().tolist() for line in lines] == [[4, 5, 6], [5, 7, 9]]
    assert [line.get_xdata().tolist() for line in lines] == [[0, 1, 2]] * 2
    assert lines[1].get_color() == accuracy_colour(93.0)
    assert [text.get_text() for text in axes.texts] == ["91.00 %", "93.00 %"]
    assert list(axes.get_xticks()) == [0, 1, 2]


def test_epochs_without_a_score_are_gaps_and_singular_ones_marks():
    table = trace(1, 93.0, [-np.inf, 7, np.nan, 9])
    (axes,) = training(table, y_label="score").axes
    assert axes.lines[0].get_xdata().tolist() == [1, 3]
    (mark,) = [line for line in axes.lines if line.get_marker() == "v"]
    assert mark.get_xdata().tolist() == [0]
    assert axes.get_title(loc="left").endswith("1 singular, 1 failed")


def test_agreement_is_kendalls_tau_of_the_first_and_last_scores():
    table = pd.concat([trace(1, 93.0, [1, 9, 2]), trace(2, 91.0, [2, 0, 1]), trace(3, 92.0, [3, 9, 3])])
    assert agreement(table) == pytest.approx(1 / 3)
    assert "τ of scores before and after: 0.33" in training(table, y_label="s").axes[0].get_title(loc="left")


def test_the_accuracy_at_the_ends_is_told_from_that_of_the_epochs_drawn():
    options = {"y_label": "score", "accuracy": "CIFAR-10 validation"}
    for benchmark, told in (("nasbench201", "NAS-Bench-201"), ("", "the benchmark")):
        (axes,) = training(trace(1, 93.0, [1, 2]), benchmark=benchmark, **options).axes
        lines = axes.get_title(loc="left").split("\n")
        assert lines[1:] == ["at the ends: CIFAR-10 validation accuracy", f"in {told}, after its full training"]


def test_networks_of_one_colour_are_told_apart_by_line_and_mark():
    table = pd.concat([trace(i, 93.0 + i / 100, [5 + i, 7, 9]) for i in range(5)])
    (axes,) = training(table, y_label="score").axes
    lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert len({line.get_marker() for line in lines}) == 5
    assert len({str(line._unscaled_dash_pattern) for line in lines}) == 5


def test_the_data_have_tau_on_each_row_and_no_seconds():
    table = pd.concat([trace(1, 93.0, [1, 9, 2]), trace(2, 91.0, [2, 0, 1]), trace(3, 92.0, [3, 9, 3])])
    found = data(table.assign(seconds=1.0))
    assert found.drop(columns="tau_before_after").equals(table)
    assert found["tau_before_after"].tolist() == pytest.approx([1 / 3] * 9)
    assert data(pd.DataFrame()).empty


def test_networks_that_were_not_trained_have_no_agreement():
    table = pd.concat([trace(1, 93.0, [1]), trace(2, 91.0, [2])])
    assert np.isnan(agreement(table))
    assert "τ" not in training(table, y_label="s").axes[0].get_title(loc="left")


def test_nothing_to_draw_is_refused():
    with pytest.raises(NaswotError, match="no score"):
        training(pd.DataFrame(), y_label="score")
