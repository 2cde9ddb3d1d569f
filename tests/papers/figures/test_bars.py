"""Kendall's tau as grouped bars: lengths, intervals, and what is absent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from naswot_ext.errors import NaswotError
from naswot_ext.papers.figures.bars import bars, data
from tests.papers.figures.samples import correlation

PROXIES = ["naswot", "synflow"]


def widths(axes) -> list[float]:
    return [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_bar_is_as_long_as_the_tau_that_is_like_the_published_and_has_its_number():
    rows = pd.DataFrame([correlation("nds-enas", "synflow", -0.25), correlation("nds-enas", "naswot", 0.36)])
    (axes,) = bars(rows, ["nds-enas"], PROXIES).axes
    assert widths(axes) == [0.36, -0.25]
    assert texts(axes) == ["NDS ENAS, n = 90", "0.36", "−0.25"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["NASWOT", "synflow"]
    low, high = axes.get_xlim()
    assert low < -0.3
    assert high > 0.41


def test_what_is_absent_or_undefined_is_said():
    rows = pd.DataFrame([correlation("nds-enas", "naswot", np.nan, filtered_architectures=0)])
    (axes,) = bars(rows, ["nds-enas", "nds-pnas", "nds-darts"], PROXIES, reasons={"nds-pnas": "no file"}).axes
    assert texts(axes) == [
        "NDS ENAS, n = 100",
        "undefined",
        "not measured",
        "NDS PNAS",
        "no file",
        "NDS DARTS",
        "not measured",
    ]
    assert widths(axes) == []


def test_scores_of_the_data_sets_own_images_are_shown_before_others():
    rows = pd.DataFrame(
        [correlation("nds-enas", "naswot", 0.1, scored_on="gaussian"), correlation("nds-enas", "naswot", 0.2)]
    )
    assert data(rows, ["nds-enas"], PROXIES)["kendall_filtered"].tolist() == [0.2]
    assert data(rows.iloc[:1], ["nds-enas"], PROXIES)["kendall_filtered"].tolist() == [0.1]


def test_another_split_is_shown_where_there_is_no_other_and_said():
    rows = pd.DataFrame([correlation("nds-enas", "naswot", 0.1, split="valid")])
    (axes,) = bars(rows, ["nds-enas"], ["naswot"]).axes
    assert texts(axes)[0] == "NDS ENAS, n = 90, validation accuracy"


def test_a_published_tau_is_a_hollow_mark():
    rows = pd.DataFrame([correlation("nds-enas", "naswot", 0.3, published_kendall=0.365)])
    (axes,) = bars(rows, ["nds-enas"], ["naswot"]).axes
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in marks] == [0.365]
    assert marks[0].get_markerfacecolor() == "none"


def test_nothing_to_draw_is_refused():
    with pytest.raises(NaswotError, match="at least one space"):
        bars(pd.DataFrame(), [], PROXIES)
