"""A training that is watched by a score: it learns, is repeatable, survives a kill, and says when it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from naswot_ext.datasets import Batch, load_batch, save_batch
from naswot_ext.errors import NaswotError
from naswot_ext.experiments import training
from naswot_ext.experiments._measure import rows_of, shuffled
from naswot_ext.experiments.training import COLUMNS, train
from naswot_ext.provenance import read_provenance, read_table
from naswot_ext.scoring import score_architectures
from naswot_ext.supernets import session
from tests.experiments.small import chosen, images, space

SMALL = {"epochs": 2, "held_out": 16, "batch_size": 32, "learning_rate": 0.1}
INDEX = int(chosen(1)["arch_index"][0])


def trained(folder: Path, proxy: str = "naswot", file: Path | None = None, count: int = 144, **options):
    folder.mkdir(exist_ok=True, parents=True)
    file = file or images(folder / "images.npz", count)
    output = folder / "network-0.parquet"
    train(space(), INDEX, 93.5, file, proxy, output, progress=False, **{**SMALL, **options})
    return read_table(output)


def numbers(table):
    return table.drop(columns="seconds")


def test_a_training_learns_and_has_a_row_an_epoch(tmp_path: Path) -> None:
    table = trained(tmp_path, count=528, epochs=4, learning_rate=0.2)
    assert list(table) == list(COLUMNS)
    assert table["epoch"].tolist() == [0, 1, 2, 3, 4]
    assert table["status"].eq("ok").all()
    assert table["score"].nunique() == 5
    assert np.isnan(table["loss"][0])
    assert table["loss"][1] > 1.3 * table["loss"][4]
    assert table["train_accuracy"][4] > 60
    assert table["seconds"].is_monotonic_increasing
    assert set(table["arch"]) == {chosen(1)["arch"][0]}
    made = read_provenance(tmp_path / "network-0.parquet")
    assert made["options"]["epochs"] == 4
    assert made["images_trained"] == 512
    assert not list(tmp_path.glob("*checkpoint*"))
    assert not list(tmp_path.glob("*partial*"))


@pytest.mark.parametrize("proxy", ["naswot", "jacobian"])
def test_the_score_before_training_equals_score_architectures_bit_for_bit(tmp_path: Path, proxy: str) -> None:
    table = trained(tmp_path, proxy, epochs=1, seed=5)
    batch = load_batch(tmp_path / "images.npz")
    save_batch(rows_of(batch, shuffled(144, 5)[:16]), tmp_path / "held-out.npz")
    output = tmp_path / "score.parquet"
    score_architectures(space(), [INDEX], proxy, tmp_path / "held-out.npz", 5, output, progress=False)
    assert table["score"][0] == read_table(output)["score"][0]


def test_a_proxy_that_changes_what_it_scores_changes_nothing_of_the_training(tmp_path: Path) -> None:
    proxy = tmp_path / "mine.py"
    proxy.write_text(
        "import torch\n\ndef spoil(network, batch):\n"
        "    [p.data.zero_() for p in network.parameters()]\n    return float(torch.rand(()))\n"
    )
    plain, spoilt = trained(tmp_path / "a"), trained(tmp_path / "b", f"{proxy}:spoil")
    assert plain["loss"].equals(spoilt["loss"])
    assert not plain["score"].equals(spoilt["score"])


def test_a_proxy_finds_no_gradient_that_training_left(tmp_path: Path) -> None:
    proxy = tmp_path / "mine.py"
    proxy.write_text("def left(network, batch):\n    return sum(p.grad is not None for p in network.parameters())\n")
    assert trained(tmp_path / "t", f"{proxy}:left")["score"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(("killed_at", "drops"), [(1, False), (4, False), (6, False), (6, True)])
def test_a_killed_training_goes_on_and_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int, drops: bool
) -> None:
    build = type(space()).build
    if drops:
        dropping = lambda *args: torch.nn.Sequential(build(*args), torch.nn.Dropout())  # noqa: E731
        monkeypatch.setattr(type(space()), "build", dropping)
    whole = trained(tmp_path / "whole")
    monkeypatch.setattr(session, "SAVE_SECONDS", 0.0)
    steps = []

    class Killed(training.Progress):
        def add_training(self, number, *others):
            steps.append(number)
            if steps == [*range(killed_at + 1)]:
                raise KeyboardInterrupt
            super().add_training(number, *others)

    monkeypatch.setattr(training, "Progress", Killed)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed")
    again = trained(tmp_path / "killed", file=tmp_path / "killed" / "images.npz")
    assert steps == [*range(killed_at + 1), *range(killed_at, 8)]
    assert numbers(again).equals(numbers(whole))


def test_a_checkpoint_of_another_proxy_is_not_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SAVE_SECONDS", 0.0)

    class Killed(training.Progress):
        def add_training(self, number, *others):
            if number == 5:
                raise KeyboardInterrupt
            super().add_training(number, *others)

    with monkeypatch.context() as inside:
        inside.setattr(training, "Progress", Killed)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path)
    other = trained(tmp_path, "jacobian", file=tmp_path / "images.npz")
    assert numbers(other).equals(numbers(trained(tmp_path / "whole", "jacobian")))


def test_a_checkpoint_of_another_architecture_of_the_same_index_is_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = set()
    monkeypatch.setattr(training, "_train", lambda setting, *others: identities.add(setting.code) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path)
    monkeypatch.setattr(type(training.SPACES.get("nasbench201")), "architecture", lambda *_: "another")
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path)
    assert len(identities) == 2


def test_scores_after_training_are_those_of_the_trained_weights(tmp_path: Path, monkeypatch) -> None:
    # Of the saved weights, by the plain definition of K, not by what scored them.
    monkeypatch.setattr(session, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    table = trained(tmp_path)
    state = torch.load(tmp_path / "network-0.parquet.checkpoint", weights_only=True)["parts"]
    network = space().build(chosen(1)["arch"][0], 4)
    network.load_state_dict(state["network"])
    network.train()
    batch = load_batch(tmp_path / "images.npz")
    codes: list[torch.Tensor] = []
    for module in network.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_pre_hook(lambda _, x: codes.append((x[0] > 0).flatten(1).double()))
    with torch.no_grad():
        network(torch.from_numpy(rows_of(batch, shuffled(144, 0)[:16]).images))
    bits = torch.cat(codes, 1)
    kernel = bits @ bits.T + (1 - bits) @ (1 - bits).T
    # A bit whose pre-activation is zero to within rounding may differ.
    assert table["score"].iloc[-1] == pytest.approx(float(torch.linalg.slogdet(kernel)[1]), rel=1e-3)
    assert abs(table["score"].iloc[-1] - table["score"][0]) > 1e-2


def test_the_last_mini_batch_is_what_is_left_but_never_a_single_image() -> None:
    assert [training._steps(count, 32) for count in (64, 65, 66, 96, 32)] == [2, 2, 3, 3, 1]


def test_a_loss_that_is_no_number_ends_the_training_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NaswotError, match=r"The loss of the training is (nan|inf) in epoch .*Lower learning_rate"):
        trained(tmp_path, learning_rate=1e30)
    assert not (tmp_path / "network-0.parquet").exists()


def test_a_score_that_fails_is_a_row_and_the_training_goes_on(tmp_path: Path) -> None:
    proxy = tmp_path / "mine.py"
    proxy.write_text("def refuse(network, batch):\n    raise ValueError('not today')\n")
    table = trained(tmp_path / "t", f"{proxy}:refuse")
    assert table["status"].tolist() == ["failed"] * 3
    assert "not today" in table["error"][1]
    assert table["loss"].notna().tolist() == [False, True, True]


def test_what_cannot_be_trained_is_one_error(tmp_path: Path) -> None:
    pixels = load_batch(images(tmp_path / "a.npz", 144)).images
    save_batch(Batch(pixels, None, 4), tmp_path / "b.npz")
    with pytest.raises(NaswotError, match="needs the labels of the images"):
        trained(tmp_path / "t", file=tmp_path / "b.npz")
    with pytest.raises(NaswotError, match=r"144 images, of which 128 are scored; .* mini-batch of 32"):
        trained(tmp_path / "t", held_out=128)
    with pytest.raises(NaswotError, match=r"Unknown option of a training 'epoch'\. Did you mean 'epochs'"):
        trained(tmp_path / "t", epoch=3)
