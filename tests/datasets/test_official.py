"""The official data sets: read from files in their real formats as torchvision reads them, and from nothing else."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2

from naswot_ext.datasets import Batch, _images, make_batch
from naswot_ext.datasets._images import NORMALISATIONS
from naswot_ext.errors import NaswotError
from tests.datasets.official import (
    cifar10_members,
    cifar100_members,
    cifar_batch,
    imagenet16_batch,
    python2_pickle,
    rows,
    write_files,
    write_tar,
)

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(60) % 10
FINE_LABELS = np.arange(60) + 40
SMALL = RNG.integers(0, 256, (44, 16, 16, 3), dtype=np.uint8)
SMALL_LABELS = [(1, 120, 121, 1000)[index % 4] for index in range(44)]
WNIDS = [
    "n01440764",
    "n02102040",
    "n02979186",
    "n03000684",
    "n03028079",
    "n03394916",
    "n03417042",
    "n03425413",
    "n03445777",
    "n03888257",
]


def pixels_of(batch: Batch, name: str) -> np.ndarray:
    """The images of a batch as they were before they were normalised, uint8 [B, H, W, C]."""
    mean, std = NORMALISATIONS[name]
    return np.rint(batch.images.transpose(0, 2, 3, 1) * std + mean).astype(np.uint8)


@pytest.fixture
def cifar10(tmp_path: Path) -> dict[str, Any]:
    path = write_tar(tmp_path / "cifar-10-python.tar.gz", cifar10_members(PIXELS, LABELS))
    return {"source": "cifar10", "path": str(path)}


@pytest.fixture
def imagenet16(tmp_path: Path) -> dict[str, Any]:
    batches = np.array_split(np.arange(44), 11)
    names = [f"train_data_batch_{number}" for number in range(1, 11)] + ["val_data"]
    for name, chosen in zip(names, batches, strict=True):
        content = imagenet16_batch(SMALL[chosen], [SMALL_LABELS[index] for index in chosen])
        (tmp_path / name).write_bytes(content)
    return {"source": "imagenet16-120", "path": str(tmp_path)}


def jpeg(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    pixels = RNG.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((width, height)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def imagenette_members() -> dict[str, bytes]:
    """Two images a class and part, of various shapes, one of them grey; and the other files of the archive."""
    shapes = [(160, 213), (240, 160), (160, 160), (161, 400)]
    members = {
        f"imagenette2-160/{part}/{wnid}/{wnid}_{index}.JPEG": jpeg(*shapes[(number + index) % 4])
        for part in ("val", "train")
        for number, wnid in reversed(list(enumerate(WNIDS)))
        for index in (1, 0)
    }
    grey = io.BytesIO()
    Image.new("L", (170, 160), 77).save(grey, "JPEG")
    members[f"imagenette2-160/train/{WNIDS[0]}/{WNIDS[0]}_0.JPEG"] = grey.getvalue()
    return {"imagenette2-160/noisy_imagenette.csv": b"path,noisy_labels\n", **members}


def test_python_2_pickles_of_the_tests_are_read_by_python_as_the_official_ones_are() -> None:
    content = python2_pickle(cifar_batch(PIXELS[:2], [3, 4]))
    entry = pickle.loads(content, encoding="bytes")
    assert set(entry) == {b"batch_label", b"labels", b"data", b"filenames"}
    assert entry[b"filenames"] == [b"image_0.png", b"image_1.png"]
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in content


@pytest.mark.parametrize("train", [True, False])
def test_cifar10_is_what_torchvision_reads(
    cifar10: dict[str, Any], train: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = cifar10_members(PIXELS, LABELS)
    write_files(tmp_path, members)
    reference = reference_of(torchvision.datasets.CIFAR10, members, tmp_path, train, monkeypatch)
    whole = len(reference.data)
    for path in (cifar10["path"], str(tmp_path), str(tmp_path / "cifar-10-batches-py")):
        options = cifar10 | {"path": path, "part": "train" if train else "test"}
        batch = make_batch(options, whole, seed=0)
        np.testing.assert_array_equal(pixels_of(batch, "cifar10"), reference.data)
        np.testing.assert_array_equal(batch.labels, reference.targets)
        assert batch.classes == 10


@pytest.mark.parametrize("train", [True, False])
def test_cifar100_is_what_torchvision_reads(train: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = cifar100_members(PIXELS, FINE_LABELS)
    write_files(tmp_path, members)
    reference = reference_of(torchvision.datasets.CIFAR100, members, tmp_path, train, monkeypatch)
    path = write_tar(tmp_path / "cifar-100-python.tar.gz", members)
    options = {"source": "cifar100", "path": str(path), "part": "train" if train else "test"}
    batch = make_batch(options, len(reference.data), seed=0)
    np.testing.assert_array_equal(pixels_of(batch, "cifar100"), reference.data)
    np.testing.assert_array_equal(batch.labels, reference.targets)
    assert batch.classes == 100


def reference_of(
    dataset: Any, members: dict[str, bytes], root: Path, train: bool, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The data set of torchvision's of unpacked members, with their digests for the official ones."""
    digests = {Path(name).name: hashlib.md5(content).hexdigest() for name, content in members.items()}
    for files in ("train_list", "test_list"):
        monkeypatch.setattr(dataset, files, [[name, digests[name]] for name, _ in getattr(dataset, files)])
    monkeypatch.setattr(dataset, "meta", dataset.meta | {"md5": digests[dataset.meta["filename"]]})
    return dataset(root, train=train)


def test_batches_of_python_3_are_read_too(tmp_path: Path) -> None:
    members = {
        name: pickle.dumps({key.encode(): value for key, value in pickle.loads(content, encoding="latin1").items()}, 2)
        for name, content in cifar10_members(PIXELS, LABELS).items()
    }
    path = write_tar(tmp_path / "cifar-10-python.tar.gz", members)
    batch = make_batch({"source": "cifar10", "path": str(path)}, 50, seed=0)
    np.testing.assert_array_equal(pixels_of(batch, "cifar10"), PIXELS[:50])


def test_the_same_real_images_give_the_same_batch_from_the_archive_and_from_an_npz_file(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    source = real_data("cifar10_train_4000.npz")
    with np.load(source) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    members = cifar10_members(np.concatenate([images, images[:800]]), np.concatenate([labels, labels[:800]]))
    path = write_tar(tmp_path / "cifar-10-python.tar.gz", members)
    mine = make_batch({"source": "cifar10", "path": str(path)}, 128, seed=5)
    given = make_batch({"source": "npz", "path": str(source), "normalise": "cifar10"}, 128, seed=5)
    np.testing.assert_array_equal(mine.images, given.images)
    np.testing.assert_array_equal(mine.labels, given.labels)


def test_the_halves_of_cifar10_are_those_of_the_split_file(cifar10: dict[str, Any], tmp_path: Path) -> None:
    halves = {"train": [1, 2, 30, 49], "valid": [0, 3, 31]}
    split = tmp_path / "cifar-split.txt"
    split.write_text(json.dumps({name: ["int", [str(i) for i in half]] for name, half in halves.items()}))
    for name, half in halves.items():
        options = cifar10 | {"part": f"{name}-half", "split_path": str(split)}
        batch = make_batch(options, len(half), seed=0)
        np.testing.assert_array_equal(pixels_of(batch, "cifar10"), PIXELS[half])
        np.testing.assert_array_equal(batch.labels, LABELS[half])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("not JSON", "is not the split file of NAS-Bench-201"),
        ('{"train": ["int", ["0"]]}', "KeyError: 'valid'"),
        ('{"train": ["int", ["0"]], "valid": ["int", ["x"]]}', "ValueError"),
        ('{"train": ["int", [1e999]], "valid": ["int", ["1"]]}', "OverflowError"),
        ('{"train": ["int", [1' + "0" * 30 + ']], "valid": ["int", ["1"]]}', "OverflowError"),
        ("[" * 100_000, "RecursionError"),
        ('{"train": ["int", [0.5, 2]], "valid": ["int", ["1"]]}', "0.5 is no index"),
        ('{"train": ["int", [2.0, 3]], "valid": ["int", ["1"]]}', "2.0 is no index"),
        ('{"train": ["int", [true, 2]], "valid": ["int", ["3"]]}', "True is no index"),
        ('{"train": ["int", "0123"], "valid": ["int", ["4"]]}', "a str where a list"),
        ('{"train": ["int", ["0", "1"]], "valid": ["int", ["1"]]}', "lists an image twice"),
        ('{"train": ["int", ["0", "1"]], "valid": ["int", ["50"]]}', "lists images 0 to 50, but .* holds 50"),
        ('{"train": ["int", ["0", "1"]], "valid": ["int", ["-1"]]}', "lists images -1 to 1"),
        ("<html>404</html>", "HTML page"),
        ("version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
    ],
)
def test_another_split_file_is_refused(cifar10: dict[str, Any], content: str, reason: str, tmp_path: Path) -> None:
    split = tmp_path / "cifar-split.txt"
    split.write_text(content)
    with pytest.raises(NaswotError, match=reason):
        make_batch(cifar10 | {"part": "train-half", "split_path": str(split)}, 2, seed=0)


def test_imagenet16_keeps_the_first_120_classes_with_labels_from_0(imagenet16: dict[str, Any]) -> None:
    kept = [index for index, label in enumerate(SMALL_LABELS) if label <= 120]
    for part, indices in (("train", [i for i in kept if i < 40]), ("valid", [i for i in kept if i >= 40])):
        batch = make_batch(imagenet16 | {"part": part}, len(indices), seed=0)
        np.testing.assert_array_equal(pixels_of(batch, "imagenet16-120"), SMALL[indices])
        np.testing.assert_array_equal(batch.labels, [SMALL_LABELS[index] - 1 for index in indices])
        assert batch.classes == 120


@pytest.mark.parametrize("part", ["train", "valid"])
@pytest.mark.parametrize("unpacked", [False, True])
def test_imagenette_is_what_torchvision_reads_and_transforms(
    imagenette_members: dict[str, bytes], part: str, unpacked: bool, tmp_path: Path
) -> None:
    write_files(tmp_path, imagenette_members)
    archive = write_tar(tmp_path / "imagenette2-160.tgz", imagenette_members)
    path = tmp_path / "imagenette2-160" if unpacked else archive
    transform = v2.Compose([v2.Resize(64), v2.CenterCrop(56), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    norm = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    reference = torchvision.datasets.Imagenette(
        tmp_path, split="val" if part == "valid" else "train", size="160px", transform=v2.Compose([transform, norm])
    )
    images, labels = zip(*reference, strict=True)
    batch = make_batch({"source": "imagenette2", "path": str(path), "part": part, "image_size": 56}, 20, seed=0)
    np.testing.assert_array_equal(batch.labels, labels)
    np.testing.assert_allclose(batch.images, torch.stack(images).numpy(), rtol=0, atol=1e-5)
    assert batch.classes == 10


def test_only_the_images_of_the_batch_are_decoded(imagenette_members: dict[str, bytes], tmp_path: Path) -> None:
    spoilt = dict.fromkeys((name for name in imagenette_members if "/train/" in name), b"no JPEG")
    path = write_tar(tmp_path / "i.tgz", imagenette_members | spoilt)
    make_batch({"source": "imagenette2", "path": str(path), "part": "valid", "image_size": 28}, 4, seed=0)
    with pytest.raises(NaswotError, match=r"train/n\d+/n\d+_\d\.JPEG of .*i\.tgz cannot be decoded"):
        make_batch({"source": "imagenette2", "path": str(path), "image_size": 28}, 4, seed=0)


def test_a_truncated_jpeg_is_named(imagenette_members: dict[str, bytes], tmp_path: Path) -> None:
    [first, *_] = sorted(name for name in imagenette_members if "/train/" in name)
    short = {first: imagenette_members[first][:400]}
    path = write_files(tmp_path, imagenette_members | short)
    with pytest.raises(NaswotError, match=f"{first} of .* cannot be decoded"):
        make_batch({"source": "imagenette2", "path": str(path), "image_size": 28}, 20, seed=0)


def test_an_image_is_never_drawn_twice_and_another_seed_draws_others(cifar10: dict[str, Any]) -> None:
    first, again, other = (pixels_of(make_batch(cifar10, 20, seed), "cifar10") for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({image.tobytes() for image in first}) == 20


def test_augmented_images_are_the_same_images_mirrored_and_shifted(cifar10: dict[str, Any]) -> None:
    plain = pixels_of(make_batch(cifar10, 50, seed=3), "cifar10")
    options = cifar10 | {"augment": {"flip": True, "crop": 4}}
    batch, again = make_batch(options, 50, seed=3), make_batch(options, 50, seed=3)
    np.testing.assert_array_equal(batch.images, again.images)
    np.testing.assert_array_equal(batch.labels, make_batch(cifar10, 50, seed=3).labels)
    changes = []
    for image, changed in zip(plain, pixels_of(batch, "cifar10"), strict=True):
        found = [
            (flip, top, left)
            for flip in (False, True)
            for top in range(9)
            for left in range(9)
            if np.array_equal(
                np.pad(image[:, ::-1] if flip else image, ((4, 4), (4, 4), (0, 0)))[top : top + 32, left : left + 32],
                changed,
            )
        ]
        assert len(found) == 1
        changes += found
    flips = sum(flip for flip, _, _ in changes)
    assert 12 <= flips <= 38  # 50 throws of a coin: outside once in 2,600 seeds
    for axis in (1, 2):
        assert len({change[axis] for change in changes}) >= 7  # of 9
    assert len(set(changes)) > 40


@pytest.mark.parametrize("size", [32, 15])
def test_every_mirroring_and_shift_is_drawn_as_often(size: int) -> None:
    from naswot_ext.datasets._images import augment

    image = np.zeros((1, size, size, 1), np.uint8)
    image[0, size // 2, size // 2 - 3] = 255
    many = augment(np.repeat(image, 8100, axis=0), {"flip": True, "crop": 1}, np.random.default_rng(0))
    counts = np.unique(many.reshape(8100, -1).argmax(1), return_counts=True)[1]
    assert len(counts) == 18
    assert np.abs(counts - 450).max() < 5 * np.sqrt(450)


def test_no_augmentation_is_the_same_as_none(cifar10: dict[str, Any]) -> None:
    plain = make_batch(cifar10, 20, seed=0)
    for nothing in (None, {}, {"flip": False, "crop": 0}):
        np.testing.assert_array_equal(make_batch(cifar10 | {"augment": nothing}, 20, seed=0).images, plain.images)


@pytest.mark.parametrize("source", ["cifar10", "cifar100", "imagenet16-120", "imagenette2"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"", "is empty"),
        (b"something else", "is no whole archive"),
    ],
)
def test_what_is_no_archive_is_refused(source: str, content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(content)
    with pytest.raises(NaswotError, match=reason) as error:
        make_batch({"source": source, "path": str(path)}, 4, seed=0)
    assert "\n" not in str(error.value)
    with pytest.raises(NaswotError, match="No such file"):
        make_batch({"source": source, "path": str(tmp_path / "none.tar.gz")}, 4, seed=0)


def test_an_archive_that_is_cut_off_is_refused(
    cifar10: dict[str, Any], imagenette_members: dict[str, bytes], tmp_path: Path
) -> None:
    imagenette = write_tar(tmp_path / "imagenette2-160.tgz", imagenette_members)
    for source, path in (("cifar10", Path(cifar10["path"])), ("imagenette2", imagenette)):
        content = path.read_bytes()
        for kept in (30, len(content) // 2, len(content) - 4):
            path.write_bytes(content[:kept])
            with pytest.raises(NaswotError, match=r"is no whole archive .* Fetch it again"):
                make_batch({"source": source, "path": str(path), "part": "train", "image_size": 8}, 20, seed=0)


@pytest.mark.parametrize("suffix", ["gz", "xz"])
@pytest.mark.parametrize("source", ["cifar10", "imagenette2"])
def test_a_changed_byte_of_a_compressed_archive_is_never_read_over(
    source: str, suffix: str, imagenette_members: dict[str, bytes], tmp_path: Path
) -> None:
    members = {"cifar10": cifar10_members(PIXELS, LABELS), "imagenette2": imagenette_members}[source]
    path = write_tar(tmp_path / f"archive.tar.{suffix}", members)
    options = {"source": source, "path": str(path), "image_size": 8}
    make_batch(options, 20, seed=0)
    content = path.read_bytes()
    # gzip's begins with the name of the file, of which it keeps no checksum, and ends with that of the content.
    for place in (60, *range(len(content) // 7, len(content), len(content) // 7), len(content) - 6):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(NaswotError) as error:
            make_batch(options, 20, seed=0)
        assert "\n" not in str(error.value)


def test_pixels_that_only_the_checksum_tells_from_the_right_ones_are_refused(tmp_path: Path) -> None:
    content = bytearray(write_tar(tmp_path / "i.tar", cifar10_members(PIXELS, LABELS)).read_bytes())
    # Not compressed, so that nothing but the checksum of gzip can tell.
    packed = bytearray(gzip.compress(content, 0))
    place = packed.index(rows(PIXELS[:10])[0].tobytes()[:100])
    packed[place + 50] ^= 4
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(packed)
    with pytest.raises(NaswotError, match=r"is no whole archive \(CRC check failed .* Fetch it again"):
        make_batch({"source": "cifar10", "path": str(path)}, 20, seed=0)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("target", ["nowhere", "data_batch_1", "/etc/passwd"])
def test_links_in_an_archive_are_not_followed(kind: bytes, target: str, tmp_path: Path) -> None:
    for source, name, reason in (
        ("cifar10", "c/data_batch_1", "holds no data_batch_1"),
        ("imagenette2", f"i/train/{WNIDS[0]}/a.JPEG", "holds no images train"),
    ):
        path = tmp_path / "links.tgz"
        with tarfile.open(path, "w:gz") as file:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            file.addfile(member)
        with pytest.raises(NaswotError, match=reason):
            make_batch({"source": source, "path": str(path)}, 4, seed=0)


def test_a_link_beside_the_file_does_not_take_its_place(
    imagenette_members: dict[str, bytes], cifar10: dict[str, Any], tmp_path: Path
) -> None:
    imagenette = tmp_path / "imagenette.tgz"
    members = {str(imagenette): imagenette_members, cifar10["path"]: cifar10_members(PIXELS, LABELS)}
    for source, path in (("imagenette2", str(imagenette)), ("cifar10", cifar10["path"])):
        write_tar(Path(path), members[path])
        options = {"source": source, "path": path, "image_size": 8}
        expected = make_batch(options, 10, seed=0)
        with tarfile.open(path, "w:gz") as file:
            for name, content in members[path].items():
                member = tarfile.TarInfo(name)
                member.type, member.linkname = tarfile.SYMTYPE, "nowhere"
                file.addfile(member)
                member = tarfile.TarInfo(name)
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
        np.testing.assert_array_equal(make_batch(options, 10, seed=0).images, expected.images)


def test_the_order_and_the_prefix_of_the_members_do_not_matter(
    imagenette_members: dict[str, bytes], cifar10: dict[str, Any], tmp_path: Path
) -> None:
    for source, members in (("imagenette2", imagenette_members), ("cifar10", cifar10_members(PIXELS, LABELS))):
        # As `tar -c .` names them.
        other = {f"./{name}": content for name, content in reversed(members.items())}
        batches = [
            make_batch({"source": source, "path": str(path), "image_size": 8}, 15, seed=0)
            for path in (write_tar(tmp_path / "a.tgz", members), write_tar(tmp_path / "b.tgz", other))
        ]
        np.testing.assert_array_equal(batches[0].images, batches[1].images)
        np.testing.assert_array_equal(batches[0].labels, batches[1].labels)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("huge", ["file", "name"])
def test_an_archive_that_decompresses_to_a_huge_one_is_refused(
    huge: str, form: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_images, "_LARGEST", 2**20)
    path = tmp_path / "bomb.tgz"
    jpeg_name = f"train/{WNIDS[0]}/a.JPEG"
    with tarfile.open(path, "w:gz", format=form) as file:
        for name in ("data_batch_1", jpeg_name):
            member = tarfile.TarInfo(name if huge == "file" else "x/" * 2**24 + name)
            member.size = 2**25 if huge == "file" else 0
            file.addfile(member, io.BytesIO(bytes(member.size)))
    assert path.stat().st_size < 2**18
    for source in ("cifar10", "imagenette2"):
        tracemalloc.start()
        with pytest.raises(NaswotError, match=r"is no whole archive \(it has an entry of 335\d+ bytes, larger"):
            make_batch({"source": source, "path": str(path)}, 4, seed=0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**24


def test_a_size_that_follows_the_header_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_images, "_LARGEST", 2**20)
    path = tmp_path / "bomb.tgz"
    with gzip.open(path, "wb") as packed:
        member = tarfile.TarInfo("data_batch_1")
        member.pax_headers = {"size": str(2**25)}
        packed.write(member.tobuf(tarfile.PAX_FORMAT) + bytes(2**25) + bytes(1024))
    with pytest.raises(NaswotError, match="data_batch_1 has 33554432 bytes, more than any"):
        make_batch({"source": "cifar10", "path": str(path)}, 4, seed=0)


def test_an_archive_of_something_else_is_refused(cifar10: dict[str, Any], tmp_path: Path) -> None:
    for source, reason in (
        ("cifar100", "holds no train"),
        ("imagenet16-120", "holds no train_data_batch_1"),
        ("imagenette2", "holds no images train/CLASS/NAME.JPEG"),
    ):
        with pytest.raises(NaswotError, match=reason):
            make_batch({"source": source, "path": cifar10["path"]}, 4, seed=0)
    with pytest.raises(NaswotError, match="holds no data_batch_1"):
        make_batch({"source": "cifar10", "path": str(tmp_path)}, 4, seed=0)
    path = write_tar(tmp_path / "other.tgz", {"x/train/n00000001/a.JPEG": b""})
    with pytest.raises(NaswotError, match="n00000001, which is no class of Imagenette"):
        make_batch({"source": "imagenette2", "path": str(path)}, 4, seed=0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": None}, r"'data' of data_batch_2 of .* must be uint8 \[N, 3072\]; found NoneType"),
        ({"data": np.zeros((2, 3071), np.uint8)}, r"found uint8 \[2, 3071\]"),
        ({"data": np.zeros((2, 3072), np.float32)}, r"found float32 \[2, 3072\]"),
        ({"labels": [1]}, r"'labels' of data_batch_2 .* must be 2 integers.* found int64 \[1\]"),
        ({"labels": [[1], [1, 2]]}, r"'labels' of data_batch_2 .* must be 2 integers, one an image \(.*inhomogeneous"),
        ({"labels": [0.5, 1.0]}, r"found float64 \[2\]"),
        ({"labels": [0, 10]}, "must be 0 to 9; found 0 to 10"),
        ({"labels": [-1, 1]}, "must be 0 to 9; found -1 to 1"),
    ],
)
def test_a_batch_of_another_form_is_refused(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    members = cifar10_members(PIXELS, LABELS)
    entry = cifar_batch(PIXELS[:2], [1, 2]) | change
    members["cifar-10-batches-py/data_batch_2"] = python2_pickle(entry)
    path = write_tar(tmp_path / "cifar-10-python.tar.gz", members)
    with pytest.raises(NaswotError, match=reason):
        make_batch({"source": "cifar10", "path": str(path)}, 4, seed=0)


def test_a_batch_without_its_keys_or_that_is_no_dictionary_is_refused(
    imagenet16: dict[str, Any], tmp_path: Path
) -> None:
    for content, reason in (
        (pickle.dumps([1]), "val_data of .* holds a list, not a batch of images"),
        (pickle.dumps({"data": 1, "mean": 2}), "val_data of .* has no 'labels'; it has: data, mean"),
        (imagenet16_batch(SMALL[:4], [0, 1, 2, 3]), "must be 1 to 1000; found 0 to 3"),
        (imagenet16_batch(SMALL[:4], [1, 2, 3, 4])[:300], "val_data of .* is broken"),
        (b"<html>quota</html>", "HTML page"),
    ):
        (tmp_path / "val_data").write_bytes(content)
        with pytest.raises(NaswotError, match=reason):
            make_batch(imagenet16 | {"part": "valid"}, 4, seed=0)


class Hostile:
    """Runs a command where it is unpickled without care."""

    def __init__(self, mark: Path) -> None:
        """The command leaves a mark."""
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("source", ["cifar10", "cifar100", "imagenet16-120"])
def test_a_hostile_batch_is_refused_by_the_name_of_what_it_asks_for(source: str, tmp_path: Path) -> None:
    name = {"cifar10": "data_batch_1", "cifar100": "train", "imagenet16-120": "train_data_batch_1"}[source]
    mark = tmp_path / "mark"
    content = pickle.dumps({"data": Hostile(mark), "labels": [1], "fine_labels": [1]}, protocol=2)
    member = {f"folder/{name}": content}
    for path in (write_tar(tmp_path / "hostile.tar.gz", member), write_files(tmp_path, member) / "folder"):
        with pytest.raises(NaswotError, match=rf"{name} of .* asks for posix\.system"):
            make_batch({"source": source, "path": str(path)}, 4, seed=0)
    assert not mark.exists()
    pickle.loads(content)
    assert mark.exists()  # the file is hostile indeed


def test_bytes_in_another_encoding_are_refused(tmp_path: Path) -> None:
    content = b"c_codecs\nencode\n(Vabc\nVzip\ntR."
    path = write_files(tmp_path, {"train": content})
    with pytest.raises(NaswotError, match="bytes in the encoding 'zip'"):
        make_batch({"source": "cifar100", "path": str(path)}, 4, seed=0)


def test_too_few_images_and_an_unknown_part_are_refused(cifar10: dict[str, Any], imagenet16: dict[str, Any]) -> None:
    with pytest.raises(NaswotError, match=r"\(train\) holds 50 images, fewer than the batch size 51"):
        make_batch(cifar10, 51, seed=0)
    with pytest.raises(NaswotError, match=r"\(valid\) holds 2 images, fewer than the batch size 4"):
        make_batch(imagenet16 | {"part": "valid"}, 4, seed=0)
    with pytest.raises(NaswotError, match="Did you mean 'train'"):
        make_batch(cifar10 | {"part": "training"}, 4, seed=0)
    with pytest.raises(NaswotError, match="needs the split file"):
        make_batch(cifar10 | {"part": "train-half"}, 4, seed=0)
