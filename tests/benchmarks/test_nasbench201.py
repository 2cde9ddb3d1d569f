"""NAS-Bench-201's .pth files: written by the official classes and torch, read back without trusting or keeping them."""

from __future__ import annotations

import io
import logging
import pickle
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from nas_201_api import NASBench201API, api_utils

from naswot_ext import benchmarks
from naswot_ext.benchmarks import _pickle_stream
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import SPACES
from tests.benchmarks.official import Hostile, Trained, state

SPACE = SPACES.get("nasbench201")
ARCHITECTURES = [SPACE.architecture(i) for i in range(len(SPACE))]
NAME = "NAS-Bench-201-v1_1-096897.pth"
OLD = "NAS-Bench-201-v1_0-e61699.pth"
# The legacy format, several pickles one after another, and the zip of torch 1.6 and later.
FORMATS = [False, True]


def convert(path: Path, **options: Any) -> pd.DataFrame:
    return benchmarks.convert("nasbench201", {"source": "nasbench201", "path": str(path), **options})


def record(index: int, shift: float = 0.0, seeds: tuple[int, ...] = (777, 888)) -> dict[str, Any]:
    """One architecture of arch2infos, with accuracies that tell data sets and splits apart."""

    def trained(base: float) -> dict[str, Trained]:
        splits = {
            "cifar10-valid": {"x-valid": base + 1, "ori-test": base + 2},
            "cifar10": {"ori-test": base + 3},
            "cifar100": {"x-valid": base + 4, "x-test": base + 5, "ori-test": base + 6},
            "ImageNet16-120": {"x-valid": base + 7, "x-test": base + 8, "ori-test": base + 9},
        }
        return {name: Trained(of, params=0.5, seeds=seeds) for name, of in splits.items()}

    arch = ARCHITECTURES[index]
    less = state(api_utils, index, arch, 12, trained(20 + shift))
    return {"full": state(api_utils, index, arch, 200, trained(50 + shift)), "less": less}


def content(records: dict[int, Any]) -> dict[str, Any]:
    return {
        "meta_archs": ARCHITECTURES,
        "total_archs": len(ARCHITECTURES),
        "arch2infos": records,
        "evaluated_indexes": list(records),
    }


def save(thing: Any, path: Path, zipped: bool = False, **options: Any) -> Path:
    torch.save(thing, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def by_the_official_api(thing: dict[str, Any]) -> pd.DataFrame:
    """The same table by the whole of the official package."""
    api = NASBench201API(thing, verbose=False)
    rows = []
    for index in sorted(thing["arch2infos"]):
        for epochs in (12, 200):
            for name, valid_from, test_from in (
                ("cifar10", "cifar10-valid", "cifar10"),
                ("cifar100", "cifar100", "cifar100"),
                ("imagenet16-120", "ImageNet16-120", "ImageNet16-120"),
            ):
                valid = api.get_more_info(index, valid_from, hp=str(epochs), is_random=False)
                test = api.get_more_info(index, test_from, hp=str(epochs), is_random=False)
                cost = valid["train-all-time"] + valid["valid-per-time"]
                rows.append((index, name, epochs, valid["valid-accuracy"], test["test-accuracy"], cost))
    columns = ["arch_index", "dataset", "epochs", "valid_accuracy", "test_accuracy", "train_seconds"]
    return pd.DataFrame(rows, columns=columns).sort_values(columns[:3], ignore_index=True)


def assert_official(table: pd.DataFrame, thing: dict[str, Any]) -> None:
    expected = by_the_official_api(thing)
    pd.testing.assert_frame_equal(table[list(expected)], expected, check_dtype=False, rtol=1e-12)


@pytest.fixture(scope="module")
def real(real_data) -> pd.DataFrame:
    table = pd.read_csv(real_data("nasbench201.csv.gz"))
    return pd.concat([table[:30], table[table["n_seeds"] == 2][:5], table[-5:]]).drop_duplicates("index")


def real_record(row: Any) -> dict[str, Any]:
    """A row of the real table in the official format."""
    infos = {}
    for kind, epochs in (("full", 200), ("less", 12)):
        seeds = (777, 888, 999)[: row.n_seeds] if epochs == 200 else (777,)

        def of(params: float, seconds: float, seeds: tuple[int, ...] = seeds, **splits: float) -> Trained:
            named = {name.replace("_", "-"): accuracy for name, accuracy in splits.items()}
            return Trained(named, params, seconds, row.cifar10_valid_seconds_per_epoch, seeds)

        get = row._asdict().__getitem__
        half = of(
            row.params_millions_cifar10,
            row.cifar10_halfdata_train_seconds_per_epoch,
            x_valid=get(f"cifar10_valid_{epochs}"),
            ori_test=row.cifar10_halfdata_test_200,
        )
        whole = of(row.params_millions_cifar10, 20.0, ori_test=get(f"cifar10_test_{epochs}"))
        hundred = of(
            row.params_millions_cifar100,
            row.cifar100_train_seconds_200 / 200,
            x_valid=get(f"cifar100_valid_{epochs}"),
            x_test=get(f"cifar100_test_{epochs}"),
            ori_test=1.0,
        )
        trained = {"cifar10-valid": half, "cifar10": whole, "cifar100": hundred}
        infos[kind] = state(api_utils, row.index, row.arch, epochs, trained)
    return infos


@pytest.mark.parametrize("zipped", FORMATS)
def test_real_rows_in_the_official_format_are_read_back(zipped: bool, real: pd.DataFrame, tmp_path: Path) -> None:
    rows = list(real.itertuples(index=False))
    assert set(real["n_seeds"]) == {2, 3}
    path = save(content({row.index: real_record(row) for row in rows}), tmp_path / NAME, zipped)
    table = convert(path)
    assert set(table["version"]) == {"NAS-Bench-201-v1_1-096897"}
    for dataset in ("cifar10", "cifar100"):
        for epochs in (12, 200):
            ours = table[(table["dataset"] == dataset) & (table["epochs"] == epochs)].set_index("arch_index")
            theirs = real.set_index("index")
            assert ours["arch"].to_dict() == theirs["arch"].to_dict()
            for kind in ("valid", "test"):
                expected = theirs[f"{dataset}_{kind}_{epochs}"].sort_index()
                np.testing.assert_allclose(ours[f"{kind}_accuracy"], expected, atol=1e-9)
            expected = theirs["n_seeds"] if epochs == 200 else theirs["n_seeds"] * 0 + 1
            np.testing.assert_array_equal(ours["n_seeds"], expected.sort_index())
            params = (theirs[f"params_millions_{dataset}"] * 1e6).round().sort_index()
            np.testing.assert_array_equal(ours["params"], params)
            if dataset == "cifar10":
                cost = theirs["cifar10_halfdata_train_seconds_per_epoch"] * epochs
                cost += theirs["cifar10_valid_seconds_per_epoch"]
                np.testing.assert_allclose(ours["train_seconds"], cost.sort_index(), rtol=1e-12)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", FORMATS)
def test_the_table_is_that_of_the_official_api(zipped: bool, protocol: int, tmp_path: Path) -> None:
    thing = content({index: record(index, shift=index / 1000) for index in range(1_003, 1_013)})
    table = convert(save(thing, tmp_path / NAME, zipped, pickle_protocol=protocol))
    assert len(table) == 10 * 3 * 2
    assert_official(table, thing)


def test_parts_that_architectures_share_are_read_wherever_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_again, places = _pickle_stream._Unpickler._read_again, []
    monkeypatch.setattr(
        _pickle_stream._Unpickler, "_read_again", lambda self, place: places.append(place) or read_again(self, place)
    )
    records = {index: record(index, shift=index) for index in (5, 3, 9, 8, 7, 6)}
    # Dicts, tuples and texts of earlier architectures, other than the first, in later ones.
    trainings = {index: infos["full"]["all_results"] for index, infos in records.items()}
    for index, other in ((8, 3), (7, 9), (6, 9), (6, 8)):
        for key in trainings[index]:
            for field in ("train_times", "arch_config", "latency"):
                trainings[index][key][field] = trainings[other][key][field]
    trainings[6]["cifar10", 777]["eval_acc1es"] = trainings[8]["cifar10", 777]["eval_acc1es"]
    thing = content(records)
    # The list at the end shares its texts with the architectures.
    thing["meta_archs"] = list(ARCHITECTURES)
    for index, infos in records.items():
        thing["meta_archs"][index] = infos["less"]["arch_str"] = (ARCHITECTURES[index] + ".")[:-1]
    thing = dict(reversed(thing.items()))
    for zipped in FORMATS:
        assert_official(convert(save(thing, tmp_path / NAME, zipped)), thing)
    assert set(places) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("zipped", FORMATS)
def test_the_architectures_are_listed(zipped: bool, tmp_path: Path) -> None:
    path = save(content({5: record(5), 3: record(3)}), tmp_path / NAME, zipped)
    listed = benchmarks.architectures("nasbench201", {"source": "nasbench201", "path": str(path)})
    assert list(listed.itertuples(index=False, name=None)) == [(3, ARCHITECTURES[3]), (5, ARCHITECTURES[5])]


def test_one_architecture_is_read_and_that_it_is_one_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    thing = content({15_624: record(15_624)})
    with caplog.at_level(logging.WARNING):
        assert_official(convert(save(thing, tmp_path / NAME)), thing)
    assert "has results of 1 of the 15625 architectures of nasbench201" in caplog.text


@pytest.mark.parametrize("zipped", FORMATS)
def test_version_1_0_has_of_12_epochs_one_half_of_cifar_10_only(zipped: bool, tmp_path: Path) -> None:
    infos = record(4, seeds=(777,))
    half = {"cifar10-valid": Trained({"x-valid": 21.0}, params=0.5, seeds=(777,))}
    infos["less"] = state(api_utils, 4, ARCHITECTURES[4], 12, half)
    path = save(content({4: infos, 5: record(5, seeds=(777, 888, 999))}), tmp_path / OLD, zipped)
    with pytest.raises(NaswotError, match=r"is version v1_0 of NAS-Bench-201 and version v1_1 is asked for"):
        convert(path)
    table = convert(path, version="v1_0")
    assert set(table["version"]) == {"NAS-Bench-201-v1_0-e61699"}
    assert len(table) == 4 + 6
    (short,) = table[(table["arch_index"] == 4) & (table["epochs"] == 12)].itertuples()
    assert (short.dataset, short.valid_accuracy, short.n_seeds, short.params) == ("cifar10", 21.0, 1, 500_000)
    assert short.train_seconds == 12 * 10 + 2
    assert np.isnan(short.test_accuracy)
    assert table.loc[table["arch_index"] == 4, "n_seeds"].tolist() == [1] * 4
    assert table.loc[table["arch_index"] == 5, "n_seeds"].tolist() == [3] * 6


def test_a_file_of_another_name_is_read_and_called_by_it(tmp_path: Path) -> None:
    path = save(content({4: record(4)}), tmp_path / "mine.pth")
    assert set(convert(path, version="v1_0")["version"]) == {"mine"}


@pytest.mark.parametrize("place", ["content", "architecture", "header"])
@pytest.mark.parametrize("zipped", FORMATS)
def test_a_hostile_pickle_is_refused_by_name_and_runs_nothing(zipped: bool, place: str, tmp_path: Path) -> None:
    trace = tmp_path / "was-here"
    thing = content({4: record(4)})
    if place == "content":
        thing["more"] = Hostile(trace)
    if place == "architecture":
        thing["arch2infos"][4]["full"]["all_results"]["cifar10", 777]["latency"] = Hostile(trace)
    path = save(thing, tmp_path / NAME, zipped)
    if place == "header":
        path.write_bytes(pickle.dumps(Hostile(trace)) + path.read_bytes())
    with pytest.raises(NaswotError, match=rf"{NAME} asks for (posix|nt)\.system"):
        convert(path)
    assert not trace.exists()


def test_a_text_in_place_of_results_is_not_taken_for_the_name_of_a_file_to_unpickle(tmp_path: Path) -> None:
    trace, trap = tmp_path / "was-here", tmp_path / "trap.pth"
    torch.save(Hostile(trace), trap)
    path = save(content({4: record(4) | {"less": str(trap)}}), tmp_path / NAME)
    with pytest.raises(NaswotError, match=r"architecture 4 is broken: .*results are a str"):
        convert(path)
    assert not trace.exists()


@pytest.mark.parametrize("zipped", FORMATS)
def test_network_weights_are_refused(zipped: bool, tmp_path: Path) -> None:
    thing = content({4: record(4)})
    thing["arch2infos"][4]["full"]["all_results"]["cifar10", 777]["net_state_dict"] = {"w": torch.ones(2)}
    with pytest.raises(NaswotError, match=rf"{NAME} (asks for torch\.|holds tensors)"):
        convert(save(thing, tmp_path / NAME, zipped))


def test_a_storage_without_a_class_is_refused(tmp_path: Path) -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: Any) -> Any:
            return "0" if thing is Ellipsis else None

    path = save(content({}), tmp_path / NAME, zipped=True)
    data = io.BytesIO()
    Pickler(data, protocol=2).dump({"storage": ...})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data.getvalue())
    with pytest.raises(NaswotError, match=f"{NAME} holds tensors"):
        convert(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda thing: [thing], "holds a list, not the dict"),
        (lambda thing: thing.pop("meta_archs") and thing, "has no meta_archs"),
        (lambda thing: thing.pop("arch2infos") and thing, "has no arch2infos"),
        (lambda thing: thing | {"arch2infos": {}}, "has results of no architecture"),
        (lambda thing: thing | {"arch2infos": [1]}, "has a list as arch2infos"),
        (lambda thing: thing | {"meta_archs": ARCHITECTURES[::-1]}, "lists .* as architecture 0"),
        (lambda thing: thing | {"meta_archs": ARCHITECTURES[:9]}, "lists 9 architectures"),
        (lambda thing: thing | {"arch2infos": {4: record(5)}}, "architecture 4 is broken: .*is about"),
        (lambda thing: thing | {"arch2infos": {15_625: record(5)}}, "architecture 15625 is no index"),
        (lambda thing: thing | {"arch2infos": {"4": record(4)}}, "architecture '4' is no index"),
        (lambda thing: thing | {"arch2infos": {4: record(4), 5: {}}}, "architecture 5 is broken: it has not both"),
        (
            lambda thing: thing | {"arch2infos": {4: record(4) | {"less": {}}}},
            "architecture 4 is broken: .*is about -1",
        ),
        (lambda thing: thing | {"arch2infos": {4: record(4) | {"less": record(4)["full"]}}}, "200 epochs on cifar10"),
    ],
)
def test_what_is_wrong_with_the_content_is_said(change: Any, reason: str, tmp_path: Path) -> None:
    path = save(change(content({4: record(4)})), tmp_path / NAME)
    with pytest.raises(NaswotError, match=rf"({NAME}.*)?{reason}") as error:
        convert(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("zipped", FORMATS)
@pytest.mark.parametrize("share", [0.0001, 0.3, 0.99, 1.0])
def test_a_truncated_file_is_refused(zipped: bool, share: float, tmp_path: Path) -> None:
    path = save(content({4: record(4), 5: record(5)}), tmp_path / NAME, zipped)
    data = path.read_bytes()
    path.write_bytes(data[: min(int(len(data) * share), len(data) - 3)])
    with pytest.raises(NaswotError, match=rf"{NAME} is broken"):
        convert(path)


def test_a_flipped_bit_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = save(content({4: record(4)}), tmp_path / NAME, zipped=True)
    data = bytearray(path.read_bytes())
    # The last digits of a number: without the checksum nobody would see it.
    at = data.index(b"G", data.index(b"train_times")) + 8
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(NaswotError, match=rf"{NAME} is broken: .*Bad CRC-32"):
        convert(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html>quota</html>", "is an HTML page"),
        (b"PK\x03\x04 no zip", "is broken"),
        (pickle.dumps({"meta_archs": []}, protocol=2), "is not a file of torch.save"),
        (b"no pickle", "is broken"),
        (b"X\xff\xff\xff\xff" + bytes(1000), "is broken"),
    ],
)
def test_another_file_under_the_name_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(data)
    with pytest.raises(NaswotError, match=rf"{NAME} {reason}"):
        convert(path)


def cut(data: bytes, start: int, count: int) -> bytes:
    return data[:start] + data[start + count :]


def put(data: bytes, start: int, other: bytes) -> bytes:
    return data[:start] + other + data[start + len(other) :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data, directory: cut(data, directory // 2, 1),
        lambda data, directory: cut(data, 1_000, directory // 2),
        lambda data, directory: put(data, directory + 6, b"\xff"),  # the version that it needs
        lambda data, directory: put(data, directory + 10, b"\xff"),  # how it is compressed
        lambda data, directory: put(data, directory + 46, b"\xff"),  # a name
        lambda data, directory: put(data, len(data) - 3, b"\xff"),  # where the directory is
        lambda data, directory: put(data, directory // 2, bytes(400)),
        lambda data, directory: put(data, 100, b"\xff" * 400),
    ],
)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_zip_gives_one_clear_error(compression: int, damage: Any, tmp_path: Path) -> None:
    path = save(content({4: record(4)}), tmp_path / NAME, zipped=True)
    with zipfile.ZipFile(path) as archive:
        data = archive.read(f"{path.stem}/data.pkl")
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
    data = path.read_bytes()
    path.write_bytes(damage(data, data.index(b"PK\x01\x02")))
    with pytest.raises(NaswotError, match=f"{NAME} is broken") as error:
        convert(path)
    assert "\n" not in str(error.value)


def test_a_folder_that_holds_the_file_may_be_given(tmp_path: Path) -> None:
    path = save(content({4: record(4)}), tmp_path / NAME)
    (tmp_path / "README.md").write_text("?")
    pd.testing.assert_frame_equal(convert(tmp_path), convert(path))
    listed = benchmarks.architectures("nasbench201", {"source": "nasbench201", "path": str(tmp_path)})
    assert listed["arch_index"].tolist() == [4]
    with pytest.raises(NaswotError, match="is version v1_1 of NAS-Bench-201 and version v1_0 is asked for"):
        convert(tmp_path, version="v1_0")


def test_a_folder_without_the_file_or_with_several_is_refused(tmp_path: Path) -> None:
    (tmp_path / "meta.pickle.pbz2").write_bytes(b"?")
    for names in ("none", f"{OLD}, {NAME}"):
        with pytest.raises(NaswotError, match=rf"is a folder, which should hold one file .*; it has: {names}\. Name"):
            convert(tmp_path)
        for name in (NAME, OLD):
            save(content({4: record(4)}), tmp_path / name)


def test_a_zip_that_is_no_file_of_torch_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / NAME, "w") as archive:
        archive.writestr("readme.txt", "?")
    with pytest.raises(NaswotError, match=r"it has 0 data\.pkl"):
        convert(tmp_path / NAME)


def test_another_space_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NaswotError, match="No such file"):
        convert(tmp_path / NAME)
    with pytest.raises(NaswotError, match="nasbench201 holds ground truth of nasbench201, not of nats-sss"):
        benchmarks.convert("nats-sss", {"source": "nasbench201", "path": NAME})


def stream(data: bytes, is_record: Any = lambda found: False, use: Any = None) -> Any:
    admitted = {("collections", "OrderedDict"): OrderedDict}
    return _pickle_stream.read(io.BytesIO(data), "a test", admitted, is_record, use)


@pytest.mark.parametrize("protocol", range(6))
def test_any_pickle_of_plain_types_is_read_as_by_pickle(protocol: int) -> None:
    shared = {f"name@{i}": float(i) for i in range(300)}
    thing = {
        "numbers": {i: i / 3 for i in range(1_500)},
        "texts": {f"{i:0{i % 70 + 1}d}": -0.5 * i for i in range(1_500)},
        "known": {key: value * 2 for key, value in shared.items()},
        "mixed": {1: 1.5, "G": "X", 2: None, "": 2.5, "naïve": 0.0, 3.5: 1.0, (1, "a"): [1.0, {2: 3.0}]},
        "more": [shared, shared, [], {}, (), OrderedDict(shared), True, 2**70, -5, "ä" * 300, {1: float("inf")}],
    }
    assert stream(pickle.dumps(thing, protocol=protocol)) == thing


def test_memory_does_not_grow_with_the_number_of_records() -> None:
    def peak(count: int) -> int:
        # Each has its own texts and dicts, as in the official file.
        records = {i: {"tables": [{f"{i}-{j}-{k}": 0.5 for k in range(300)} for j in range(20)]} for i in range(count)}
        file = io.BytesIO(pickle.dumps(records, protocol=2))
        seen: list[int] = []

        def use(key: int, found: dict[str, Any]) -> None:
            assert found["tables"][19] == {f"{key}-19-{k}": 0.5 for k in range(300)}
            seen.append(key)

        del records
        tracemalloc.start()
        _pickle_stream.read(file, "a test", {}, lambda found: "tables" in found, use)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen == list(range(count))
        return top

    small, large = peak(10), peak(40)
    assert large < 1.5 * small
