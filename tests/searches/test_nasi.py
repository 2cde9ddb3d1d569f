"""NASI's gradient, its step, its variants and its going on after a kill."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from naswot_ext.errors import NaswotError
from naswot_ext.searches.nasi import slope
from naswot_ext.supernets import session
from naswot_ext.supernets.nasbench201 import Supernet, strongest
from naswot_ext.supernets.training import Batch
from tests.supernets.toy import CLASSES, blobs, parts, search, setting

NOISE = torch.rand(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def net() -> Supernet:
    torch.manual_seed(2)
    made = Supernet(2, 1, CLASSES, track_running_stats=False).double()
    with torch.no_grad():
        made.alpha.zero_()
    return made


def batch() -> Batch:
    images, labels = blobs(12)
    return Batch(torch.as_tensor(images).double(), torch.as_tensor(labels))


def plain_norm(made: Supernet, mixture: torch.Tensor) -> torch.Tensor:
    made.zero_grad()
    loss = functional.cross_entropy(made(batch().images, mixture), batch().labels)
    loss.backward()
    return sum(weight.grad.square().sum() for _, weight in made.weights())


def test_the_norm_and_its_gradient_are_those_of_finite_differences() -> None:
    made = net()
    norm, gradient = slope(made, batch(), NOISE, temperature=0.7, hard=False)
    torch.testing.assert_close(norm, plain_norm(made, functional.softmax(NOISE / 0.7, 1)))
    step = 1e-6
    for edge in range(6):
        for operation in range(5):
            sides = []
            for sign in (1, -1):
                alpha = torch.zeros(6, 5, dtype=torch.float64)
                alpha[edge, operation] = sign * step
                sides.append(plain_norm(made, functional.softmax((alpha + NOISE) / 0.7, 1)))
            difference = (sides[0] - sides[1]) / (2 * step)
            torch.testing.assert_close(gradient[edge, operation], difference, rtol=1e-4, atol=1e-7)


def test_the_hard_gradient_is_that_of_the_one_path_through_the_softmax() -> None:
    made, soft = net(), functional.softmax(NOISE, 1)
    norm, gradient = slope(made, batch(), NOISE, temperature=1.0, hard=True)
    path = soft.argmax(1)
    hard = functional.one_hot(path, 5).double()
    # The smallest of steps: an operation of weight zero has a kink there no more than any other.
    torch.testing.assert_close(norm, plain_norm(made, hard))
    step, by_weight = 1e-6, torch.zeros(6, 5, dtype=torch.float64)
    for edge in range(6):
        for operation in range(5):
            moved = torch.zeros_like(hard)
            moved[edge, operation] = step
            by_weight[edge, operation] = (plain_norm(made, hard + moved) - plain_norm(made, hard - moved)) / (2 * step)
    expected = soft * (by_weight - (soft * by_weight).sum(1, keepdim=True))
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)


def slopes(monkeypatch: pytest.MonkeyPatch, given: list[tuple[float, torch.Tensor]]) -> None:
    remaining = iter(given)

    def fake(*_: object) -> tuple[torch.Tensor, torch.Tensor]:
        norm, gradient = next(remaining)
        return torch.tensor(norm), gradient

    monkeypatch.setattr("naswot_ext.searches.nasi.slope", fake)


def one(edge: int, operation: int, value: float) -> torch.Tensor:
    gradient = torch.zeros(6, 5)
    gradient[edge, operation] = value
    return gradient


def test_a_norm_above_nu_turns_the_gradient_round_and_each_is_divided_by_the_largest_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slopes(monkeypatch, [(5.0, one(0, 1, 2.0)), (11.0, one(0, 2, 8.0)), (9.0, one(0, 3, 4.0))])
    search("nasi", setting(tmp_path / "c.pt", steps=3, batch_size=8, nu=10, mu=3.0))
    total = parts(tmp_path / "c.pt")["record"]["total"]
    # 2 / 2, (1 - 3) 8 / 16, 4 / 16
    assert torch.equal(total, one(0, 1, 1.0) + one(0, 2, -1.0) + one(0, 3, 0.25))


def test_an_adaptive_nu_is_its_start_and_then_the_mean_of_the_norms_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # nu before each step: 6, 2, (2 + 4.5) / 2 = 3.25
    slopes(monkeypatch, [(2.0, one(0, 1, 1.0)), (4.5, one(0, 2, 1.0)), (3.0, one(0, 3, 1.0))])
    search("nasi", setting(tmp_path / "c.pt", steps=3, batch_size=8, nu="adaptive", nu_start=6.0, mu=2.0))
    total = parts(tmp_path / "c.pt")["record"]["total"]
    assert torch.equal(total, one(0, 1, 1.0) - one(0, 2, 1.0) + one(0, 3, 1.0))


def test_a_gradient_that_is_no_number_says_what_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slopes(monkeypatch, [(5.0, one(0, 1, float("nan")))])
    with pytest.raises(NaswotError, match=r"Raise temperature, which is 0\.01"):
        search("nasi", setting(tmp_path / "c.pt", steps=1, batch_size=8, temperature=0.01))


def test_a_run_is_the_same_each_time_and_runs_differ(tmp_path: Path) -> None:
    totals = []
    for i, seed in enumerate((0, 0, 1)):
        where = setting(tmp_path / f"{i}.pt", seed=seed, channels=2, steps=3, batch_size=8)
        outcome = search("nasi", where)
        totals.append(parts(where.checkpoint)["record"]["total"])
        assert outcome.arch == strongest(totals[-1])
        assert outcome.evaluations == 3
        assert outcome.seconds > 0
    assert torch.equal(totals[0], totals[1])
    assert not torch.equal(totals[0], totals[2])


@pytest.mark.parametrize("variant", [{"labels": "random"}, {"data": "gaussian"}, {"hard": True}, {"affine": True}])
def test_the_variants_look_at_something_else(tmp_path: Path, variant: dict[str, object]) -> None:
    plain = setting(tmp_path / "plain.pt", channels=2, steps=2, batch_size=8)
    other = setting(tmp_path / "other.pt", channels=2, steps=2, batch_size=8, **variant)
    search("nasi", plain)
    search("nasi", other)
    one_total, other_total = (parts(where.checkpoint)["record"]["total"] for where in (plain, other))
    assert not torch.equal(one_total, other_total)


def test_without_labels_only_the_label_agnostic_search_runs(tmp_path: Path) -> None:
    where = setting(tmp_path / "c.pt", channels=2, steps=1, batch_size=8, labels="random")
    assert search("nasi", dataclasses.replace(where, labels=None)).arch


def test_the_label_and_data_agnostic_search_sees_neither_images_nor_labels(tmp_path: Path) -> None:
    options = {"channels": 2, "steps": 2, "batch_size": 8, "labels": "random", "data": "gaussian"}
    where = setting(tmp_path / "a.pt", **options)
    other = dataclasses.replace(where, images=where.images + 3, labels=None, checkpoint=tmp_path / "b.pt")
    search("nasi", where)
    search("nasi", other)
    a, b = (parts(x.checkpoint)["record"]["total"] for x in (where, other))
    assert torch.equal(a, b)


def test_too_few_images_for_a_mini_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NaswotError, match="mini-batches of 64, but there are 32 images"):
        search("nasi", setting(tmp_path / "c.pt", count=32))


def test_a_run_that_was_stopped_goes_on_to_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = setting(tmp_path / "whole.pt", channels=2, steps=6, batch_size=8)
    search("nasi", whole)
    monkeypatch.setattr(session, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(session, "SAY_SECONDS", 0.0)

    def stop(line: str) -> None:
        if "4 of 6" in line:
            raise KeyboardInterrupt

    killed = setting(tmp_path / "killed.pt", channels=2, steps=6, batch_size=8, say=stop)
    with pytest.raises(KeyboardInterrupt):
        search("nasi", killed)
    said: list[str] = []
    search("nasi", dataclasses.replace(killed, say=said.append))
    assert "goes on after step 3 of 6" in said[0]
    a, b = (parts(x.checkpoint)["record"] for x in (whole, killed))
    assert all(torch.equal(a[name], b[name]) for name in a)
