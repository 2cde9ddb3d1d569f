"""NDS's files, written with every field of the official ones, read back; parameters that must agree; bad input."""

from __future__ import annotations

import csv
import json
import math
import struct
import tracemalloc
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from naswot_ext import benchmarks
from naswot_ext.benchmarks import nds
from naswot_ext.errors import NaswotError
from naswot_ext.spaces import open_space
from naswot_ext.spaces.nds import NetworkDesignSpace
from tests.conftest import REPOSITORY

with open(REPOSITORY / "tests/golden/nds.csv", newline="") as file:
    GOLDEN = list(csv.DictReader(file))
GROUPS = sorted({(row["space"], row["family"]) for row in GOLDEN})
RESNET = {"block_type": "res_basic_block", "ds": [1, 2, 3, 4], "ss": [1, 1, 2, 2], "ws": [16, 24, 24, 40]}
RESNEXT = {
    "block_type": "res_bottleneck_block",
    "bot_muls": [0.0, 0.5, 0.5, 0.25],
    "ds": [1, 2, 1, 4],
    "num_gs": [1, 2, 4, 2],
    "ss": [1, 1, 2, 2],
    "ws": [16, 64, 128, 16],
}
VANILLA = {"block_type": "double_plain_block", "ds": [2, 2, 2], "ss": [1, 2, 2], "ws": [32, 64, 96]}


def space(name: str, **network: Any) -> NetworkDesignSpace:
    found = open_space(name, network)
    assert isinstance(found, NetworkDesignSpace)
    return found


def parameters(name: str, net: dict[str, Any]) -> int:
    """Of the network as trained, without an auxiliary head."""
    owner = space(name, stem="trained") if "block_type" in net else space(name)
    return sum(p.numel() for p in owner.build(json.dumps(net), owner.trained_classes).parameters())


def entry(net: dict[str, Any], params: int, errors: Sequence[float | None], job: int = 0) -> dict[str, Any]:
    """One entry with all fields of the official files."""
    epochs = len(errors)
    return {
        "job_id": job,
        "rng_seed": 1,
        "exp_mem": 0.25,
        "params": params,
        "flops": 123_456_789,
        "net": net,
        "optim": {"base_lr": 0.1, "wd": 0.0005, "max_ep": epochs, "lr_policy": "cos", "mom": 0.9},
        "act_mem": 0.125,
        "prec_time": 1.5,
        "iter_time": 0.0625,
        "min_test_top1": min(error for error in [*errors, 99.0] if error is not None),
        "train_ep_loss": [2.0 / (epoch + 1) for epoch in range(epochs)],
        "train_ep_top1": [80.0 / (epoch + 1) for epoch in range(epochs)],
        "test_ep_top1": list(errors),
        "train_it_loss": [2.5] * 4 * epochs,
        "train_it_top1": [90.0] * 4 * epochs,
    }


def cells(name: str = "ENAS", family: str = "cifar") -> list[dict[str, Any]]:
    nets = [json.loads(row["net"]) for row in GOLDEN if (row["space"], row["family"]) == (name, family)]
    # A field that the builder has no use for, as in the official files.
    return [net | {"drop_prob": 0.0} if "genotype" in net else net for net in nets]


def entries(name: str, nets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry(net, parameters(name, net), [90.0, 50.5, 7.25 + i], job=i) for i, net in enumerate(nets)]


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def convert(path: Path, name: str | NetworkDesignSpace = "nds-enas") -> pd.DataFrame:
    return benchmarks.convert(name, {"source": "nds", "path": str(path)})


@pytest.mark.parametrize(("paper", "family"), GROUPS)
def test_a_file_of_every_space_becomes_the_ground_truth_table(paper: str, family: str, tmp_path: Path) -> None:
    imagenet = family == "imagenet"
    name = f"nds-{paper.lower()}" + ("-in" if imagenet else "")
    nets = cells(paper, family)
    written = entries(name, nets)
    path = write(tmp_path / f"{paper}.json", written)
    table = convert(path, name)
    assert list(table.columns) == list(benchmarks.COLUMNS)
    owner = space(name)
    assert table["arch"].tolist() == [owner.canonical(json.dumps(net)) for net in nets]
    assert table["arch_index"].tolist() == list(range(len(nets)))
    assert table["test_accuracy"].tolist() == [100 - (7.25 + i) for i in range(len(nets))]
    assert table["params"].tolist() == [e["params"] for e in written]
    assert set(table["dataset"]) == {"imagenet" if imagenet else "cifar10"}
    assert set(table["epochs"]) == {3}
    assert set(table["n_seeds"]) == {1}
    assert table[["valid_accuracy", "train_seconds"]].isna().all(axis=None)
    assert table["version"][0].startswith(f"NDS {paper}.json (sha256 ")
    # Scoring asks for the architectures alone, and builds them.
    listed = benchmarks.architectures(name, {"source": "nds", "path": str(path)})["arch"].tolist()
    opened = open_space(name, listing=listed)
    assert len(opened) == len(nets)
    assert [opened.index(opened.architecture(i)) for i in range(len(nets))] == list(range(len(nets)))


def test_real_genotypes_and_accuracies_come_back(real_data, tmp_path: Path) -> None:
    real = pd.read_csv(real_data("darts_genotypes_cifar10.csv.gz"))
    darts = space("nds-darts", width=16, depth=8)
    nets = [json.loads(darts.canonical(genotype)) for genotype in real["genotype"]]
    params = [parameters("nds-darts", net) if i % 10 == 0 else None for i, net in enumerate(nets)]
    written = [
        entry(net, number, [90.0, 100.0 - accuracy], job=i)
        for i, (net, number, accuracy) in enumerate(zip(nets, params, real["cifar10_valid"], strict=True))
        if number is not None
    ]
    table = convert(write(tmp_path / "DARTS.json", written), darts)
    assert table["arch"].tolist() == [darts.canonical(genotype) for genotype in real["genotype"][::10]]
    np.testing.assert_allclose(table["test_accuracy"], real["cifar10_valid"][::10], rtol=0, atol=1e-12)


def test_top_and_mid_are_one_list(tmp_path: Path) -> None:
    written = entries("nds-enas-in", cells("ENAS", "imagenet"))
    halves = write(tmp_path / "halves.json", {"mid": written[1:], "top": written[:1]})
    whole = write(tmp_path / "whole.json", written)
    drop = ["version"]
    pd.testing.assert_frame_equal(
        convert(halves, "nds-enas-in").drop(columns=drop), convert(whole, "nds-enas-in").drop(columns=drop)
    )


@pytest.mark.parametrize("folder", ["nds_data/", "a/b/", ""])
def test_the_archive_and_the_folder_are_read_wherever_the_file_lies(folder: str, tmp_path: Path) -> None:
    written = entries("nds-enas", cells())
    (tmp_path / "unpacked" / folder).mkdir(parents=True)
    plain = write(tmp_path / "unpacked" / folder / "ENAS.json", written)
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, f"{folder}ENAS.json")
        archive.writestr(f"{folder}ENAS_in.json", "[]")
        archive.writestr(f"__MACOSX/{folder}._ENAS.json", "finder")
    tables = [convert(path) for path in (plain, tmp_path / "data.zip", tmp_path / "unpacked")]
    assert tables[0]["version"][0] == tables[2]["version"][0] != tables[1]["version"][0]
    assert tables[1]["version"][0].startswith("NDS data.zip (sha256 ")
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table.drop(columns="version"), tables[0].drop(columns="version"))


def test_one_length_of_training_holds_every_row_and_a_diverged_one_has_no_accuracy(tmp_path: Path) -> None:
    net = cells()[0]
    params = parameters("nds-enas", net)
    curves: list[list[float | None]] = [
        [90.0, 80.0, 10.0],
        [90.0, 12.5],
        [90.0, 90.0, float("nan")],
        [None],
        [float("inf")],
    ]
    table = convert(write(tmp_path / "ENAS.json", [entry(net, params, errors) for errors in curves]))
    assert table["epochs"].tolist() == [3] * 5
    np.testing.assert_array_equal(table["test_accuracy"], [90.0, 87.5, np.nan, np.nan, np.nan])
    # The same network stands in the file five times; its index is the first.
    assert open_space("nds-enas", listing=table["arch"].tolist()).index(table["arch"][4]) == 0


AUXILIARY = 4 * 40 * 128 + 2 * 128 + 4 * 128 * 768 + 2 * 768 + 768 * 10 + 10


def test_the_auxiliary_head_counts_for_all_entries_or_for_none(tmp_path: Path) -> None:
    # Of width 10, so that the second reduction cell has 40 channels a node; four nodes are concatenated.
    net = next(net for net in cells() if len(net["genotype"]["reduce_concat"]) == 4) | {"width": 10, "aux": True}
    other = net | {"depth": 5}
    counted = [parameters("nds-enas", n) for n in (net, other)]
    with_head = [entry(n, c + AUXILIARY, [10.0]) for n, c in zip((net, other), counted, strict=True)]
    without = [entry(n, c, [10.0]) for n, c in zip((net, other), counted, strict=True)]
    for written in (with_head, without):
        assert len(convert(write(tmp_path / "ENAS.json", written))) == 2
    with pytest.raises(NaswotError, match=f"entry 1 .*: it records {counted[1]:,} .*The 1 entries before it agree"):
        convert(write(tmp_path / "ENAS.json", [with_head[0], without[1]]))


def test_networks_of_stages_agree_with_one_stem_for_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    nets = [RESNET, RESNET | {"ds": [1, 3, 3, 3]}]
    # The first stage is the stem, 3x3.
    assert len(convert(write(path, entries("nds-resnet", nets)), "nds-resnet")) == 2
    assert len(convert(write(path, entries("nds-resnext-a", [RESNEXT])), "nds-resnext-a")) == 1
    assert len(convert(write(path, entries("nds-vanilla", [VANILLA])), "nds-vanilla")) == 1
    # A 7x7 stem of 12 channels before all stages, as the papers' code scored, counted with its classifier of 10.
    before_all = [
        entry(net, sum(p.numel() for p in space("nds-resnet").build(json.dumps(net), 10).parameters()), [5.0])
        for net in nets
    ]
    assert len(convert(write(path, before_all), "nds-resnet")) == 2
    # Not one rule for both, and not the stem that would be built.
    mixed = [before_all[0], entries("nds-resnet", nets)[1]]
    with pytest.raises(NaswotError, match=r"entry 1 .*with a 7x7 stem of 12 channels before all stages"):
        convert(write(path, mixed), "nds-resnet")
    with pytest.raises(NaswotError, match=r"entry 0 .*with the stem that its network option `trained` builds"):
        convert(write(path, before_all), space("nds-resnet", stem="trained"))


def test_parameters_that_differ_are_refused_before_anything_is_scored(tmp_path: Path) -> None:
    written = entries("nds-enas", cells())
    written[2]["params"] -= 5
    path = write(tmp_path / "ENAS.json", written)
    recorded = written[2]["params"]
    reason = rf"ENAS\.json, entry 2 .*: it records {recorded:,} parameters, .* has {recorded + 5:,} .*, \+5\."
    with pytest.raises(NaswotError, match=reason):
        convert(path)
    with pytest.raises(NaswotError, match=reason):
        benchmarks.architectures("nds-enas", {"source": "nds", "path": str(path)})


def test_groups_taken_for_their_widths_would_be_refused(tmp_path: Path) -> None:
    written = entries("nds-resnext-a", [RESNEXT])
    # The slip of the papers' code, 2, 4 and 2 as the widths of the groups of 32, 64 and 4 channels.
    written[0]["net"] = RESNEXT | {"num_gs": [1, 16, 16, 2]}
    with pytest.raises(NaswotError, match=r"entry 0 .*it records"):
        convert(write(tmp_path / "ResNeXt-A.json", written), "nds-resnext-a")


def test_the_number_of_classes_is_that_of_the_data_set(tmp_path: Path) -> None:
    net = cells("ENAS", "imagenet")[0]
    path = write(tmp_path / "x.json", entries("nds-enas-in", [net]))
    assert len(convert(path, "nds-enas-in")) == 1
    with pytest.raises(NaswotError, match="it records"):
        convert(path, "nds-enas")


def entry_without(field: str) -> list[dict[str, Any]]:
    good = entry(cells()[0], 1, [5.0])
    return [good, {name: value for name, value in good.items() if name != field}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html>Not found</html>", "is an HTML page"),
        (b'[{"net": {"genotype": {"nor', "is no whole JSON file"),
        (b"\xff\xfe\x00\x01", "is no whole JSON file"),
        (b"[" * 100_000, "is no whole JSON file"),
        (b'"entries"', "neither a list of entries nor"),
        ({"top": []}, "neither a list of entries nor"),
        ({"top": {}, "mid": []}, "neither a list of entries nor"),
        ([], "has no entries"),
        ({"top": [], "mid": []}, "has no entries"),
        ([3], "entry 0 .*: it is 3; it must be an object"),
        (entry_without("net"), "entry 1 .*: it has no field 'net'"),
        (entry_without("params"), "entry 1 .*: it has no field 'params'"),
        (entry_without("test_ep_top1"), "entry 1 .*: it has no field 'test_ep_top1'"),
        ([entry(cells()[0], 1, [5.0]) | {"params": "many"}], "entry 0 .*: params is 'many'"),
        ([entry(cells()[0], 1, [5.0]) | {"test_ep_top1": []}], "test_ep_top1 must be a list of at least one"),
        ([entry(cells()[0], 1, [5.0]) | {"test_ep_top1": 5.0}], "test_ep_top1 must be a list of at least one"),
        ([entry(cells()[0], 1, [5.0]) | {"test_ep_top1": ["5"]}], "the last of test_ep_top1 is '5'"),
        # Of such numbers floats and torch make errors of their own.
        (
            [entry(cells()[0], 1, [5.0]) | {"params": 10**400}],
            "entry 0 .*: params is 10+\\.\\.\\.; .* from 1 to 1,000,000",
        ),
        ([entry(cells()[0], 1, [5.0]) | {"params": 1e300}], r"entry 0 .*: params is 1e\+300; it must be a whole"),
        ([entry(cells()[0], 1, [5.0]) | {"params": math.inf}], "entry 0 .*: params is inf; it must be a whole"),
        ([entry(cells()[0], 1, [5.0]) | {"params": 0}], "entry 0 .*: params is 0; it must be a whole"),
        ([entry(cells()[0], 1, [5.0]) | {"params": "x" * 10**6}], "entry 0 .*: params is 'xxx"),
        (
            [entry(cells()[0], 1, [5.0]), entry(cells()[0], 1, [10**400])],
            "entry 1 .*test_ep_top1 is 10+.*from 0 to 100",
        ),
        ([entry(cells()[0], 1, [5.0]) | {"test_ep_top1": ["x" * 10**6]}], "the last of test_ep_top1 is 'xxx"),
        ([entry(cells()[0], 1, [150.0])], "entry 0 .*: the last of test_ep_top1 is 150.0; .* from 0 to 100"),
        ([entry(cells()[0], 1, [-0.5])], "entry 0 .*: the last of test_ep_top1 is -0.5; .* from 0 to 100"),
        (["x" * 10**6], "entry 0 .*: it is 'xxx.*; it must be an object"),
        ([entry(cells()[0] | {"width": 10**30}, 1, [5.0])], "entry 0 .*: width is 10+; .* from 1 to 100000"),
        ([entry(cells()[0] | {"depth": 10**30}, 1, [5.0])], "entry 0 .*: depth is 10+; .* from 1 to 1000"),
        ([entry({"genotype": {}}, 1, [5.0])], "entry 0 .*: no architecture of nds-enas: it has no field 'normal'"),
        ([entry(RESNET, 1, [5.0])], "entry 0 .*: no architecture of nds-enas: it has no field 'genotype'"),
        ([entry(cells()[0], 1, [5.0]) | {"net": None}], "entry 0 .*: no architecture of nds-enas: net is None"),
        ([entry(cells()[0], 1, [5.0]) | {"net": [1]}], "entry 0 .*: no architecture of nds-enas: net is "),
    ],
)
def test_what_is_no_file_of_nds_is_one_clear_error(content: Any, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "ENAS.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(NaswotError, match=reason) as error:
        convert(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def archive(path: Path, members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path.read_bytes()


def test_a_broken_or_wrong_archive_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    whole = archive(path, {"nds_data/ENAS.json": json.dumps(list(range(10_000))).encode()})
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NaswotError, match=r"data\.zip is not a whole zip archive"):
        convert(path)
    path.write_bytes(whole[:200] + b"\0" * 50 + whole[250:])
    with pytest.raises(NaswotError, match=r"data\.zip is not a whole zip archive"):
        convert(path)
    archive(path, {"nds_data/DARTS.json": b"[]"})
    with pytest.raises(NaswotError, match=r"data\.zip holds no ENAS\.json"):
        convert(path)
    archive(path, {"a/ENAS.json": b"[]", "b/ENAS.json": b"[]"})
    with pytest.raises(NaswotError, match=r"holds several ENAS\.json: a/ENAS\.json, b/ENAS\.json"):
        convert(path)
    archive(path, {"a/ENAS.json": b'[{"net": '})
    with pytest.raises(NaswotError, match=r"data\.zip:ENAS\.json is no whole JSON file"):
        convert(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_lacks_bytes_anywhere_is_one_clear_error(compression: int, tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    content = json.dumps(entries("nds-enas", cells()[:1])).encode()
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("nds_data/ENAS.json", content)
        file.writestr("nds_data/DARTS.json", b"[]")
    whole, good = path.read_bytes(), convert(path).drop(columns="version")
    messages = []
    for start in range(0, len(whole), len(whole) // 150):
        for size in (1, 20, len(whole) // 3):
            path.write_bytes(whole[:start] + whole[start + size :])
            try:
                table = convert(path)
            except NaswotError as error:
                messages.append(str(error))
            else:  # nothing that is read was cut off
                pd.testing.assert_frame_equal(table.drop(columns="version"), good)
    assert len(messages) > 400
    assert all(str(path) in message and "\n" not in message for message in messages)


def test_an_archives_file_never_unpacks_to_more_than_there_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.zip"
    size = 100_000_000
    archive(path, {"ENAS.json": b" " * size})
    # What it says is wrong, and it must not be unpacked to find that out.
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", size), struct.pack("<I", 1000)))
    tracemalloc.start()
    try:
        with pytest.raises(NaswotError, match=r"data\.zip is not a whole zip archive"):
            convert(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    archive(path, {"a/ENAS.json": b" " * 5001})
    monkeypatch.setattr(nds, "_MOST_BYTES", 5000)
    with pytest.raises(NaswotError, match=r"data\.zip:a/ENAS\.json would unpack to 5,001 bytes, .* more than 5,000"):
        convert(path)


def test_a_missing_path_and_another_space_are_named(tmp_path: Path) -> None:
    with pytest.raises(NaswotError, match=r"No such file: .*nowhere"):
        convert(tmp_path / "nowhere.zip")
    with pytest.raises(NaswotError, match=r"holds no ENAS\.json"):
        convert(tmp_path)
    with pytest.raises(NaswotError, match=r"ground truth of the spaces nds-\*, not of nasbench201"):
        benchmarks.convert("nasbench201", {"source": "nds", "path": str(tmp_path)})
