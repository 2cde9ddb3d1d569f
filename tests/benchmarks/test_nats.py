"""NATS-Bench's files in the "simple" format: real values, and nothing but results is taken from them."""

from __future__ import annotations

import bz2
import io
import logging
import pickle
import tarfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nats_bench import api_utils

from naswot_ext import benchmarks
from naswot_ext.benchmarks import _nats
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES
from tests.benchmarks.official import Hostile, Trained, state

SPACE = SPACES.get("nasbench201")
NAME = "NATS-tss-v1_0-3ffb9-simple"
META = {"meta_archs": [SPACE.architecture(i) for i in range(len(SPACE))], "total_archs": 15_625, "arch2infos": None}


def trained(epochs: int, seeds: tuple[int, ...] = (777, 888)) -> dict[str, Trained]:
    splits = {
        "cifar10-valid": {"x-valid": 60.0 + epochs / 10, "ori-test": 61.0},
        "cifar10": {"ori-test": 70.0 + epochs / 10},
        "cifar100": {"x-valid": 40.0, "x-test": 41.0, "ori-test": 40.5},
        "ImageNet16-120": {"x-valid": 30.0, "x-test": 31.0, "ori-test": 30.5},
    }
    sizes = {"cifar10-valid": 0.073306, "cifar10": 0.073306, "cifar100": 0.079156, "ImageNet16-120": 0.080456}
    return {name: Trained(of, sizes[name], seeds=seeds) for name, of in splits.items()}


def content(index: int, **changes: Any) -> dict[str, Any]:
    arch = SPACE.architecture(index)
    hps = {hp: state(api_utils, index, arch, int(hp), trained(int(hp))) for hp in ("12", "200")}
    return OrderedDict(hps) | changes


def packed(thing: Any) -> bytes:
    return bz2.compress(pickle.dumps(thing, protocol=4), 1)


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """The files of three architectures."""
    files = {f"{index:06d}.pickle.pbz2": packed(content(index)) for index in (0, 7, 15_624)}
    return {"meta.pickle.pbz2": packed(META), **files}


@pytest.fixture
def folder(tmp_path: Path, contents: dict[str, bytes]) -> Path:
    path = tmp_path / NAME
    path.mkdir()
    for name, data in contents.items():
        (path / name).write_bytes(data)
    return path


def pack(path: Path, files: dict[str, bytes], prefix: str = f"{NAME}/") -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def convert(path: Path, space: str = "nasbench201", source: str = "nats-tss") -> pd.DataFrame:
    return benchmarks.convert(space, {"source": source, "path": str(path)})


def cells(table: pd.DataFrame, index: int, dataset: str, epochs: int) -> pd.Series:
    found = table[(table["arch_index"] == index) & (table["dataset"] == dataset) & (table["epochs"] == epochs)]
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize("index", [0, 11, 284])
def test_the_real_files_of_the_topology_space_give_the_values_of_the_real_table(index: int, real_data) -> None:
    table = convert(real_data("nats_bench") / NAME)
    real = pd.read_csv(real_data("nasbench201.csv.gz")).set_index("index").loc[index]
    assert set(table["arch_index"]) == {0, 11, 284}
    assert set(table["version"]) == {NAME}
    for epochs in (12, 200):
        for dataset in ("cifar10", "cifar100"):
            row = cells(table, index, dataset, epochs)
            assert row["arch"] == real["arch"]
            assert row["valid_accuracy"] == pytest.approx(real[f"{dataset}_valid_{epochs}"], abs=1e-6)
            assert row["test_accuracy"] == pytest.approx(real[f"{dataset}_test_{epochs}"], abs=1e-6)
            assert row["params"] == round(real[f"params_millions_{dataset}"] * 1e6)
            if epochs == 200:
                assert row["n_seeds"] == real["n_seeds"]
        seconds = epochs * real["cifar10_halfdata_train_seconds_per_epoch"] + real["cifar10_valid_seconds_per_epoch"]
        assert cells(table, index, "cifar10", epochs)["train_seconds"] == pytest.approx(seconds, rel=1e-6)
        imagenet = cells(table, index, "imagenet16-120", epochs)
        assert 10 < imagenet["test_accuracy"] < imagenet["valid_accuracy"] < 35
    training = cells(table, index, "cifar100", 200)["train_seconds"] - real["cifar100_train_seconds_200"]
    assert 0 < training < 0.01 * real["cifar100_train_seconds_200"]


def test_the_real_files_of_the_size_space_give_the_values_of_the_real_table(real_data) -> None:
    table = convert(real_data("nats_bench") / "NATS-sss-v1_0-50262-simple", "nats-sss", "nats-sss")
    real = pd.read_csv(real_data("nats_sss_cifar10.csv.gz")).set_index("arch")["cifar10_test_90"]
    assert len(table) == 3 * 3 * 3
    assert set(table["epochs"]) == {1, 12, 90}
    final = table[(table["dataset"] == "cifar10") & (table["epochs"] == 90)]
    np.testing.assert_allclose(final["test_accuracy"], real[final["arch"]], atol=1e-6)
    assert (table.loc[table["epochs"] == 12, "n_seeds"] == 3).all()
    assert (table.loc[table["epochs"] != 12, "n_seeds"] == 1).all()
    space = SPACES.get("nats-sss")
    for row in final.itertuples():
        assert sum(p.numel() for p in space.build(row.arch, 10).parameters()) == row.params


def test_the_real_lists_of_architectures_are_in_the_order_of_the_spaces(real_data) -> None:
    for name, space in (("NATS-sss-v1_0-50262-simple", "nats-sss"), (NAME, "nasbench201")):
        listed = pickle.loads(bz2.decompress((real_data("nats_bench") / name / "meta.pickle.pbz2").read_bytes()))
        assert listed["meta_archs"] == [SPACES.get(space).architecture(i) for i in range(len(SPACES.get(space)))]


def test_a_folder_and_a_tar_of_it_give_the_same_table(folder: Path, contents: dict[str, bytes]) -> None:
    table = convert(folder)
    assert len(table) == 3 * 3 * 2
    row = cells(table, 7, "cifar10", 200)
    assert row["valid_accuracy"] == pytest.approx(80)
    assert row["test_accuracy"] == pytest.approx(90)
    assert row["train_seconds"] == 200 * 10 + 2
    assert (row["n_seeds"], row["params"]) == (2, 73_306)
    # In any order, under any name of the folder.
    backwards = dict(reversed(contents.items()))
    for prefix in (f"{NAME}/", "", "../../elsewhere/", "/root/"):
        packed_again = pack(
            folder.parent / f"{NAME}.tar", backwards | {"README": b"?", "._000000.pickle.pbz2": b"?"}, prefix
        )
        pd.testing.assert_frame_equal(convert(packed_again), table)
    assert not (folder.parent.parent / "elsewhere").exists()


def test_the_architectures_are_listed_without_reading_their_files(folder: Path, contents: dict[str, bytes]) -> None:
    expected = convert(folder)[["arch_index", "arch"]].drop_duplicates(ignore_index=True)
    archive = pack(folder.parent / f"{NAME}.tar", dict(reversed(contents.items())))
    (folder / "000007.pickle.pbz2").write_bytes(b"not read")
    for path in (folder, archive):
        listed = benchmarks.architectures("nasbench201", {"source": "nats-tss", "path": str(path)})
        pd.testing.assert_frame_equal(listed, expected)
    (folder / "meta.pickle.pbz2").write_bytes(packed(META | {"meta_archs": []}))
    with pytest.raises(NaswotError, match="lists 0 architectures"):
        benchmarks.architectures("nasbench201", {"source": "nats-tss", "path": str(folder)})


def test_some_architectures_are_enough_but_it_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        convert(folder)
    assert "has results of 3 of the 15625 architectures of nasbench201" in caplog.text


def test_where_seeds_record_different_sizes_the_official_rule_decides(folder: Path) -> None:
    for seeds, expected in (((777, 888), 2_000_000), ((777, 999), -1)):
        changed = content(0)
        for hp in ("12", "200"):
            arch = SPACE.architecture(0)
            changed[hp] = state(api_utils, 0, arch, int(hp), trained(int(hp), seeds))
            for (_, seed), training in changed[hp]["all_results"].items():
                training["params"] = 1.0 if seed == 777 else 2.0
        (folder / "000000.pickle.pbz2").write_bytes(packed(changed))
        assert set(convert(folder).query("arch_index == 0")["params"]) == {expected}
    official = api_utils.ArchResults.create_from_state_dict(state(api_utils, 0, "", 12, trained(12)))
    official.query("cifar10", 777).params = 1.0
    assert official.get_compute_costs("cifar10")["params"] == 0.073306


def test_results_without_times_have_accuracies(folder: Path) -> None:
    changed = content(0)
    for training in changed["12"]["all_results"].values():
        training["train_times"], training["eval_times"] = None, {}
    (folder / "000000.pickle.pbz2").write_bytes(packed(changed))
    row = cells(convert(folder), 0, "cifar10", 12)
    assert row["valid_accuracy"] == pytest.approx(61.2)
    assert np.isnan(row["train_seconds"])


@pytest.mark.parametrize("name", ["meta.pickle.pbz2", "000007.pickle.pbz2"])
@pytest.mark.parametrize("archived", [False, True])
def test_a_hostile_pickle_is_refused_by_name_and_runs_nothing(
    name: str, archived: bool, folder: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "was-here"
    (folder / name).write_bytes(packed({**META, **content(7), "more": Hostile(trace)}))
    path = folder
    if archived:
        path = pack(tmp_path / f"{NAME}.tar", {file.name: file.read_bytes() for file in folder.iterdir()})
    with pytest.raises(NaswotError, match=rf"{name} asks for (posix|nt)\.system"):
        convert(path)
    assert not trace.exists()


def test_a_text_in_place_of_results_is_not_taken_for_the_name_of_a_file_to_unpickle(
    folder: Path, tmp_path: Path
) -> None:
    trace, trap = tmp_path / "was-here", tmp_path / "trap"
    Path(f"{trap}.pbz2").write_bytes(packed(Hostile(trace)))
    (folder / "000007.pickle.pbz2").write_bytes(packed(content(7) | {"12": str(trap)}))
    with pytest.raises(NaswotError, match=r"000007\.pickle\.pbz2 is broken: .*results are a str"):
        convert(folder)
    assert not trace.exists()


def without(key: str) -> dict[str, Any]:
    changed = content(7)
    del changed["12"][key]
    return changed


BROKEN = {
    "a list": (packed([1]), "holds a list, not the dict"),
    "one training only": (packed({"12": content(7)["12"]}), "has no results of hyper-parameters 200"),
    "results of another": (packed(content(8)), "is about .* the official order has"),
    "no results": (packed(without("all_results")), "is broken"),
    "no seeds": (packed(without("dataset_seed")), "no results of 12 epochs"),
    "results as list": (packed(content(7, **{"12": [1]})), "results are a list"),
    "other epochs": (packed(content(7, **{"12": content(7)["200"]})), "200 epochs on cifar10-valid where 12 are"),
    "truncated": (packed(content(7))[:-100], "ends too soon"),
    "pickle truncated": (bz2.compress(pickle.dumps(content(7))[:-100]), "cannot be unpickled"),
    "not bzip2": (b"not bzip2 at all", "is not a bzip2 file"),
    "empty": (b"", "is empty"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
    "html": (b"<!DOCTYPE html><html>quota</html>", "is an HTML page"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_named(what: str, folder: Path) -> None:
    data, reason = BROKEN[what]
    (folder / "000007.pickle.pbz2").write_bytes(data)
    with pytest.raises(NaswotError, match=rf"000007\.pickle\.pbz2.*{reason}") as error:
        convert(folder)
    assert "\n" not in str(error.value)


def test_a_small_file_that_decompresses_to_a_huge_one_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_nats, "_LARGEST", 2**22)
    (folder / "000007.pickle.pbz2").write_bytes(bz2.compress(bytes(2**22 + 1)))
    with pytest.raises(NaswotError, match=r"000007\.pickle\.pbz2 is larger than any of its format"):
        convert(folder)


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({"meta_archs": ["8:8:8:8:8"] * 32_768}, "lists 32768 architectures; nasbench201 has 15625"),
        ({"meta_archs": META["meta_archs"][::-1]}, "lists .* as architecture 0, which is"),
        ({"meta_archs": [[1, 2], *META["meta_archs"][1:]]}, r"lists \[1, 2\] as architecture 0, which is"),
        ({"architectures": []}, "lists no architectures"),
    ],
)
def test_a_list_of_other_architectures_is_refused(meta: dict[str, Any], reason: str, folder: Path) -> None:
    (folder / "meta.pickle.pbz2").write_bytes(packed(meta))
    with pytest.raises(NaswotError, match=rf"meta\.pickle\.pbz2 {reason}"):
        convert(folder)


def test_what_cannot_be_compared_with_an_architecture_is_refused() -> None:
    with pytest.raises(NaswotError, match=r"a file lists array\(\[1, 2\]\) as architecture 0, which is"):
        _nats.check_order(SPACE, [np.array([1, 2]), *META["meta_archs"][1:]], "a file")


def test_what_is_missing_is_said(folder: Path, contents: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(NaswotError, match="No such file"):
        convert(tmp_path / "nowhere")
    for index in (0, 7, 15_624):
        (folder / f"{index:06d}.pickle.pbz2").unlink()
    with pytest.raises(NaswotError, match="has results of no architecture"):
        convert(folder)
    (folder / "meta.pickle.pbz2").unlink()
    with pytest.raises(NaswotError, match=r"has no meta\.pickle\.pbz2"):
        convert(folder)
    without_meta = {name: data for name, data in contents.items() if "meta" not in name}
    with pytest.raises(NaswotError, match=r"has no meta\.pickle\.pbz2"):
        convert(pack(tmp_path / "a.tar", without_meta))


def test_the_folder_or_the_file_of_another_benchmark_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "NAS-Bench-201-v1_1-096897.pth"
    other.parent.mkdir()
    other.write_bytes(pickle.dumps(META, 2))
    for path, reason in (
        (other, "is not a whole tar archive"),
        (folder / "meta.pickle.pbz2", "is not a whole tar archive"),
        (other.parent, r"has no meta\.pickle\.pbz2\. Give the folder, or the tar file of it"),
    ):
        for ask in (benchmarks.convert, benchmarks.architectures):
            with pytest.raises(NaswotError, match=reason) as error:
                ask("nasbench201", {"source": "nats-tss", "path": str(path)})
            assert "\n" not in str(error.value)


def test_an_architecture_that_the_space_has_not_is_refused(folder: Path) -> None:
    (folder / "015625.pickle.pbz2").write_bytes((folder / "000007.pickle.pbz2").read_bytes())
    with pytest.raises(NaswotError, match=r"015625\.pickle\.pbz2: nasbench201 has no architecture 15625"):
        convert(folder)


def test_two_files_of_one_architecture_are_refused(folder: Path) -> None:
    (folder / "7.pickle.pbz2").write_bytes((folder / "000007.pickle.pbz2").read_bytes())
    with pytest.raises(NaswotError, match="holds another file of the same"):
        convert(folder)


def test_an_archive_that_is_none_or_is_cut_off_is_refused(contents: dict[str, bytes], tmp_path: Path) -> None:
    path = pack(tmp_path / f"{NAME}.tar", contents)
    data = path.read_bytes()
    for broken in (b"PK, no tar", data[: len(data) // 3], data[:700]):
        path.write_bytes(broken)
        with pytest.raises(NaswotError, match="is not a whole tar archive") as error:
            convert(path)
        assert "\n" not in str(error.value)
    path.write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(NaswotError, match="is an HTML page"):
        convert(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_link_in_an_archive_is_not_followed(kind: bytes, contents: dict[str, bytes], tmp_path: Path) -> None:
    path = pack(tmp_path / f"{NAME}.tar", contents)
    with tarfile.open(path, "a") as archive:
        entry = tarfile.TarInfo("000001.pickle.pbz2")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(NaswotError, match=r"000001\.pickle\.pbz2 is no file but a link"):
        convert(path)


@pytest.mark.parametrize(("space", "source"), [("nats-sss", "nats-tss"), ("nasbench201", "nats-sss")])
def test_another_space_is_refused(space: str, source: str, folder: Path) -> None:
    with pytest.raises(NaswotError, match=f"{source} holds ground truth of .*, not of {space}"):
        convert(folder, space, source)


def test_a_long_conversion_says_how_far_it_is(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    progress = _nats.Progress
    monkeypatch.setattr(_nats, "Progress", lambda what, total: progress(what, total, every=0))
    convert(folder)
    assert f"{NAME}: 2 of 15625 architectures read, about" in capsys.readouterr().err


def test_nothing_is_left_running_where_the_reader_stops(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: object, done: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_nats.Progress, "__call__", stop)
    before = threading.enumerate()
    with pytest.raises(KeyboardInterrupt):
        convert(folder)
    assert set(threading.enumerate()) <= set(before)
