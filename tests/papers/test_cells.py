"""Cells: their errors and verdicts against values worked out by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from naswot_ext.errors import NaswotError
from naswot_ext.papers.cells import (
    COLUMNS,
    WITHIN,
    accuracy_name,
    cell,
    compared,
    frame,
    not_comparable,
    not_measured,
    read_cells,
    standard_error,
    told,
    verdict,
    write_cells,
)

OF = {"paper": "icml2021", "item": "table2a", "quantity": "accuracy_percent"}


def test_the_standard_error_is_that_of_the_difference_of_two_means() -> None:
    # 0.3^2 / 100 + 0.4^2 / 400 = 0.0009 + 0.0004
    assert standard_error(0.3, 100, 0.4, 400) == pytest.approx(math.sqrt(0.0013))


def test_the_rounding_of_the_published_number_adds_to_the_standard_error() -> None:
    # A number printed with two decimals is off by a uniform error of variance 0.01^2 / 12.
    with_rounding = standard_error(0.3, 100, 0.4, 400, digits=2)
    assert with_rounding**2 - 0.0013 == pytest.approx(0.0001 / 12)


def test_where_no_spread_was_published_the_measured_one_stands_for_it() -> None:
    assert standard_error(2.0, 100, None, 400) == pytest.approx(math.sqrt(4 / 100 + 4 / 400))
    assert standard_error(2.0, 100, math.nan, None) == pytest.approx(0.2)


def test_the_spread_of_one_run_is_not_taken_for_none() -> None:
    assert standard_error(0.0, 1, 3.0, 9) == pytest.approx(math.sqrt(9 + 1))
    assert math.isnan(standard_error(0.0, 1, None, None))


def test_more_runs_do_not_make_up_for_few_architectures() -> None:
    # Each run draws 100 of the same 400: as good as four independent runs, however many there are.
    assert standard_error(1.0, 10**9, 1.0, 10**9, pool_share=100 / 400) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(("off", "expected"), [(2.99, "reproduced"), (-2.99, "reproduced"), (3.01, "differs")])
def test_a_number_within_three_standard_errors_is_reproduced(off: float, expected: str) -> None:
    assert WITHIN == 3
    assert verdict(90 + 0.1 * off, 90, 0.1) == expected


@pytest.mark.parametrize(("measured", "expected"), [(54.304, "reproduced"), (54.296, "reproduced"), (54.31, "differs")])
def test_numbers_without_spread_must_be_equal_as_printed(measured: float, expected: str) -> None:
    error = standard_error(0.0, 3, 0.0, 3, digits=2)
    assert error == 0
    assert verdict(measured, 54.3, error) == expected
    row = compared(measured=measured, published=54.3, standard_error=error, **OF)
    assert row["verdict"] == expected
    assert row["in_standard_errors"] is None


def test_numbers_of_unknown_spread_must_be_equal_as_printed() -> None:
    assert verdict(667.4, 667, math.nan, digits=0) == "reproduced"
    assert verdict(668, 667, math.nan, digits=0) == "differs"


def test_a_number_that_is_not_there_has_no_verdict() -> None:
    assert verdict(math.nan, 90, 0.1) == "not measured"
    assert verdict(90, math.nan, 0.1) == "not measured"


def test_a_number_without_a_verdict_says_whether_more_would_give_it_one() -> None:
    row = compared(measured=91.0, published=90.5, standard_error=0.25, reason="10 runs", **OF)
    unlike = not_comparable(row, "another space")
    assert (unlike["verdict"], unlike["reason"]) == ("not measured", "not comparable: another space; 10 runs")
    assert unlike["measured"] == 91.0
    few = {**row, "verdict": "not measured", "reason": "too few to tell: 3 runs"}
    absent = not_measured("not comparable, had it been measured", **OF)
    assert [told(found) for found in frame([row, unlike, few, absent]).itertuples()] == [
        "reproduced",
        "not comparable",
        "too few to tell",
        "not measured",
    ]


def test_people_read_validation_where_columns_say_valid() -> None:
    assert accuracy_name("cifar10", "valid") == "CIFAR-10 validation"
    assert accuracy_name("cifar100", "test") == "CIFAR-100 test"
    assert accuracy_name("cifar10", "") == "CIFAR-10"


def test_a_compared_cell_counts_its_difference_in_standard_errors() -> None:
    row = compared(measured=91.0, published=90.5, standard_error=0.25, **OF)
    assert (row["difference"], row["in_standard_errors"], row["verdict"]) == (0.5, 2.0, "reproduced")
    assert list(row) == COLUMNS


@pytest.mark.parametrize(
    "wrong",
    [
        {"verdict": "reproduced", "acuracy": 1},
        {"verdict": "maybe"},
        {"verdict": "not measured"},
        {"verdict": "differs", "item": None},
    ],
)
def test_a_cell_refuses_what_is_no_cell(wrong: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        cell(**{**OF, **wrong})


def test_cells_survive_their_file(tmp_path) -> None:
    rows = [
        compared(measured=1 / 3, published=0.5, standard_error=0.25, method="NASWOT", n_samples=10, runs=500, **OF),
        not_measured("no ground truth, none at all", method="Optimal", n_samples="all", published=91.05, **OF),
        not_measured("nothing", method="RS", published=90.93, published_runs=500, **OF),
    ]
    table = frame(rows)
    write_cells(table, tmp_path / "a.csv")
    again = read_cells(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(again, table, rtol=1e-9)
    assert list(again["n_samples"]) == [10, "all", None]
    write_cells(again, tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


def test_a_file_without_cells_is_refused_in_one_line(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("paper,item\nicml2021,table1\n")
    with pytest.raises(NaswotError, match=r"a\.csv holds no cells: it has no column space"):
        read_cells(tmp_path / "a.csv")
    with pytest.raises(NaswotError, match=r"No such file: .*b\.csv"):
        read_cells(tmp_path / "b.csv")
