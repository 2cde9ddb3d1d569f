"""Batches: the same for the same seed, kept as files, and clear errors for files that are not images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from naswot_ext.datasets import load_batch, make_batch, save_batch
from naswot_ext.errors import NaswotError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)


def write(path: Path, **arrays: Any) -> dict[str, Any]:
    np.savez(path, **arrays)
    return {"source": "npz", "path": str(path), "normalise": "cifar10"}


def test_gaussian_images_have_zero_mean_and_unit_variance() -> None:
    batch = make_batch({"source": "gaussian", "classes": 7, "image_size": 16}, 64, seed=0)
    assert batch.images.shape == (64, 3, 16, 16)
    assert batch.images.dtype == np.float32
    assert abs(batch.images.mean()) < 0.02
    assert abs(batch.images.std() - 1) < 0.02
    assert batch.labels is not None
    assert set(batch.labels) <= set(range(7))


@pytest.mark.parametrize("source", ["gaussian", "npz"])
def test_a_seed_gives_the_same_batch_again_and_another_seed_another(source: str, tmp_path: Path) -> None:
    options = write(tmp_path / "i.npz", images=PIXELS, labels=np.arange(10)) | {"source": source}
    first, again, other = (make_batch(options, 4, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)


def test_pixels_are_normalised_a_channel_and_keep_their_labels(tmp_path: Path) -> None:
    options = write(tmp_path / "i.npz", images=PIXELS, labels=np.arange(10))
    batch = make_batch(options, 10, seed=0)
    assert batch.labels is not None
    assert sorted(batch.labels) == list(range(10))
    assert batch.classes == 10
    for image, label in zip(batch.images, batch.labels, strict=True):
        expected = (PIXELS[label].astype(np.float64) - [125.3, 123.0, 113.9]) / [63.0, 62.1, 66.7]
        np.testing.assert_allclose(image, expected.transpose(2, 0, 1), rtol=1e-5, atol=1e-6)


def test_float_images_are_taken_as_they_are(tmp_path: Path) -> None:
    images = RNG.standard_normal((5, 3, 8, 8)).astype(np.float32)
    options = write(tmp_path / "i.npz", images=images)
    del options["normalise"]
    batch = make_batch(options, 5, seed=0)
    np.testing.assert_array_equal(batch.images, images)
    assert batch.labels is None


def test_a_batch_file_holds_the_batch_and_equal_batches_give_equal_bytes(tmp_path: Path) -> None:
    batch = make_batch({"source": "gaussian"}, 4, seed=3)
    for name in ("a.npz", "b.npz"):
        save_batch(batch, tmp_path / name)
    loaded = load_batch(tmp_path / "a.npz")
    np.testing.assert_array_equal(loaded.images, batch.images)
    np.testing.assert_array_equal(loaded.labels, batch.labels)
    assert loaded.classes == batch.classes
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_real_cifar_images_are_close_to_standard_after_normalisation(real_data) -> None:
    path = real_data("cifar10_train_4000.npz")
    batch = make_batch({"source": "npz", "path": str(path), "normalise": "cifar10"}, 512, seed=0)
    assert np.abs(batch.images.mean(axis=(0, 2, 3))).max() < 0.15
    assert np.abs(batch.images.std(axis=(0, 2, 3)) - 1).max() < 0.15


@pytest.mark.parametrize(
    ("arrays", "changes", "reason"),
    [
        ({"pictures": PIXELS}, {}, "no array 'images'; it has: pictures"),
        ({"images": PIXELS[0]}, {}, r"found uint8 \[8, 8, 3\]"),
        ({"images": PIXELS.astype(np.int64)}, {}, r"found int64 \[10, 8, 8, 3\]"),
        ({"images": PIXELS.transpose(0, 3, 1, 2)}, {}, r"uint8 \[N, H, W, C\]"),
        ({"images": PIXELS[:3]}, {}, "3 images, fewer than the batch size 4"),
        ({"images": PIXELS, "labels": np.arange(9)}, {}, "must be 10 integers"),
        ({"images": PIXELS, "labels": np.arange(10) / 2}, {}, "must be 10 integers"),
        ({"images": PIXELS, "labels": np.arange(10) - 1}, {}, "must not be negative"),
        ({"images": PIXELS}, {"normalise": None}, "say how to normalise"),
        ({"images": PIXELS}, {"normalise": "cifar"}, "Did you mean 'cifar10'"),
        ({"images": PIXELS}, {"normalise": {"mean": [1, 2], "std": [1, 2]}}, "needs 3 means"),
        ({"images": np.zeros((5, 3, 8, 8), np.float32)}, {}, "remove `normalise`"),
        ({"images": np.full((5, 3, 8, 8), np.nan, np.float32)}, {"normalise": None}, "NaN or infinite pixels"),
        ({"images": np.array([object()])}, {}, "not a readable .npz file"),
    ],
)
def test_a_file_that_does_not_hold_images_is_refused(
    arrays: dict[str, Any], changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    options = write(tmp_path / "i.npz", **arrays) | changes
    with pytest.raises(NaswotError, match=reason):
        make_batch(options, 4, seed=0)


def test_the_number_of_classes_does_not_overflow_the_type_of_the_labels(tmp_path: Path) -> None:
    labels = np.array([255] * 10, np.uint8)
    assert make_batch(write(tmp_path / "i.npz", images=PIXELS, labels=labels), 4, seed=0).classes == 256


def test_a_missing_a_truncated_and_a_text_file_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "whole.npz", images=PIXELS)
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "short.npz").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.npz").write_text("<html>404</html>")
    with open(tmp_path / "npy.npz", "wb") as file:
        np.save(file, PIXELS)
    unreadable = [(f"{name}.npz", f"{name}.npz is not a readable") for name in ("short", "text", "npy")]
    for name, reason in [("none.npz", "No such file"), *unreadable]:
        with pytest.raises(NaswotError, match=reason):
            make_batch({"source": "npz", "path": str(tmp_path / name), "normalise": "cifar10"}, 4, seed=0)


def test_a_damaged_file_gives_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "i.npz"
    np.savez_compressed(path, images=RNG.standard_normal((8, 3, 4, 4)).astype(np.float32))
    content = path.read_bytes()
    options = {"source": "npz", "path": str(path)}
    good, refused = make_batch(options, 4, seed=0), 0
    # A change of every byte: of the compressed numbers, the names, the sizes, the way of compressing, the flags.
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 9]) + content[place + 1 :])
        try:
            np.testing.assert_array_equal(make_batch(options, 4, seed=0).images, good.images)
        except NaswotError as error:
            refused += "\n" not in str(error)
    assert refused > 0.9 * len(content)


def test_a_batch_of_one_and_an_unknown_source_are_refused() -> None:
    with pytest.raises(NaswotError, match="at least 2"):
        make_batch({"source": "gaussian"}, 1, seed=0)
    with pytest.raises(NaswotError, match="Did you mean 'gaussian'"):
        make_batch({"source": "gausian"}, 4, seed=0)
