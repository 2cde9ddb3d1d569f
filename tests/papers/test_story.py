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
        "nats-sss": {"architectures": "all", "benchmark": "nats-sss"},
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
        "Spaces": "NAS-Bench-201 (200 architectures, ground truth: table), "
        "NATS-Bench SSS (all architectures, ground truth: nats-sss)",
        "Images": "CIFAR-10 (npz); 128 a network, 64 for jacobian",
        "Not at hand": "NDS PNAS; ImageNet16-120",
        "headline": "",
    }


def test_a_number_with_a_verdict_is_looked_at_first_and_then_the_papers_own() -> None:
    named = "on NAS-Bench-201, CIFAR-10 test accuracy found: 92.00 %, published: 92.50 %"
    assert first(searched(10), searched(100), searched(1000)) == [f"NASWOT, N = 100 {named} (reproduced)"]
    assert first(searched(10), searched(100, judged=False)) == [f"NASWOT, N = 10 {named} (reproduced)"]


def test_a_number_without_a_verdict_is_of_too_few_to_tell_not_unmeasured() -> None:
    (line,) = first(searched(10, judged=False), searched(100, judged=False))
    assert line.startswith("NASWOT, N = 100 on")
    assert line.endswith("(too few to tell)")


def test_what_was_not_measured_is_nothing_to_look_at() -> None:
    assert first(not_measured("no file", published=92.5, **TABLE_2A)) == []


def test_each_kind_of_number_says_what_it_is() -> None:
    of = {"paper": "icml2021", "item": "figure3", "method": "NASWOT", "dataset": "cifar10", "split": "test"}
    tau = compared(
        measured=0.6, published=0.574, standard_error=0.001, quantity="kendall_tau", space="nasbench201", **of
    )
    of = {**CLAIM, "item": "rank_claim", "space": "nasbench201", "split": "valid"}
    rank = compared(measured=6000.0, published=667.0, standard_error=1.0, quantity="rank", **of)
    assert first(tau, rank) == [
        "NASWOT on NAS-Bench-201, Kendall's tau with CIFAR-10 test accuracy: 0.600, published: 0.574 (differs)",
        "NASWOT-Jacobian on NAS-Bench-201, rank of the smallest network above 90 % CIFAR-10 valid accuracy: 6000, "
        "published: 667 (differs)",
    ]


def test_an_association_that_is_published_as_significant_has_no_published_number() -> None:
    of = {**CLAIM, "item": "figure5", "space": "pytorchcv", "split": "test", "quantity": "p_value"}
    for published in (None, 0.05):
        (line,) = first(cell(measured=0.41, published=published, verdict="differs", **of))
        assert line == (
            "NASWOT-Jacobian on pytorchcv, association with CIFAR-10 test accuracy at equal parameters: p = 0.41, "
            "published: significant (differs)"
        )


def test_cells_of_other_tables_are_no_headline() -> None:
    assert first({**searched(100), "method": "RS"}) == []
    assert story(FACTS, [pd.DataFrame()])["headline"] == ""
