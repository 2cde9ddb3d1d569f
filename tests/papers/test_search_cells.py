"""Cells of the tables of searches: which search stands beside which published number, and why one does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from naswot_ext import searches
from naswot_ext.benchmarks.table import table as read_truth
from naswot_ext.errors import NaswotError
from naswot_ext.papers.search_cells import QUOTED, TABLES, search_cells
from naswot_ext.spaces import SPACES
from tests.conftest import REPOSITORY
from tests.papers.tables import made_by, one, runs

TABLE2A, TABLE2B, TABLE1 = (("icml2021", f"table{name}") for name in ("2a", "2b", "1"))
OF_2020 = ("arxiv2020", "table1")
NAMES = {"valid": "validation", "test": "test"}
CIFAR10_TEST = {"cifar10_test": [92.0, 93.0, 94.0]}


@pytest.mark.parametrize(("item", "cells"), [(TABLE1, 4), (TABLE2A, 99), (TABLE2B, 42), (OF_2020, 108)])
def test_every_published_number_has_a_cell_in_the_papers_order(item, cells: int, published) -> None:
    found = search_cells(item, [], published)
    assert item in TABLES
    assert len(found) == cells
    source = {"icml2021": "mellor2021-icml", "arxiv2020": "mellor2020-arxiv-v1"}[item[0]]
    rows = published[(published["source"] == source) & (published["table"] == item[1])]
    for column, of in [("published", "mean"), ("method", "method"), ("dataset", "dataset"), ("published_runs", "runs")]:
        assert list(found[column]) == list(rows[of])
    assert set(found["verdict"]) == {"not measured"}


def test_a_measured_cell_holds_mean_population_deviation_runs_and_seconds(published) -> None:
    table = runs({"cifar10_test": [*[92.0, 93.0, 94.0] * 4, math.nan]}, seconds=2.5)
    table.loc[12, "seconds"] = 99.0
    found = search_cells(TABLE2A, [(table, made_by("naswot", proxy="naswot", n_samples=10))], published)
    cell = one(found, "NASWOT", "cifar10", n_samples=10)
    assert (cell.measured, cell.runs, cell.seconds, cell.published_seconds) == (93.0, 12, 2.5, 3.05)
    assert cell.measured_std == pytest.approx(math.sqrt(2 / 3))
    assert cell.difference == pytest.approx(93 - 92.44)
    assert cell.standard_error == pytest.approx(math.sqrt(2 / 3 / 12 + 1.13**2 / 500 + 0.01**2 / 12))
    assert cell.verdict == "reproduced"
    assert cell.reason == "1 of 13 runs found no architecture with an accuracy"
    assert one(found, "NASWOT", "cifar10", n_samples=100).verdict == "not measured"


def test_an_accuracy_that_the_ground_truth_lacks_is_not_measured(published) -> None:
    table = runs({**CIFAR10_TEST, "cifar100_test": [math.nan] * 3})
    found = search_cells(TABLE2A, [(table, made_by("random"))], published)
    assert one(found, "Random", "cifar10").verdict == "differs"
    for dataset, split in [("cifar10", "valid"), ("cifar100", "test"), ("imagenet16-120", "test")]:
        cell = one(found, "Random", dataset, split)
        assert cell.reason == f"the ground truth of nasbench201 has no {dataset} {NAMES[split]} accuracy"
        assert math.isnan(cell.measured)
    why = "NATS-tss-v1_0-3ffb9-simple.tar would fill it"
    found = search_cells(TABLE2A, [(table, made_by("random"))], published, {(None, "imagenet16-120"): why})
    assert one(found, "Random", "imagenet16-120").reason == why
    assert one(found, "Random", "cifar100").reason.startswith("the ground truth of nasbench201 has no")


def test_a_search_whose_runs_all_found_nothing_is_not_measured(published) -> None:
    table = runs({"cifar10_test": [math.nan, math.nan]})
    found = search_cells(TABLE2A, [(table, made_by("rea"))], published)
    assert one(found, "REA", "cifar10").reason == "none of 2 runs found an architecture"


def test_the_most_specific_reason_counts(published) -> None:
    missing = {
        (None, None): "any",
        (None, "cifar100"): "its data set",
        ("reinforce", None): "its method",
        ("Reinforce", "cifar100"): "both",
    }
    found = search_cells(TABLE2A, [], published, missing)
    assert one(found, "RS", "cifar10").reason == "any"
    assert one(found, "RS", "cifar100").reason == "its data set"
    assert one(found, "REINFORCE", "cifar10").reason == "its method"
    assert one(found, "REINFORCE", "cifar100").reason == "both"


def test_weight_sharing_is_quoted_whatever_download_is_missing(published) -> None:
    missing = {(None, None): "any", (None, "cifar10"): "a file", ("GDAS", None): "its own"}
    found = search_cells(TABLE2A, [], published, missing)
    assert one(found, "DARTS-V1", "cifar10").reason == QUOTED
    assert one(found, "GDAS", "cifar10").reason == "its own"


def test_table_2a_goes_by_cifar10_and_table_2b_by_the_data_set_that_it_reports(published) -> None:
    accuracies = {"cifar10_test": [92.0, 93.0], "cifar100_test": [70.0, 71.0]}
    facts = {"proxy": "naswot", "n_samples": 10, "scored_on": "cifar100"}
    by_cifar100 = (runs(accuracies), made_by("naswot", **facts))
    assert set(search_cells(TABLE2A, [by_cifar100], published)["verdict"]) == {"not measured"}
    found = search_cells(TABLE2B, [(runs(accuracies), made_by("naswot", space="nats-sss", **facts))], published)
    assert list(found.loc[found["verdict"] != "not measured", "dataset"]) == ["cifar100"]


def test_a_search_that_trains_belongs_to_the_data_set_that_it_trains_on(published) -> None:
    for facts, measured in [
        ({}, True),
        ({"scored_on": "gaussian"}, True),  # looks at no images, and trains on the first data set
        ({"dataset": "cifar100"}, False),
        ({"scored_on": "cifar100"}, False),
    ]:
        table = runs({"cifar10_test": [92.0, 93.0], "cifar100_test": [70.0, 71.0]})
        found = search_cells(TABLE2A, [(table, made_by("rs", **facts))], published)
        assert (one(found, "RS", "cifar10").verdict != "not measured") == measured


def test_what_a_search_stands_beside_is_its_own_name_or_the_one_that_it_names(published) -> None:
    facts = {"proxy": "jacobian", "n_samples": 25, "variant": "2020"}
    found = search_cells(OF_2020, [(runs(CIFAR10_TEST), made_by("naswot", **facts))], published)
    assert one(found, "NASWOT-Jacobian", "cifar10", n_samples=25).runs == 3
    facts = {"proxy": "jacobian_train", "n_samples": 25, "variant": "later"}
    train = (runs(CIFAR10_TEST), made_by("naswot", **facts))
    assert set(search_cells(OF_2020, [train], published)["verdict"]) == {"not measured"}
    named = (train[0], {**train[1], "published": "naswot_jacobian"})
    assert one(search_cells(OF_2020, [named], published), "NASWOT-Jacobian", "cifar10", n_samples=25).runs == 3


def test_a_search_of_another_score_is_not_naswot(published) -> None:
    by_params = (runs(CIFAR10_TEST), made_by("naswot", proxy="params", n_samples=10))
    assert set(search_cells(TABLE2A, [by_params], published)["verdict"]) == {"not measured"}


def test_of_several_searches_the_one_that_looks_up_stands_beside_the_number(published) -> None:
    facts = {"proxy": "naswot", "n_samples": 10}
    live = (runs({"cifar10_test": [80.0] * 9}), made_by("naswot_live", **facts))
    variant = (runs({"cifar10_test": [85.0] * 9}), made_by("naswot", variant="other", **facts))
    plain = (runs(CIFAR10_TEST), made_by("naswot", **facts))
    for given, measured in [((live, variant, plain), 93), ((live, variant), 85), ((live,), 80)]:
        assert one(search_cells(TABLE2A, given, published), "NASWOT", "cifar10", n_samples=10).measured == measured


def test_optimal_is_held_to_the_accuracy_that_each_column_reports(published) -> None:
    table = {"cifar10_valid": [91.0, 91.1], "cifar100_valid": [71.0, 71.1]}
    first = (runs(table), made_by("optimal", n_samples=100))
    table = {"cifar10_valid": [90.0, 90.1], "cifar100_valid": [71.4, 71.5]}
    second = (runs(table), made_by("optimal", n_samples=100, dataset="cifar100", variant="cifar100"))
    found = search_cells(TABLE2A, [first, second], published)
    assert one(found, "Optimal", "cifar10", "valid", 100).measured == pytest.approx(91.05)
    assert one(found, "Optimal", "cifar100", "valid", 100).measured == pytest.approx(71.45)
    alone = one(search_cells(TABLE2A, [first], published), "Optimal", "cifar100", "valid", 100)
    assert alone.measured == pytest.approx(71.05)
    assert alone.reason.startswith("the best by cifar10 validation accuracy")


def test_few_architectures_widen_the_error_of_a_search_among_them(published) -> None:
    facts = {"proxy": "naswot", "n_samples": 100}
    few = made_by("naswot", draw={"architectures": 400, "draw_seed": 0}, **facts)
    errors = [
        one(
            search_cells(TABLE2A, [(runs({"cifar10_test": [92.0, 93.6] * 20}), made)], published),
            "NASWOT",
            "cifar10",
            n_samples=100,
        )
        for made in (made_by("naswot", **facts), few)
    ]
    share = 100 / 400 * (1 - 400 / 15625)
    assert errors[1].standard_error ** 2 - errors[0].standard_error ** 2 == pytest.approx(0.99**2 * share)
    assert errors[0].verdict == "reproduced"
    # Its three errors are wider than what one run varies by.
    assert errors[1].verdict == "not measured"
    assert errors[1].reason == "too few to tell: 100 of 400 scored architectures a run; among 400 architectures"
    assert errors[1].measured == errors[0].measured


def test_few_runs_cannot_tell(published) -> None:
    facts = {"proxy": "naswot", "n_samples": 10}
    for values, verdict in (([91.5, 93.0, 94.0], "not measured"), ([70.0, 71.0, 69.0], "differs")):
        made = runs({"cifar10_test": values})
        found = one(
            search_cells(TABLE2A, [(made, made_by("naswot", **facts))], published), "NASWOT", "cifar10", n_samples=10
        )
        assert found.verdict == verdict
        assert ("too few to tell: 3 runs" in (found.reason or "")) == (verdict == "not measured")


@pytest.mark.parametrize(("between", "verdict"), [(0.0, "differs"), (0.05, "reproduced"), (1.0, "not measured")])
def test_several_initialisations_show_their_error_which_more_runs_do_not_shrink(published, between, verdict) -> None:
    """The runs of initialisation 0, 1, 2 found `between` less, as much, and more than the mean, 0.5 off the paper's."""
    mean = 92.44 + 0.5
    values = [mean + between * (run % 3 - 1) + (-1) ** run for run in range(600)]
    made = made_by("naswot", proxy="naswot", n_samples=10, initialisations=3)
    cell = one(
        search_cells(TABLE2A, [(runs({"cifar10_test": values}), made)], published), "NASWOT", "cifar10", "test", 10
    )
    assert cell.measured == pytest.approx(mean)
    # 19.207: two degrees of freedom hold 99.73 % within as many of their own errors.
    common = (19.207 / 3) ** 2 * (between**2 + 0 + between**2) / 2 / 3
    own = max(cell.measured_std**2 / 600, common)
    assert cell.standard_error == pytest.approx(math.sqrt(own + 1.13**2 / 500 + 0.01**2 / 12), rel=1e-4)
    assert cell.verdict == verdict
    assert cell.reason == ("too few to tell: 3 initialisations" if verdict == "not measured" else "")


@pytest.mark.parametrize("off", [0.0, 5.0])
def test_a_ground_truth_unlike_the_papers_gives_a_number_without_a_verdict(published, off) -> None:
    note = "3,609 cells, not a random sample"
    facts = {"space": "nasbench101", "note": note, "draw": {"architectures": 200, "draw_seed": 0}}
    made = runs({"cifar10_test": [90.38 + off, 90.48 + off] * 50})
    cell = one(search_cells(TABLE1, [(made, made_by("random", **facts))], published), "Random", "cifar10")
    assert cell.verdict == "not measured"
    assert cell.reason == f"not comparable: {note}; among 200 architectures"
    assert cell.measured == pytest.approx(90.43 + off)


@pytest.mark.parametrize(
    ("facts", "off", "said"),
    [
        ({"initialisations": 1}, -10.0, True),
        ({"initialisations": 1}, 0.0, False),  # reproduced
        ({"initialisations": 3}, -10.0, False),  # the spread of three is in the error
    ],
)
def test_a_difference_by_the_scores_of_one_initialisation_says_that_its_error_is_not_known(
    published, facts, off, said
) -> None:
    made = runs({"cifar10_test": [92.44 + off + (-1) ** run for run in range(300)]})
    made_so = made_by("naswot", proxy="naswot", n_samples=10, **facts)
    cell = one(search_cells(TABLE2A, [(made, made_so)], published), "NASWOT", "cifar10", n_samples=10)
    assert cell.verdict == ("differs" if off else "reproduced")
    assert ("one initialisation, whose error is not in this" in cell.reason) == said


def test_a_search_without_a_score_has_no_initialisation_to_doubt(published) -> None:
    made = runs({"cifar10_test": [80.0, 80.1] * 50})
    for algorithm, method in (("rea", "REA"), ("random", "Random")):
        found = search_cells(TABLE2A, [(made, made_by(algorithm, initialisations=0))], published)
        cell = one(found, method, "cifar10")
        assert (cell.verdict, cell.reason) == ("differs", "")


def test_a_table_that_there_is_none_of_is_refused(published) -> None:
    with pytest.raises(NaswotError, match="Unknown table of searches 'icml2021 table2c'"):
        search_cells(("icml2021", "table2c"), [], published)
    with pytest.raises(NaswotError, match="none of icml2021 table1"):
        search_cells(TABLE1, [], published[published["table"] != "table1"])


@pytest.fixture(scope="module")
def real(real_data: Callable[[str], Path]) -> searches.Candidates:
    """The whole of NAS-Bench-201, as the shipped config reads the user's table of it."""
    config = yaml.safe_load((REPOSITORY / "config" / "searches.yaml").read_text())
    options = config["spaces"]["nasbench201"]["benchmark"]
    options["path"] = str(real_data("nasbench201.csv.gz"))
    space = SPACES.get("nasbench201")
    return searches.candidates(space, range(len(space)), read_truth(space, options), "cifar10")


def _real_cells(real: searches.Candidates, published: pd.DataFrame) -> pd.DataFrame:
    found = []
    for algorithm, options in [
        ("random", {}),
        ("rs", {}),
        ("optimal", {"n_samples": 100}),
        ("optimal", {"n_samples": 100, "by": "test"}),
        ("optimal", {"n_samples": 100, "dataset": "cifar100"}),
        ("optimal", {"n_samples": 100, "dataset": "cifar100", "by": "test"}),
    ]:
        found.append((searches.run(algorithm, options, real, 500, seed=0), made_by(algorithm, **options)))
    return search_cells(TABLE2A, found, published)


def test_real_look_ups_reproduce_the_published_baselines(real: searches.Candidates, published) -> None:
    cells = _real_cells(real, published)
    measured = cells[cells["verdict"] != "not measured"]
    assert sorted(set(measured["method"])) == ["Optimal", "RS", "Random"]
    assert len(measured) == 12
    assert list(measured["verdict"]) == ["reproduced"] * 12
    assert (measured["runs"] == 500).all()
    assert one(cells, "RS", "cifar10").measured == pytest.approx(93.74, abs=0.06)
    assert "imagenet16-120 test" in one(cells, "RS", "imagenet16-120").reason


def test_real_accuracies_that_are_half_a_point_off_are_seen_to_differ(real: searches.Candidates, published) -> None:
    table = searches.run("rs", {}, real, 500, seed=0)
    off = table.assign(cifar10_test=table["cifar10_test"] - 0.5)
    found = search_cells(TABLE2A, [(off, made_by("rs"))], published)
    assert one(found, "RS", "cifar10").verdict == "differs"
    assert one(found, "RS", "cifar10", "valid").verdict == "reproduced"
