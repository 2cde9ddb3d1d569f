"""Names of proxies: labels, aggregates, and which are scored together."""

from __future__ import annotations

import pytest

from naswot_ext import proxy_names
from naswot_ext.proxy_names import Aggregate


def test_labels_are_names_functions_and_what_aggregates_are_called() -> None:
    ranks = ["naswot", "mine.py:depth"]
    assert proxy_names.label("naswot") == "naswot"
    assert proxy_names.label("folder/mine.py:depth") == "depth"
    assert proxy_names.label({"aggregate": {"ranks": ranks}}) == "ranks-naswot-depth"
    assert proxy_names.label({"aggregate": {"ranks": ranks, "how": "log"}}) == "ranks-log-naswot-depth"
    assert proxy_names.label({"aggregate": {"ranks": ranks, "name": "both"}}) == "both"


def test_definitions_hold_the_members_of_aggregates() -> None:
    both = {"aggregate": {"ranks": ["naswot", "mine.py:depth"], "how": "log", "name": "both"}}
    assert proxy_names.definitions(["params", both]) == {
        "naswot": "naswot",
        "depth": "mine.py:depth",
        "params": "params",
        "both": Aggregate(("naswot", "depth"), "log"),
    }


@pytest.mark.parametrize(
    ("name", "wanted", "group"),
    [
        ("params", ["params", "flops"], "shape"),
        ("params", ["params", "naswot"], "forward"),
        ("naswot_normalised", ["naswot_normalised"], "forward"),
        ("snip", ["snip", "naswot"], "snip"),
        ("depth", ["depth", "naswot"], "depth"),
    ],
)
def test_what_costs_at_most_a_forward_pass_is_scored_together(name: str, wanted: list[str], group: str) -> None:
    found, members = proxy_names.group(name, wanted)
    assert found == group
    assert name in members


def test_the_members_of_a_group_do_not_depend_on_which_of_them_are_wanted() -> None:
    few, many = (proxy_names.group("naswot", wanted) for wanted in (["naswot"], ["naswot", "units", "random", "flops"]))
    assert few == many
