"""A computation that is killed goes on where it was, and computes what it would have computed."""

from __future__ import annotations

import dataclasses
import resource
from pathlib import Path

import pytest
import torch

from naswot_ext.errors import NaswotError
from naswot_ext.supernets import session
from naswot_ext.supernets.session import Record, Session, generator
from tests.supernets.toy import setting


@pytest.fixture(autouse=True)
def _save_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SAVE_SECONDS", 0.0)


def count(where, total: int = 10, stop_at: int | None = None) -> tuple[list[int], float, Session]:
    """Sum random numbers; stop as a kill would after `stop_at` steps were saved."""
    run = Session(where, "adding")
    record = Record("cpu", total=torch.zeros((), dtype=torch.float64))
    steps = []
    for step in run.steps(total, {"record": record}, lambda: None, lambda done: f"{done} done"):
        if step == stop_at:
            break
        steps.append(step)
        record["total"] = record["total"] + torch.rand((), generator=generator(where.seed, "step", step)).double()
    return steps, float(record["total"]), run


def test_steps_that_were_saved_are_not_done_again_and_the_sum_is_the_same(tmp_path: Path) -> None:
    whole = count(setting(tmp_path / "whole.pt"))[1]
    where = setting(tmp_path / "killed.pt")
    assert count(where, stop_at=4)[0] == [0, 1, 2, 3]
    steps, total, _ = count(where)
    assert steps == [4, 5, 6, 7, 8, 9]
    assert total == whole
    assert count(where)[0] == []


def test_the_seconds_of_earlier_calls_count(tmp_path: Path) -> None:
    where = setting(tmp_path / "c.pt")
    count(where, stop_at=4)
    state = torch.load(where.checkpoint, weights_only=True)
    torch.save({**state, "seconds": 1000.0}, where.checkpoint)
    assert 1000 < count(where)[2].seconds() < 1100


@pytest.mark.parametrize("change", ["seed", "options", "images", "labels", "network", "code", "algorithm"])
def test_a_checkpoint_of_another_setting_is_not_used_and_that_is_said(tmp_path: Path, change: str) -> None:
    said: list[str] = []
    where = setting(tmp_path / "c.pt", say=said.append)
    count(where, stop_at=4)
    other = {
        "seed": lambda: dataclasses.replace(where, seed=1),
        "options": lambda: dataclasses.replace(where, options={"epochs": 2}),
        "images": lambda: dataclasses.replace(where, images=where.images + 1),
        "labels": lambda: dataclasses.replace(where, labels=where.labels[::-1]),
        "network": lambda: dataclasses.replace(where, space=where.space.with_network(channels=8)),
        "code": lambda: dataclasses.replace(where, code="another"),
        "algorithm": lambda: where,
    }[change]()
    run = Session(other, "adding" if change != "algorithm" else "other")
    record = Record("cpu", total=torch.zeros(()))
    assert next(iter(run.steps(10, {"record": record}, lambda: None, str))) == 0
    assert "starts anew" in said[-1]
    assert "c.pt is of another search, setting, set of images or version of the code" in said[-1]


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "other parts", "no parts"])
def test_a_damaged_checkpoint_is_not_used_and_that_is_said(tmp_path: Path, damage: str) -> None:
    said: list[str] = []
    where = setting(tmp_path / "c.pt", say=said.append)
    whole = count(setting(tmp_path / "whole.pt"))[1]
    count(where, stop_at=4)
    state = torch.load(where.checkpoint, weights_only=True)
    content = where.checkpoint.read_bytes()
    if damage in ("cut", "text", "empty"):
        where.checkpoint.write_bytes({"cut": content[: len(content) // 2], "text": b"hello", "empty": b""}[damage])
    else:
        torch.save({**state, "parts": {"record": 3}} if damage == "other parts" else {"done": 1}, where.checkpoint)
    steps, total, _ = count(where)
    assert steps == list(range(10))
    assert total == whole
    assert any("starts anew" in line and "c.pt is damaged" in line for line in said)
    assert not any("\n" in line for line in said)


def test_a_state_that_fits_only_in_part_leaves_no_trace(tmp_path: Path) -> None:
    where = setting(tmp_path / "c.pt")
    count(where, stop_at=4)
    run = Session(where, "adding")
    record, more = Record("cpu", total=torch.zeros(())), Record("cpu")
    assert next(iter(run.steps(10, {"record": record, "more": more}, lambda: None, str))) == 0
    assert record["total"] == 0


def test_a_full_disk_is_told_and_leaves_the_checkpoint_of_before(tmp_path: Path) -> None:
    where = setting(tmp_path / "c.pt")
    count(where, stop_at=4)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # the same refusal to write as a full disk's
    try:
        with pytest.raises(NaswotError, match=r"Cannot write .*c\.pt: .*Free some space"):
            count(where)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in tmp_path.iterdir()] == ["c.pt"]
    assert count(where)[0] == [4, 5, 6, 7, 8, 9]


def test_what_has_gone_wrong_is_never_saved(tmp_path: Path) -> None:
    where = setting(tmp_path / "c.pt")

    def wrong() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Session(where, "adding").steps(3, {}, wrong, str))
    assert not where.checkpoint.exists()


def test_generators_differ_by_what_they_are_for() -> None:
    draws = {float(torch.rand((), generator=generator(0, *what))) for what in (("a", 0), ("a", 1), ("b", 0), ("a",))}
    assert len(draws) == 4
