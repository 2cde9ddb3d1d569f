"""What the report's first page tells of a run, and its numbers to look at first."""

from __future__ import annotations

from typing import Any

import pandas as pd

from naswot_ext.papers.cells import cell, compared, frame, not_measured
from naswot_ext.papers.story import story

FACTS: dict[str, Any] = {
    "scale": "small",
    "spaces": {
        "nasbench201": {"architectures": 200, "benchmark": "table"},
        "nats-sss": {"architectures": "all", "benchmark": "nats-sss", "remark": ""},
        "nds-darts": {"architectures": 30, "benchmark": "table", "remark": "DARTS genotypes instead"},
    },
    "datasets": {"cifar10": "npz"},
    "runs": 100,
    "seeds": [0, 1],
    "batch_size": 128,
    "batch_sizes": {"jacobian": 64},
    "absent": {"spaces": {"nds-pnas": "no file"}, "datasets": {"imagenet16-120": "no file"}},
}
TABLE_2A = {
    "paper": "icml2021",
    "item": "table2a",
    "space": "nasbench201",
    "method": "NASWOT",
    "dataset": "cifar10",
    "split": "test",
    "quantity": "accuracy_percent",
}
CLAIM = {"paper": "arxiv2020", "method": "NASWOT-Jacobian", "dataset": "cifar10"}


def searched(n_samples: int, judged: bool = True) -> dict[str, Any]:
    made = compared(measured=92.0, published=92.5, standard_error=1.0, n_samples=n_samples, **TABLE_2A)
    return made if judged else {**made, "verdict": "not measured", "reason": "too few to tell: 3 runs"}


def first(*cells: dict[str, Any]) -> list[str]:
    return story(FACTS, [frame(cells)])["headline"].splitlines()


def test_what_was_run_is_told_in_a_line_each() -> None:
    told = story(FACTS, [])
    assert told == {
        "Scale": "small, 100 runs of a search, seeds 0, 1",
        "Ground truth": "NAS-Bench-201 (table, 200 scored); NATS-Bench SSS (nats-sss, all); "
        "NDS DARTS (table, not comparable: DARTS genotypes instead, 30 scored)",
        "Images": "CIFAR-10 (npz); 128 a network, 64 for jacobian",
        "Not at hand": "NDS PNAS; ImageNet16-120",
        "distinct": "",
        "headline": "",
    }


def test_which_numbers_are_looked_at_first_does_not_depend_on_what_was_found() -> None:
    named = "NASWOT, N = 100 on NAS-Bench-201, CIFAR-10 test accuracy"
    numbers = f"{named}: 92.00 %, published 92.50 %"
    assert first(searched(10), searched(100), searched(1000)) == [f"{numbers} (reproduced)"]
    assert first(searched(10), searched(100, judged=False)) == [f"{numbers} (too few to tell)"]
    absent = not_measured("no file", n_samples=100, published=92.81, **TABLE_2A)
    assert first(searched(10), absent) == [f"{named}: not measured, published 92.81 %"]
    assert first(searched(10)) == []


def test_a_panel_that_was_not_measured_has_no_split_and_is_looked_at_all_the_same() -> None:
    of = {"paper": "icml2021", "item": "figure3", "method": "NASWOT", "dataset": "cifar10", "quantity": "kendall_tau"}
    cells = [
        not_measured("no file", published=tau, space=s, **of) for s, tau in (("nds-enas", 0.5), ("nasbench201", 0.6))
    ]
    assert first(*cells) == [
        "NASWOT on NAS-Bench-201, Kendall's tau with CIFAR-10 accuracy: not measured, published 0.600"
    ]


def test_of_the_two_accuracies_of_a_search_that_of_the_test_is_looked_at() -> None:
    valid = {**searched(100), "split": "valid", "measured": 90.0}
    assert [line.split(": ")[1].split(",")[0] for line in first(valid, searched(100))] == ["92.00 %"]
    assert [line.split(": ")[1].split(",")[0] for line in first(searched(100), valid)] == ["92.00 %"]


def test_each_kind_of_number_says_what_it_is() -> None:
    of = {"paper": "icml2021", "item": "figure3", "method": "NASWOT", "dataset": "cifar10", "split": "test"}
    tau = compared(
        measured=0.6, published=0.574, standard_error=0.001, quantity="kendall_tau", space="nasbench201", **of
    )
    of = {**CLAIM, "item": "rank_claim", "space": "nasbench201", "split": "valid"}
    rank = compared(measured=6000.0, published=667.0, standard_error=1.0, quantity="rank", **of)
    assert first(tau, rank) == [
        "NASWOT on NAS-Bench-201, Kendall's tau with CIFAR-10 test accuracy: 0.600, published 0.574 (differs)",
        "NASWOT-Jacobian on NAS-Bench-201, rank of the smallest above 90 % CIFAR-10 validation accuracy: 6000, "
        "published 667 (differs)",
    ]


def test_an_association_that_is_published_as_significant_has_no_published_number() -> None:
    of = {**CLAIM, "item": "figure5", "space": "pytorchcv", "split": "test", "quantity": "p_value"}
    for published in (None, 0.05):
        (line,) = first(cell(measured=0.41, published=published, verdict="differs", **of))
        assert line == (
            "NASWOT-Jacobian on pytorchcv, association with CIFAR-10 test accuracy: p = 0.41, "
            "published significant (differs)"
        )


def test_cells_of_other_tables_are_no_headline() -> None:
    assert first({**searched(100), "method": "RS"}) == []
    assert story(FACTS, [pd.DataFrame()])["headline"] == ""
