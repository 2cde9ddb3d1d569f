"""Kernels as heat maps: the matrix, its scale, its place."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from naswot_ext.errors import NaswotError
from naswot_ext.figures import accuracy_colour
from naswot_ext.papers.figures.kernels import COLUMNS, data, kernels
from tests.papers.figures.samples import kernel

GOOD = kernel(7, 93.0, "90 % and more", [[10, 4, 5], [4, 10, 6], [5, 6, 10]])
BAD = kernel(3, 10.0, "below 60 %", [[8, 8, 8], [8, 8, 8], [8, 8, 8]])
BETTER = kernel(5, 94.0, "90 % and more", [[20, 10, 10], [10, 20, 10], [10, 10, 20]])


def maps(figure) -> dict[str, np.ndarray]:
    """The heat maps by the accuracy above them, in the order of the axes."""
    return {axes.get_title(): axes.images[0] for axes in figure.axes if axes.images}


def test_a_heat_map_is_the_symmetric_kernel_over_its_units():
    image = maps(kernels({"nasbench201": GOOD}))["93.0 %"]
    assert np.array_equal(image.get_array(), np.array([[10, 4, 5], [4, 10, 6], [5, 6, 10]]) / 10)


def test_all_maps_share_one_scale_that_holds_every_value():
    figure = kernels({"nasbench201": pd.concat([GOOD, BAD]), "nds-darts": BETTER})
    limits = {image.get_clim() for image in maps(figure).values()}
    assert limits == {(0.4, 1.0)}


def test_bands_and_networks_stand_in_the_order_of_their_accuracy():
    figure = kernels({"nasbench201": pd.concat([BETTER, GOOD, BAD])})
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert titles == ["10.0 %", "93.0 %", "94.0 %"]
    bands = [text.get_text().replace("\xa0", " ") for axes in figure.axes for text in axes.texts]
    assert bands == ["below 60 %", "90 % and more"]


def test_a_frame_has_the_colour_of_the_accuracy():
    (axes,) = [axes for axes in kernels({"nasbench201": GOOD}).axes if axes.images]
    assert axes.spines["left"].get_edgecolor() == accuracy_colour(93.0)


def test_a_network_that_failed_says_so_and_is_not_in_the_data():
    failed = BAD.iloc[:1].assign(row=-1, column=-1, k=0, units=0, status="failed")
    table = pd.concat([GOOD, failed])
    figure = kernels({"nasbench201": table})
    assert "failed" in [text.get_text() for axes in figure.axes for text in axes.texts]
    assert len(maps(figure)) == 1
    assert set(data({"nasbench201": table})["arch_index"]) == {7}


def test_a_space_without_kernels_says_why():
    figure = kernels({"nasbench201": GOOD, "nds-darts": GOOD.iloc[:0]}, reasons={"nds-darts": "no nds_data.zip"})
    found = [text.get_text().replace("\n", " ") for axes in figure.axes for text in axes.texts]
    assert "no nds_data.zip" in found


def test_the_data_are_each_kernel_as_a_matrix_with_what_it_is_divided_by():
    table = data({"nasbench201": pd.concat([GOOD, BETTER]), "nds-darts": GOOD.iloc[:0]})
    assert list(table.columns) == [*COLUMNS, "0", "1", "2"]
    first = table[table["arch_index"] == 7]
    assert first["units"].tolist() == [10, 10, 10]
    assert first[["0", "1", "2"]].astype(object).where(first[["0", "1", "2"]].notna(), None).to_numpy().tolist() == [
        [10, 4, 5],
        [None, 10, 6],
        [None, None, 10],
    ]
    assert table["arch"].tolist() == ["a7", "", "", "a5", "", ""]
    assert table["accuracy"].tolist() == [93.0, "", "", 94.0, "", ""]
    assert table["band"].tolist() == ["90 % and more", "", ""] * 2


def test_kernels_of_another_size_share_the_columns_of_the_data():
    small = kernel(9, 80.0, "80 to 90 %", [[5, 2], [2, 5]])
    table = data({"nasbench201": GOOD, "nds-darts": small})
    assert list(table.columns) == [*COLUMNS, "0", "1", "2"]
    assert table.loc[table["arch_index"] == 9, "2"].isna().all()
    assert table.to_csv(index=False).splitlines()[-1] == "nds-darts,,9,,,5,1,,5,"


def test_no_kernels_have_no_data():
    assert list(data({"nasbench201": GOOD.iloc[:0]}).columns) == COLUMNS


def test_no_space_is_refused():
    with pytest.raises(NaswotError, match="at least one space"):
        kernels({})
