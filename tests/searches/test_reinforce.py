"""REINFORCE against automatic differentiation and torch's Adam."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from naswot_ext import searches
from naswot_ext.searches.reinforce import Policy
from tests.searches.budgets import SPACE, among, recorded, truth, whole_space

__all__ = ["whole_space"]


def test_a_step_is_that_of_torchs_adam_on_the_policy_gradient() -> None:
    rng = np.random.default_rng(0)
    policy = Policy((5, 5, 5), 0.1, rng)
    logits = torch.nn.Parameter(torch.from_numpy(policy.logits.copy()))
    adam = torch.optim.Adam([logits], lr=0.1)
    for advantage in (0.0, 12.5, -3.0, 0.01, 7.0):
        codes = policy.draw(rng)
        policy.learn(codes, advantage)
        loss = -advantage * torch.distributions.Categorical(logits=logits).log_prob(torch.from_numpy(codes)).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        np.testing.assert_allclose(policy.logits, logits.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_the_reward_is_measured_against_the_unbiased_moving_average(whole_space, monkeypatch) -> None:
    advantages: list[float] = []
    monkeypatch.setattr(Policy, "learn", lambda self, codes, advantage: advantages.append(advantage))
    with recorded() as path:
        searches.run("reinforce", {"budget": 3, "momentum": 0.8}, whole_space, 1, seed=1)
    first, second, third = whole_space.trained["cifar10", 12].valid_accuracy[path]
    assert first != second
    # Weights 0.2 x (1), (0.8, 1) and (0.64, 0.8, 1), each divided by their sum.
    expected = [0, second - (0.8 * first + second) / 1.8, third - (0.64 * first + 0.8 * second + third) / 2.44]
    np.testing.assert_allclose(advantages, expected, atol=1e-9)


def test_the_policy_draws_each_option_by_its_probability_and_none_that_a_decision_has_not() -> None:
    rng = np.random.default_rng(0)
    policy = Policy((2, 3), 0.1, rng)
    assert policy.logits[0, 2] == -np.inf
    policy.logits[0, :2] = np.log([0.2, 0.8])
    policy.logits[1] = np.log([0.5, 0.25, 0.25])
    drawn = np.array([policy.draw(rng) for _ in range(4_000)])
    # Five standard deviations of a binomial of 4,000 are at most 158.
    np.testing.assert_allclose(np.bincount(drawn[:, 0], minlength=3), [800, 3_200, 0], atol=158)
    np.testing.assert_allclose(np.bincount(drawn[:, 1], minlength=3), [2_000, 1_000, 1_000], atol=158)
    policy.learn(drawn[0], 1.0)
    assert policy.logits[0, 2] == -np.inf
    assert np.isfinite(policy.probabilities()).all()


def test_it_learns_to_draw_what_was_good(whole_space: searches.Candidates) -> None:
    accuracy = whole_space.trained["cifar10", 12].valid_accuracy
    with recorded() as path:
        searches.run("reinforce", {"budget": 300}, whole_space, 1, seed=0)
    assert accuracy[path[-50:]].mean() > accuracy[path[:50]].mean() + 20


def test_what_has_no_ground_truth_is_drawn_again_free_of_charge() -> None:
    # A tenth of the space.
    architectures = [SPACE.architecture(i) for i in range(1_562)]
    table = among(truth(architectures, np.arange(1_562.0), np.ones(1_562)))
    found = searches.run("reinforce", {"budget": 20}, table, 5, seed=0)
    assert (found["evaluations"] == 20).all()


@pytest.mark.timeout(600)
def test_a_policy_that_finds_nothing_with_ground_truth_ends_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    # One architecture of the space, which takes 15,625 draws to meet.
    table = among(truth([SPACE.architecture(0)], np.ones(1), np.ones(1)))
    found = searches.run("reinforce", {"budget": 1_000_000}, table, 2, seed=0)
    assert (found["evaluations"] < 1_000).all()
    assert "end before their budget is spent: 1,000 draws in a row are not among the 1 architectures" in caplog.text
