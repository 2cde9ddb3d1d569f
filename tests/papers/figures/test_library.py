"""The networks of a library: means over initialisations, labels, and what failed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from naswot_ext.errors import NaswotError
from naswot_ext.papers.figures.library import COLUMNS, data, library
from tests.papers.figures.samples import networks


def changed(table: pd.DataFrame, network: int, seed: int, status: str) -> pd.DataFrame:
    table = table.copy()
    name = list(dict.fromkeys(table["network"]))[network]
    rows = (table["network"] == name) & (table["seed"] == seed)
    table.loc[rows, "status"] = status
    table.loc[rows, "score"] = -np.inf if status == "singular" else np.nan
    return table


def test_a_network_is_at_the_mean_and_deviation_of_its_initialisations():
    table = networks(3, 2)
    table["score"] = [1.0, 3.0, 5.0, 5.0, 2.0, 8.0]
    found = data(table)
    assert list(found.columns) == COLUMNS
    by_name = found.set_index("network")
    assert by_name.loc["network0_b0_cifar10", ["score", "score_std"]].tolist() == [2, 1]
    assert by_name.loc["network2_b2_cifar10", ["score", "score_std"]].tolist() == [5, 3]
    assert found["accuracy"].is_monotonic_increasing
    (axes,) = library(table, x_label="score").axes
    dots = axes.collections[-1].get_offsets()
    assert np.array_equal(dots, found[["score", "accuracy"]])


def test_singular_networks_are_marks_on_the_edge_and_failed_ones_are_counted():
    table = changed(networks(6, 2), 0, 1, "singular")
    table = changed(changed(table, 1, 0, "failed"), 1, 1, "failed")
    (axes,) = library(changed(table, 2, 0, "failed"), x_label="score", note="p = 0.01").axes
    first, second = axes.get_title(loc="left").split("\n")
    assert first.startswith("4 networks, mean ± standard deviation of 1 to 2 initialisations, 1 singular")
    assert first.endswith("1 failed")
    assert second == "p = 0.01"
    assert [len(line.get_xdata()) for line in axes.lines if line.get_marker() == ">"] == [1]


def test_names_lose_the_data_set_and_are_as_many_as_asked_for_at_most():
    (axes,) = library(networks(30), x_label="score", labels=5).axes
    names = [text.get_text() for text in axes.texts]
    assert 0 < len(names) <= 5
    assert not any(name.endswith("_cifar10") for name in names)


def test_a_part_of_the_packages_networks_is_called_one():
    def first(known):
        (axes,) = library(changed(networks(3, 1), 0, 0, "failed"), x_label="score", known=known).axes
        return axes.get_title(loc="left").split(",")[0]

    assert first(70) == "2 of 70 networks"
    assert first(3) == "2 of 3 networks"  # one failed
    assert first(2) == "2 networks"


def test_networks_that_all_failed_are_an_empty_figure_and_not_an_exception():
    table = networks(2, 1).assign(status="failed", score=np.nan)
    (axes,) = library(table, x_label="score").axes
    assert axes.get_title(loc="left") == "0 networks, 2 failed"


def test_no_network_is_refused():
    with pytest.raises(NaswotError, match="no score of a network"):
        library(networks(1).iloc[:0], x_label="score")
