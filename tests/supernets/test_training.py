"""Halves, mini-batches, crops, flips, the learning rate and the errors that the weight-sharing searches share."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES
from naswot_ext.supernets.session import generator
from naswot_ext.supernets.training import Halves, Trainer, augmented, build
from tests.supernets.toy import search, setting

WEIGHT_SHARING = ("rsps", "darts_v1", "darts_v2", "gdas", "setn", "enas")


def halves(tmp_path: Path, count: int = 50, batch_size: int = 8, augment: bool = False, seed: int = 0) -> Halves:
    where = setting(tmp_path / "c.pt", count=count, seed=seed)
    # Each image tells its number.
    where.images[:] = torch.arange(count)[:, None, None, None]
    where.labels[:] = torch.arange(count)
    return Halves(where, "gdas", batch_size, augment)


def test_an_epoch_is_the_training_half_in_a_new_order_and_validation_is_the_other_half(tmp_path: Path) -> None:
    split = halves(tmp_path)
    assert split.steps == math.ceil(25 / 8)
    epochs = [[split.training(epoch, step).labels for step in range(split.steps)] for epoch in range(2)]
    assert [len(labels) for labels in epochs[0]] == [8, 8, 8, 1]
    seen = [torch.cat(labels).tolist() for labels in epochs]
    assert sorted(seen[0]) == sorted(seen[1])
    assert seen[0] != seen[1]
    held_out = torch.cat([split.in_turn(i, 8, False, "x").labels for i in range(4)]).tolist()
    assert sorted(seen[0] + held_out) == list(range(50))
    drawn = {int(x) for step in range(40) for x in split.validation(0, step, "alpha").labels}
    assert drawn == set(held_out)


def test_mini_batches_are_the_same_in_whatever_order_they_are_asked_for(tmp_path: Path) -> None:
    one, other = halves(tmp_path, augment=True), halves(tmp_path, augment=True)
    a = [one.training(epoch, step) for epoch in range(2) for step in range(4)]
    b = [other.training(epoch, step) for epoch in (1, 0) for step in (3, 2, 1, 0)]
    for x, y in zip(a, [b[i] for i in (7, 6, 5, 4, 3, 2, 1, 0)], strict=True):
        assert torch.equal(x.images, y.images)
        assert torch.equal(x.labels, y.labels)
    assert not torch.equal(a[0].labels, halves(tmp_path, seed=1).training(0, 0).labels)


def test_images_and_labels_stay_together(tmp_path: Path) -> None:
    batch = halves(tmp_path).training(0, 1)
    assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.labels)


def test_augmenting_shifts_by_up_to_four_flips_half_and_fills_with_the_darkest() -> None:
    images = 1 + torch.rand(400, 3, 12, 8, generator=torch.Generator().manual_seed(0))
    darkest = torch.tensor([0.3, 0.1, -0.7]).view(1, 3, 1, 1)
    moved = augmented(images, darkest, generator(0, "crops"))
    padded = torch.full((400, 3, 20, 16), 0.0) + darkest
    padded[:, :, 4:16, 4:12] = images
    found = []
    for image, before in zip(moved, padded, strict=True):
        places = [
            (y, x, flip)
            for y in range(9)
            for x in range(9)
            for flip in (False, True)
            if torch.equal(
                image, before[:, y : y + 12, x : x + 8].flip(2) if flip else before[:, y : y + 12, x : x + 8]
            )
        ]
        assert len(places) == 1
        found += places
    assert {y for y, _, _ in found} == {x for _, x, _ in found} == set(range(9))
    assert 150 < sum(flip for *_, flip in found) < 250


def test_the_learning_rate_falls_along_a_cosine_and_rises_again_after_its_period(tmp_path: Path) -> None:
    trainer = Trainer(setting(tmp_path / "c.pt", epochs=50, batch_size=16), "gdas", {})
    assert trainer.learning_rate(0) == 0.025
    assert trainer.learning_rate(25) == pytest.approx(0.013)
    assert trainer.learning_rate(50) == pytest.approx(0.001)
    trainer = Trainer(setting(tmp_path / "c.pt", epochs=250, batch_size=16), "enas", {"learning_rate_period": 10})
    assert trainer.learning_rate(10) == pytest.approx(0.001)
    assert trainer.learning_rate(20) == pytest.approx(0.025)


def test_the_untrained_supernet_derives_from_the_seed_and_disturbs_no_other_random_numbers(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = build(setting(tmp_path / "c.pt"), False, True)
    assert torch.equal(torch.rand(1), expected)
    again, other = (
        build(setting(tmp_path / "c.pt"), False, True),
        build(setting(tmp_path / "c.pt", seed=1), False, True),
    )
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.alpha, other.alpha)


@pytest.mark.parametrize("name", [*WEIGHT_SHARING, "nasi"])
def test_another_space_is_refused(tmp_path: Path, name: str) -> None:
    where = dataclasses.replace(setting(tmp_path / "c.pt"), space=SPACES.get("nats-sss"))
    with pytest.raises(
        NaswotError, match=f"search {name} knows the supernet of nasbench201 only, not that of nats-sss"
    ):
        search(name, where)


@pytest.mark.parametrize("name", [*WEIGHT_SHARING, "nasi"])
def test_images_without_labels_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(NaswotError, match=f"search {name} .* the labels of the images"):
        search(name, dataclasses.replace(setting(tmp_path / "c.pt"), labels=None))


@pytest.mark.parametrize("name", WEIGHT_SHARING)
def test_halves_that_do_not_fill_a_mini_batch_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(NaswotError, match=r"each must fill one mini-batch of 64\. Set batch_size to 50 or less"):
        search(name, setting(tmp_path / "c.pt", count=100, batch_size=64))


@pytest.mark.parametrize("shape", [(64, 1, 8, 8), (64, 3, 6, 8), (64, 3, 64)])
def test_images_that_the_network_does_not_take_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    where = setting(tmp_path / "c.pt", count=64)
    with pytest.raises(NaswotError, match=r"takes \[n, 3, H, W\] with H and W multiples of 4"):
        search("rsps", dataclasses.replace(where, images=where.images[:, :1].repeat(8, 3)[:, :1].reshape(-1)[
            : math.prod(shape)].reshape(shape)))  # fmt: skip


@pytest.mark.parametrize("name", WEIGHT_SHARING)
def test_a_loss_that_is_no_number_says_where_and_what_to_lower_and_is_not_saved(tmp_path: Path, name: str) -> None:
    where = setting(tmp_path / "c.pt", count=64, epochs=2, batch_size=16, controller_steps=1, learning_rate=0.5)
    where.images[40] = float("inf")
    with pytest.raises(
        NaswotError, match=r"is nan in epoch [12], step \d+: .* Lower learning_rate, which is 0\.5"
    ) as e:
        search(name, where)
    assert "\n" not in str(e.value)
    assert not where.checkpoint.exists()
