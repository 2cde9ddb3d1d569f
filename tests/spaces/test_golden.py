"""Every space against the networks of the papers' code: exactly in size, within noise in score."""

from __future__ import annotations

import pytest

from tests.spaces.golden import FILES, Fact, counts, difference, facts

ALL = [fact for file in FILES for fact in facts(file)]


def named(fact: Fact) -> str:
    return f"{fact.space}-{fact.params}-{fact.units}"


def test_every_space_has_its_facts() -> None:
    assert {file: len(facts(file)) for file in FILES} == {
        "nasbench101": 24,
        "nasbench201": 40,
        "nats_sss": 16,
        "nds": 31,
    }


@pytest.mark.parametrize("fact", ALL, ids=named)
def test_a_network_has_the_reference_parameters_applications_and_units(fact: Fact) -> None:
    assert counts(fact) == (fact.params, fact.applications, fact.units)


@pytest.mark.parametrize("fact", ALL, ids=named)
def test_scores_agree_with_the_reference_within_four_standard_errors(fact: Fact) -> None:
    differs, error = difference(fact)
    assert abs(differs) <= 4 * error
