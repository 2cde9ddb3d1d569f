"""What is replaced in texts and tables, and what is left as it is."""

from __future__ import annotations

import base64
from pathlib import Path

import pandas as pd
import pytest

from naswot_ext.archive import private as module
from naswot_ext.archive.private import Private, private
from naswot_ext.provenance import read_provenance, read_table, write_table

HIDDEN = Private(
    {"/home/ada": "home", "/home/ada/code": "code/source", "/data/own.csv": "elsewhere/own.csv"},
    {"ada": "user", "host-7": "host"},
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('"/home/ada/code/x.py"', '"code/source/x.py"'),
        ("in /home/ada.", "in home."),
        ("path: /data/own.csv", "path: elsewhere/own.csv"),
        ("run by ada on host-7", "run by user on host"),
        ("Adam, adapt, host-70, canada", "Adam, adapt, host-70, canada"),
        ("see https://there.example/home/ada-lovelace", "see https://there.example/home/ada-lovelace"),
    ],
)
def test_private_paths_and_names_are_replaced_and_other_words_are_not(text: str, clean: str) -> None:
    assert HIDDEN.without(text) == clean
    assert HIDDEN.is_in(text) == (text != clean)


def test_pictures_in_a_page_are_left_as_they_are() -> None:
    picture = f'<img src="data:image/png;base64,{base64.b64encode(b"x" * 20).decode()}/ada/"> ada'
    assert HIDDEN.without(picture) == picture.removesuffix("ada") + "user"


def test_a_text_file_without_private_words_is_copied_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x\r\ny\n")
    assert not HIDDEN.copy(tmp_path / "a", tmp_path / "b/c")
    assert (tmp_path / "b/c").read_bytes() == b"x\r\ny\n"


def test_line_ends_survive_where_words_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"/home/ada\r\ny\n")
    assert HIDDEN.copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"home\r\ny\n"


def test_a_table_loses_private_words_of_its_texts_and_of_how_it_was_made_and_nothing_else(tmp_path: Path) -> None:
    table = pd.DataFrame({"score": [0.1, float("nan")], "error": ["", "cannot read /home/ada/x"]})
    write_table(table, tmp_path / "a.parquet", source="/data/own.csv", n=3)
    assert HIDDEN.copy(tmp_path / "a.parquet", tmp_path / "b.parquet")
    copied = read_table(tmp_path / "b.parquet")
    pd.testing.assert_series_equal(copied["score"], table["score"])
    assert list(copied["error"]) == ["", "cannot read home/x"]
    facts = read_provenance(tmp_path / "b.parquet")
    assert (facts["source"], facts["n"]) == ("elsewhere/own.csv", 3)
    assert b"home/ada" not in (tmp_path / "b.parquet").read_bytes()


def test_a_table_without_private_words_is_copied_byte_for_byte(tmp_path: Path) -> None:
    write_table(pd.DataFrame({"x": [1]}), tmp_path / "a.parquet")
    assert not HIDDEN.copy(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert (tmp_path / "b.parquet").read_bytes() == (tmp_path / "a.parquet").read_bytes()


def test_a_user_called_like_a_word_of_the_code_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.getpass, "getuser", lambda: "root")
    monkeypatch.setattr(module.socket, "gethostname", lambda: "turing.example.org")
    hidden = private(tmp_path / "code", tmp_path / "results", [], "the square root of two")
    assert hidden.without("root, turing, turing.example.org") == "root, host, host"
    assert "user" in private(tmp_path / "code", tmp_path / "results", [], "the square").without("root").split()
