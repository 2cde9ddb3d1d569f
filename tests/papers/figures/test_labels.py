"""Labels: near what they name, and apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from naswot_ext.figures import canvas, style
from naswot_ext.papers.figures.labels import _apart, label_points


def crowd(n: int, all_of_them: bool):
    with style():
        figure = canvas(4, 3)
        axes = figure.add_subplot()
        x, y = np.random.default_rng(n).uniform(size=(2, n))
        axes.plot(x, y, "o", markersize=4)
        written = label_points(axes, x, y, [f"point {i}" for i in range(n)], all_of_them=all_of_them)
    # Only then are their places known.
    figure.canvas.draw()
    return axes, np.column_stack([x, y]), written


@pytest.mark.parametrize("n", [1, 12, 60])
def test_labels_cover_neither_each_other_nor_a_point_and_stay_inside(n):
    axes, points, written = crowd(n, all_of_them=False)
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == sum(written) >= min(n, 10)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    places = axes.transData.transform(points)
    assert not any(box.contains(*place) for box in boxes for place in places)
    inside = axes.get_window_extent().padded(0.5)
    assert all(inside.contains(*corner) for box in boxes for corner in (box.min, box.max))


def test_the_first_of_two_equal_points_has_the_nearer_label():
    with style():
        axes = canvas(4, 3).add_subplot()
        axes.plot([0, 1], [0, 1])
        label_points(axes, [0.5, 0.5], [0.5, 0.5], ["first", "second"])
    offsets = {text.get_text(): np.hypot(*text.xyann) for text in axes.texts}
    assert offsets["first"] <= offsets["second"]


def test_all_are_written_where_all_must_be():
    axes, _, written = crowd(150, all_of_them=True)
    assert all(written)
    assert len(axes.texts) == 150
    _, _, some = crowd(150, all_of_them=False)
    assert not all(some)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_ends_of_lines_are_kept_in_order_apart_and_within_their_room(wanted):
    places = _apart(np.array(wanted), 4.0, 0.0, 100.0)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(places[order]) >= 4.0 - 1e-9).all()
    assert places.min() >= -1e-9
    assert places.max() <= 100 + 1e-9


def test_ends_that_are_apart_stay_where_they_are():
    assert _apart(np.array([50.0, 10.0, 90.0]), 4.0, 0.0, 100.0).tolist() == [50, 10, 90]
