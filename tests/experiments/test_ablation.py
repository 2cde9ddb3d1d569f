"""An ablation's scores are those of the engine, on the images and with the seeds that its kind says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from naswot_ext.datasets import Batch, load_batch, save_batch
from naswot_ext.errors import NaswotError
from naswot_ext.experiments import ablation
from naswot_ext.experiments._measure import shuffled
from naswot_ext.experiments.ablation import COLUMNS, KINDS, ablate, plan
from naswot_ext.provenance import read_provenance, read_table
from naswot_ext.scoring import Engine, score_architectures
from tests.experiments.small import chosen, images, space

SMALL = {"samples": 3, "batch_size": 8, "batch_sizes": (4, 16)}


def measured(tmp_path: Path, kind: str, proxy: str = "naswot", count: int = 2, **options):
    file = images(tmp_path / "images.npz")
    output = tmp_path / kind / f"{proxy}.parquet"
    ablate(space(), chosen(count), kind, file, proxy, output, **{**SMALL, **options})
    return read_table(output), load_batch(file), output


def engine_scores(tmp_path: Path, batch: Batch, seed: int, proxy: str = "naswot", count: int = 2) -> list[float]:
    save_batch(batch, tmp_path / "one.npz")
    output = tmp_path / f"score-{seed}.parquet"
    indices = chosen(count)["arch_index"].to_numpy()
    score_architectures(space(), indices, proxy, tmp_path / "one.npz", seed, output, progress=False)
    return read_table(output)["score"].tolist()


def part(batch: Batch, rows: np.ndarray) -> Batch:
    return Batch(batch.images[rows], batch.labels[rows], batch.classes)


@pytest.mark.parametrize("proxy", ["naswot", "jacobian", "grad_norm"])
@pytest.mark.parametrize("number", [0, 2])
def test_a_mini_batchs_scores_equal_score_architectures_bit_for_bit(tmp_path: Path, proxy: str, number: int) -> None:
    table, batch, _ = measured(tmp_path, "minibatch", proxy, seed=3)
    rows = shuffled(64, 3)[8 * number : 8 * (number + 1)]
    expected = engine_scores(tmp_path, part(batch, rows), 3, proxy)
    assert table[table["sample"] == number]["score"].tolist() == expected


def test_initialisation_i_is_that_of_seed_i_on_the_same_images(tmp_path: Path) -> None:
    table, batch, _ = measured(tmp_path, "initialisation")
    same = part(batch, shuffled(64, 0)[:8])
    for number in range(3):
        assert table[table["sample"] == number]["score"].tolist() == engine_scores(tmp_path, same, number)
    assert table.groupby("arch_index")["score"].nunique().tolist() == [3, 3]


def test_gaussian_images_have_the_shape_of_the_others_and_nothing_of_their_values(tmp_path: Path) -> None:
    batch = load_batch(images(tmp_path / "a.npz"))
    first, second = (sample.images() for sample in plan("gaussian", batch, 2, 500))
    assert first.images.shape == (500, 3, 8, 8)
    assert first.classes == batch.classes
    assert abs(first.images.mean()) < 0.01
    assert abs(first.images.std() - 1) < 0.01
    assert not np.array_equal(first.images, second.images)
    table, _, _ = measured(tmp_path, "gaussian")
    other = load_batch(images(tmp_path / "b.npz", seed=9))
    assert plan("gaussian", other, 1, 500)[0].images().images.tobytes() == first.images.tobytes()
    assert table["batch_size"].eq(8).all()
    assert np.isfinite(table["score"]).all()


def test_batches_of_each_size_are_drawn_without_replacement(tmp_path: Path) -> None:
    batch = load_batch(images(tmp_path / "a.npz"))
    planned = plan("batch_size", batch, 3, 8, (4, 16, 64))
    assert [(s.batch_size, s.number) for s in planned] == [(b, i) for b in (4, 16, 64) for i in range(3)]
    for sample in planned:
        drawn = sample.images()
        assert len(np.unique(drawn.images, axis=0)) == len(drawn.images) == sample.batch_size
        again = sample.images()
        assert np.array_equal(again.images, drawn.images)
        assert np.array_equal(again.labels, drawn.labels)
    table, _, _ = measured(tmp_path, "batch_size")
    assert table.groupby("batch_size")["sample"].value_counts().eq(2).all()
    assert set(table["batch_size"]) == {4, 16}


def test_mini_batches_share_no_image_and_are_not_in_the_order_of_the_file(tmp_path: Path) -> None:
    batch = load_batch(images(tmp_path / "a.npz"))
    drawn = np.concatenate([sample.images().images for sample in plan("minibatch", batch, 8, 8)])
    assert len(np.unique(drawn, axis=0)) == 64
    assert not np.array_equal(drawn, batch.images)


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_samples_are_the_same_samples(tmp_path: Path, kind: str) -> None:
    many, _, _ = measured(tmp_path / "many", kind)
    few, _, _ = measured(tmp_path / "few", kind, samples=2)
    assert few.equals(many[many["sample"] < 2].reset_index(drop=True))


def test_a_table_says_how_it_was_made_and_a_singular_network_has_its_row(tmp_path: Path) -> None:
    table, _, output = measured(tmp_path, "minibatch", count=3, dataset="blobs")
    assert list(table) == list(COLUMNS)
    assert table["status"].tolist() == ["ok", "ok", "singular"] * 3
    assert table["score"].tolist()[2] == -np.inf
    assert table["accuracy"].tolist() == [93.5, 84.25, 10.0] * 3
    made = read_provenance(output)
    assert (made["kind"], made["proxy"], made["dataset"], made["samples"]) == ("minibatch", "naswot", "blobs", 3)
    assert made["title"] == "NASWOT score, log |det K|"


def test_a_network_that_fails_has_its_row_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = type(space()).build

    def broken(self, architecture: str, num_classes: int = 1):
        if architecture == chosen(1)["arch"][0]:
            raise ValueError("no such layer")
        return build(self, architecture, num_classes)

    monkeypatch.setattr(type(space()), "build", broken)
    table, _, _ = measured(tmp_path, "initialisation")
    assert table["status"].tolist() == ["failed", "ok"] * 3
    assert table["error"].tolist()[0] == "ValueError: no such layer"
    assert np.isnan(table["score"].tolist()[0])


def test_a_killed_ablation_goes_on_after_the_samples_that_were_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _, _ = measured(tmp_path / "whole", "initialisation")
    scored: list[int] = []

    class Killed(Engine):
        def score(self, indices, in_flight):
            scored.append(self._seed)
            if scored == [0, 1]:
                raise KeyboardInterrupt
            return super().score(indices, in_flight)

    monkeypatch.setattr(ablation, "Engine", Killed)
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, "initialisation")
    table, _, output = measured(tmp_path, "initialisation")
    assert scored == [0, 1, 1, 2]
    assert table.equals(whole)
    assert [file.name for file in output.parent.iterdir()] == [output.name]


def test_too_few_images_and_unknown_kinds_are_one_error(tmp_path: Path) -> None:
    with pytest.raises(NaswotError, match="needs 72 images, and 64 were given"):
        measured(tmp_path, "minibatch", samples=9)
    with pytest.raises(NaswotError, match="needs 128 images"):
        measured(tmp_path, "batch_size", batch_sizes=(128,))
    with pytest.raises(NaswotError, match=r"Unknown kind of ablation 'batchsize'.*batch_size"):
        measured(tmp_path, "batchsize")
    with pytest.raises(NaswotError, match="at least 2 images"):
        measured(tmp_path, "gaussian", batch_size=1)
