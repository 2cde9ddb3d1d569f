"""NAS-Bench-101's file: written here byte by byte as its format says, read back, and broken in every way."""

from __future__ import annotations

import base64
import functools
import json
import math
import random
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from naswot_ext import benchmarks
from naswot_ext.benchmarks._protobuf import BYTES, DOUBLE, VARINT, fields
from naswot_ext.benchmarks._tfrecord import records
from naswot_ext.errors import NaswotError
from naswot_ext.spaces.nasbench101 import cell_hash, parse, prune
from tests.conftest import REPOSITORY

# Isomorphic: the two vertices between input and output in either order.
CELL, TWIN = (
    "0110000100010000 input,conv3x3-bn-relu,maxpool3x3,output",
    "0110000100010000 input,maxpool3x3,conv3x3-bn-relu,output",
)
OTHER = "010001000 input,conv1x1-bn-relu,output"


@functools.cache
def crc_table() -> list[int]:
    """CRC-32C (Castagnoli), a byte at a time: the reader uses a library."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def crc(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ crc_table()[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    value = crc(data)
    return struct.pack("<I", ((value >> 15) + (value << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32)


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value % 128 + 128]), value // 128
    return out + bytes([value])


def double(number: int, value: float) -> bytes:
    return varint(number * 8 + 1) + struct.pack("<d", value)


def text(number: int, content: bytes) -> bytes:
    return varint(number * 8 + 2) + varint(len(content)) + content


def evaluation(epoch: float, seconds: float, valid: float, test: float, **more: bytes) -> bytes:
    values = (epoch, seconds, 1.0, valid, test)
    return b"".join(double(number, value) for number, value in enumerate(values, 1)) + b"".join(more.values())


def metrics(
    valid: float = 0.9, test: float = 0.8, seconds: float = 1500.0, params: int = 8_555_530, **more: bytes
) -> bytes:
    """A `ModelMetrics`: before, half-way through and after training, and the whole run's numbers."""
    evaluations = [
        evaluation(0.0, 0.0, 0.1, 0.1),
        evaluation(54.0, seconds / 2, 0.5, 0.4),
        evaluation(108.0, seconds, valid, test, **more),
    ]
    return b"".join(text(1, e) for e in evaluations) + varint(2 * 8) + varint(params) + double(3, seconds + 99)


def row(cell: str = CELL, message: bytes | str | None = None, epochs: int = 108, name: str | None = None) -> bytes:
    """The data of a record."""
    message = metrics() if message is None else message
    encoded = message if isinstance(message, str) else base64.b64encode(message).decode()
    adjacency, operations = cell.split()
    return json.dumps([name or cell_hash(parse(cell)), epochs, adjacency, operations, encoded]).encode()


def write(folder: Path, rows: Iterable[bytes], name: str = "nasbench_only108.tfrecord") -> Path:
    path = folder / name
    path.write_bytes(b"".join(map(record, rows)))
    return path


def convert(path: Path, **options: Any) -> pd.DataFrame:
    return benchmarks.convert("nasbench101", {"source": "nasbench101", "path": str(path), **options})


def test_the_writer_has_the_checksum_of_the_format() -> None:
    assert crc(b"123456789") == 0xE3069283


@pytest.fixture(scope="module")
def subset(real_data) -> pd.DataFrame:
    """Real cells, pruned and each once as in the official file, with their three runs."""
    table = pd.read_csv(real_data("nasbench101_subset.csv.gz"))
    forms = [
        f'{{"adjacency": {adjacency}, "operations": {operations}}}'
        for adjacency, operations in zip(table["adjacency"], table["operations"], strict=True)
    ]
    table["arch"] = [str(prune(parse(form))) for form in forms]
    table["hash"] = [cell_hash(parse(form)) for form in forms]
    return table.drop_duplicates("hash", ignore_index=True)


@pytest.fixture(scope="module")
def official(subset: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their file: the runs of a cell stand anywhere, but the first runs in the order of the cells."""
    rng, rows = random.Random(0), []
    for place, measured in enumerate(subset.itertuples()):
        for run in (1, 2, 3):
            valid, test = (getattr(measured, f"{part}_{run}") / 100 for part in ("valid", "test"))
            # Some runs name their checkpoint, which nobody reads.
            more = {"checkpoint": text(6, b"/path/model.ckpt-1")} if rng.random() < 0.1 else {}
            message = metrics(valid, test, 1000.0 + place + run, 1_000_000 + place, **more)
            rows.append((place if run == 1 else place + rng.random() * 100, row(measured.arch, message)))
    return write(tmp_path_factory.mktemp("official"), [data for _, data in sorted(rows)])


def test_real_rows_in_the_official_format_are_read_back(subset: pd.DataFrame, official: Path) -> None:
    table = convert(official)
    assert table["arch_index"].tolist() == list(range(3_258))
    assert table["arch"].tolist() == subset["arch"].tolist()
    for part in ("valid", "test"):
        mean = subset[[f"{part}_{run}" for run in (1, 2, 3)]].mean(axis=1)
        np.testing.assert_allclose(table[f"{part}_accuracy"], mean, rtol=1e-12)
    np.testing.assert_allclose(table["train_seconds"], 1002.0 + np.arange(3_258))
    assert table["params"].tolist() == list(range(1_000_000, 1_003_258))
    for column, value in (("dataset", "cifar10"), ("epochs", 108), ("n_seeds", 3), ("version", "nasbench_only108")):
        assert set(table[column]) == {value}
    # The best cell of the subset, from its description.
    assert table["test_accuracy"].max() == pytest.approx(93.91, abs=0.005)


def test_the_maximum_is_taken_of_each_accuracy_for_itself(subset: pd.DataFrame, official: Path) -> None:
    table, mean = convert(official, accuracy="max"), convert(official, accuracy="mean")
    for part in ("valid", "test"):
        best = subset[[f"{part}_{run}" for run in (1, 2, 3)]].max(axis=1)
        np.testing.assert_allclose(table[f"{part}_accuracy"], best, rtol=1e-12)
    others = [column for column in table if column not in ("valid_accuracy", "test_accuracy")]
    pd.testing.assert_frame_equal(table[others], mean[others])


def test_the_listing_has_the_same_architectures_and_decodes_no_metrics(official: Path, tmp_path: Path) -> None:
    def listed(path: Path) -> pd.DataFrame:
        return benchmarks.architectures("nasbench101", {"source": "nasbench101", "path": str(path)})

    pd.testing.assert_frame_equal(listed(official), convert(official)[["arch_index", "arch"]])
    path = write(tmp_path, [row(CELL, "not base64"), row(OTHER, "")])
    assert listed(path)["arch"].tolist() == [CELL, OTHER]


def test_only_runs_of_108_epochs_count_and_the_index_is_that_of_the_first_record_of_any(tmp_path: Path) -> None:
    runs = [(OTHER, 4, 0.1), (CELL, 108, 0.5), (CELL, 12, 0.2), (OTHER, 36, 0.3), (OTHER, 108, 0.75), (CELL, 108, 0.6)]
    rows = [row(cell, metrics(test=test), epochs) for cell, epochs, test in runs]
    table = convert(write(tmp_path, rows, "nasbench_full.tfrecord"))
    assert table["arch"].tolist() == [OTHER, CELL]
    np.testing.assert_allclose(table["test_accuracy"], [75, 55])
    assert table["n_seeds"].tolist() == [1, 2]
    assert set(table["epochs"]) == {108}
    assert set(table["version"]) == {"nasbench_full"}


def test_an_isomorphic_form_of_a_cell_is_another_run_of_it(tmp_path: Path) -> None:
    assert cell_hash(parse(TWIN)) == cell_hash(parse(CELL))
    table = convert(write(tmp_path, [row(CELL, metrics(test=0.5)), row(TWIN, metrics(test=0.7))]))
    assert table["arch"].tolist() == [CELL]
    assert table["test_accuracy"].tolist() == pytest.approx([60])


def test_fields_come_in_any_order_and_unknown_ones_are_skipped(tmp_path: Path) -> None:
    unknown = (
        varint(7 * 8) + varint(2**64 - 1) + double(8, 1.0) + text(9, b"x" * 300) + varint(2000 * 8 + 5) + b"\0\1\2\3"
    )
    final = double(5, 0.25) + unknown + double(4, 0.5) + double(2, 7.0)
    message = varint(2 * 8) + varint(5) + unknown + text(1, b"") + text(1, b"") + unknown + text(1, final)
    path = write(tmp_path, [row(message=base64.encodebytes(message).decode())])
    table = convert(path)
    assert table.loc[0, ["valid_accuracy", "test_accuracy", "train_seconds", "params"]].tolist() == [50, 25, 7, 5]


def test_the_fields_of_a_message_are_given_as_they_are_encoded() -> None:
    message = b"\x08\x96\x01" + b"\x12\x07testing" + b"\x19" + struct.pack("<d", -1.5) + b"\x25\1\2\3\4"
    assert list(fields(message)) == [(1, VARINT, 150), (2, BYTES, b"testing"), (3, DOUBLE, -1.5), (4, 5, b"\1\2\3\4")]


def test_records_are_read_one_at_a_time(tmp_path: Path) -> None:
    data = [bytes([i]) * 100_000 for i in range(100)]
    path = write(tmp_path, data)
    tracemalloc.start()
    try:
        starts = [(number, offset, content[0]) for number, offset, content in records(path)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert starts == [(i + 1, i * 100_016, i) for i in range(100)]
    assert peak < 3_000_000 < path.stat().st_size


def flip(data: bytes, byte: int) -> bytes:
    return data[:byte] + bytes([data[byte] ^ 1]) + data[byte + 1 :]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda second: second[:5], "the file ends within it"),
        (lambda second: second[:12], "the file ends within it"),
        (lambda second: second[:-1], "the file ends within it"),
        (lambda second: flip(second, 0), "the checksum of its length is wrong"),
        (lambda second: flip(second, 9), "the checksum of its length is wrong"),
        (lambda second: flip(second, 40), "the checksum of its data is wrong"),
        (lambda second: flip(second, len(second) - 1), "the checksum of its data is wrong"),
        (lambda second: struct.pack("<Q", 2**63) + masked(struct.pack("<Q", 2**63)), "the file ends within it"),
    ],
)
def test_a_damaged_file_is_refused_at_the_record_and_byte(
    damage: Callable[[bytes], bytes], reason: str, tmp_path: Path
) -> None:
    first, second = record(row()), record(row(OTHER))
    path = tmp_path / "n.tfrecord"
    path.write_bytes(first + damage(second))
    with pytest.raises(NaswotError, match=rf"n\.tfrecord is broken at record 2 \(byte {len(first)}\): {reason}"):
        convert(path)
    path.write_bytes(damage(second))
    with pytest.raises(NaswotError, match=rf"n\.tfrecord is no TFRecord file, or is broken at record 1 .*: {reason}"):
        convert(path)


def without(number: int) -> bytes:
    """Metrics whose last evaluation lacks a field."""
    kept = b"".join(double(n, 0.5) for n in range(1, 6) if n != number)
    return text(1, b"") * 2 + text(1, kept) + varint(2 * 8) + varint(5)


ROW = json.loads(row())
# The input feeds the output; nothing feeds 348 vertices between.
LONG = f"{'0' * 349}1{'0' * 350 * 349} input,{'maxpool3x3,' * 348}output"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x0a\x05hello", "no JSON"),
        (b"\xff\xfe{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (json.dumps(ROW[:4]).encode(), r"the JSON is not \[hash, epochs, adjacency, operations, metrics\]"),
        (json.dumps(dict(enumerate(ROW))).encode(), r"the JSON is not \[hash"),
        (json.dumps([ROW[0], "108", *ROW[2:]]).encode(), r"the JSON is not \[hash"),
        (json.dumps([*ROW[:4], None]).encode(), r"the JSON is not \[hash"),
        (row(name="z" * 32), "is not the hash of a cell"),
        (row(name="0" * 32), f"the recorded hash is '{'0' * 32}', but that of its cell '{CELL}' is '{ROW[0]}'"),
        (row(name=cell_hash(parse(OTHER))), "the recorded hash is"),
        # Far more than a message should repeat, and more than one line.
        (row(name="z\n" * 10**6), "is not the hash of a cell"),
        (row(name="00\n" * 10**6), r"the recorded hash is '00\\n00"),
        (row(LONG, name="0" * 32), f"that of its cell '{LONG[:100]}"),
        (json.dumps([*ROW[:3], ROW[3].replace("in", "i\nn", 1), ROW[4]]).encode(), r"not 'i\\nnput' and 'output'"),
        (json.dumps([*ROW[:3], "x" * 10**6, ROW[4]]).encode(), "4 vertices, but 1 operations"),
        (json.dumps([ROW[0], 108, "0110", *ROW[3:]]).encode(), "2 vertices, but 4 operations"),
        (json.dumps([*ROW[:3], ROW[3].replace("max", "min"), ROW[4]]).encode(), "Did you mean 'maxpool3x3'"),
        (row(message="====="), "the metrics cannot be decoded"),
        (row(message="CgA"), "the metrics cannot be decoded"),
        (row(message="Ø"), "the metrics cannot be decoded"),
        (row(message=metrics()[:-3]), r"the metrics cannot be decoded \(the message ends within field 3\)"),
        (row(message=metrics() + b"\x10"), r"the metrics cannot be decoded \(the message ends within a number\)"),
        (row(message=metrics() + b"\x10" + b"\xff" * 11), "a number of more than 64 bits"),
        (row(message=metrics() + b"\x0b"), "unknown wire type 3"),
        (row(message=metrics() + b"\x00\x00"), "field number 0"),
        (row(message=metrics(broken=b"\x0a\x7f")), "the message ends within field 1"),
        (row(message=b""), "the metrics hold 0 evaluations instead of 3"),
        (row(message=text(1, b"") * 2), "the metrics hold 2 evaluations instead of 3"),
        (row(message=metrics() + text(1, b"")), "the metrics hold 4 evaluations instead of 3"),
        (row(message=without(2)), r"is missing or cannot be: .*seconds=nan"),
        (row(message=without(4)), r"is missing or cannot be: .*valid=nan"),
        (row(message=without(5)), r"is missing or cannot be: .*test=nan"),
        (row(message=metrics(valid=math.nan)), r"is missing or cannot be: .*valid=nan"),
        (row(message=metrics(test=93.5)), r"is missing or cannot be: .*test=93\.5"),
        (row(message=metrics(test=-0.1)), r"is missing or cannot be: .*test=-0\.1"),
        (row(message=metrics(seconds=math.inf)), r"is missing or cannot be: .*seconds=inf"),
        (row(message=metrics(seconds=-1)), r"is missing or cannot be: .*seconds=-1"),
        (row(message=metrics(params=0)), r"is missing or cannot be: .*params=0"),
        (row(message=metrics(params=2**64 - 1)), r"is missing or cannot be: .*params=18446744073709551615"),
        (row(message=metrics(params=7)), "this run of the cell has 7 parameters, but another 8555530"),
    ],
)
def test_a_record_that_is_not_the_benchmarks_is_refused_by_number_and_byte(
    data: bytes, reason: str, tmp_path: Path
) -> None:
    path = write(tmp_path, [row(), data])
    at = rf"nasbench_only108\.tfrecord, record 2 \(byte {len(record(row()))}\): "
    with pytest.raises(NaswotError, match=f"{at}.*{reason}") as error:
        convert(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("cells", [[OTHER, CELL], [CELL, OTHER]])
def test_a_cell_without_a_whole_training_is_an_error(cells: list[str], tmp_path: Path) -> None:
    path = write(tmp_path, [row(cell, epochs=12 if cell == CELL else 108) for cell in cells])
    with pytest.raises(NaswotError, match=f"has no run of 108 epochs of the cell '{CELL}'"):
        convert(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 499000000\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html><title>Quota exceeded</title>", "is an HTML page"),
        (None, "No such file"),
    ],
)
def test_what_stands_in_the_files_place_is_named(content: bytes | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "nasbench_only108.tfrecord"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NaswotError, match=reason):
        convert(path)


def test_the_files_folder_is_read_and_one_without_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.tfrecord").write_bytes(b"")
    with pytest.raises(NaswotError) as error:
        convert(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} is a folder without nasbench_only108.tfrecord or nasbench_full.tfrecord. Give the folder that "
        "holds one, or the file."
    )
    write(tmp_path, [row(CELL)], "nasbench_full.tfrecord")
    full = convert(tmp_path)
    assert (full["arch"].tolist(), full["version"].tolist()) == ([CELL], ["nasbench_full"])
    only = write(tmp_path, [row(OTHER)])
    pd.testing.assert_frame_equal(convert(tmp_path), convert(only))
    listed = benchmarks.architectures("nasbench101", {"source": "nasbench101", "path": str(tmp_path)})
    assert listed["arch"].tolist() == [OTHER]


def test_another_space_and_another_accuracy_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [row()])
    with pytest.raises(NaswotError, match="holds ground truth of nasbench101, not of nasbench201"):
        benchmarks.convert("nasbench201", {"source": "nasbench101", "path": str(path)})
    with pytest.raises(NaswotError, match=r"Unknown accuracy of nasbench101 'maximum'. Did you mean 'max'"):
        convert(path, accuracy="maximum")


def test_the_benchmark_of_the_converter_makes_every_cell_once() -> None:
    command = [sys.executable, str(REPOSITORY / "perf/nasbench101.py"), "--vertices", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["cells"] == figures["rows"] == 1 + 6 + 84
