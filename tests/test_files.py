"""Files are whole or absent, and tables say how they were made."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from naswot_ext.errors import NaswotError
from naswot_ext.files import atomic_path
from naswot_ext.partial import partial_file
from naswot_ext.provenance import read_provenance, read_table, write_table


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def half_write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_succeeds_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.txt"
    with atomic_path(path) as temporary:
        assert not path.exists()
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


HALF = """
import os, signal, sys
from naswot_ext.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["a.txt", "runs-0.parquet.run-1.checkpoint", "[a*?].txt"])
def test_what_a_killed_writer_leaves_is_removed_by_the_next_writer_of_the_same_file(tmp_path: Path, name: str) -> None:
    path, other = tmp_path / name, tmp_path / f"b{name}"
    for killed in (path, other):
        assert subprocess.run([sys.executable, "-c", HALF, killed], check=False).returncode == -signal.SIGKILL
    left = set(tmp_path.iterdir())
    assert len(left) == 2
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert set(tmp_path.iterdir()) == {path, *(file for file in left if file.name.startswith(f".{other.stem}."))}


def test_a_writer_that_lives_keeps_its_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_path(path) as first:
        first.write_text("first")
        with atomic_path(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def _write_often(path: Path) -> None:
    for _ in range(200):
        with atomic_path(path) as temporary:
            temporary.write_text(str(os.getpid()))


def test_writers_of_one_file_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    writers = [multiprocessing.get_context("spawn").Process(target=_write_often, args=(path,)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert path.read_text() in {str(writer.pid) for writer in writers}
    assert list(tmp_path.iterdir()) == [path]


def test_rows_from_zeros_on_that_a_power_loss_has_left_are_made_again(tmp_path: Path) -> None:
    output, rows = tmp_path / "a.parquet", [{"a": number} for number in range(9)]

    def stop_half_way() -> None:
        with partial_file(output, {}) as partial:
            assert partial
            partial.append(rows)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stop_half_way()
    path = tmp_path / "a.parquet.partial"
    written = path.read_text().splitlines(keepends=True)
    written[5] = "\0" * len(written[5])
    written[7] = "\0" + written[7][1:]
    path.write_text("".join(written))
    with partial_file(output, {}) as partial:
        assert partial
        assert partial.rows == 4
        partial.append(rows[4:])
        assert partial.table({"a": "int64"})["a"].tolist() == list(range(9))


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = pytest.raises(NaswotError, match=r"Cannot write .*file/a\.txt: .*Free some space or choose a folder")
    with refused, atomic_path(tmp_path / "file" / "a.txt"):
        pytest.fail("the block must not run")


def test_a_table_comes_back_with_how_it_was_made_and_equal_tables_are_equal_bytes(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    for name in ("1.parquet", "2.parquet"):
        write_table(table, tmp_path / name, seed=3)
    pd.testing.assert_frame_equal(read_table(tmp_path / "1.parquet"), table)
    assert read_provenance(tmp_path / "1.parquet")["seed"] == 3
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_a_missing_and_a_truncated_table_are_clear_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(NaswotError, match="No such file"):
        read_table(path)
    write_table(pd.DataFrame({"a": range(100)}), path)
    whole = path.read_bytes()
    damaged_page = whole[:30] + bytes(byte ^ 0xFF for byte in whole[30:60]) + whole[60:]
    for content in (whole[:-20], damaged_page, b"<html>404</html>", b""):
        path.write_bytes(content)
        with pytest.raises(NaswotError, match="not a whole Parquet file"):
            read_table(path)
