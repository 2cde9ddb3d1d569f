"""What is replaced in texts and tables, and what is left as it is."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
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
    picture = '<img src="data:image/png;base64,iVBORw0K/ada/iVB"> ada'
    assert HIDDEN.without(picture) == picture.removesuffix("ada") + "user"


def _embedded(header: str, text: str) -> str:
    return f"{header};base64,{base64.b64encode(text.encode()).decode()}"


def _decoded(page: str) -> str:
    """A page with the files in it as texts."""
    return re.sub(r";base64,([A-Za-z0-9+/=]+)", lambda match: "," + _decoded(base64.b64decode(match[1]).decode()), page)


@pytest.mark.parametrize(
    "header",
    [
        "data:text/html;charset=utf8;filename=table1.html",
        "data:text/csv;charset=utf8;filename=table1.csv",
        "data:application/json",
        "data:image/svg+xml;charset=utf8",
        "data:",
    ],
)
def test_files_inside_of_a_page_lose_private_words_too(header: str) -> None:
    page = f'{{"data_uri": "{_embedded(header, "no /home/ada/x é")}", "next": "/home/ada"}}'
    clean = HIDDEN.without(page)
    assert _decoded(clean) == f'{{"data_uri": "{header},no home/x é", "next": "home"}}'
    assert HIDDEN.is_in(page)


def test_files_inside_of_files_inside_of_a_page_lose_private_words_too() -> None:
    inner = _embedded("data:text/csv;charset=utf8", "/home/ada/x")
    assert _decoded(HIDDEN.without(_embedded("data:text/html", f"<a href='{inner}'>"))).endswith("utf8,home/x'>")


def test_names_are_replaced_in_tables_of_a_page_and_not_in_its_scripts() -> None:
    page = f"<script>ada=1</script> {_embedded('data:text/html', 'by ada')}"
    page += f" {_embedded('data:text/html', '<script>ada=2</script>')}"
    clean = _decoded(HIDDEN.without(page))
    assert clean == "<script>ada=1</script> data:text/html,by user data:text/html,<script>ada=2</script>"


def test_what_only_looks_like_an_embedded_file_is_left_as_it_is() -> None:
    assert HIDDEN.without("data:text/html;base64,abc and ;base64,") == "data:text/html;base64,abc and ;base64,"


def test_a_text_file_without_private_words_is_copied_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x\r\ny\n")
    assert not HIDDEN.copy(tmp_path / "a", tmp_path / "b/c")
    assert (tmp_path / "b/c").read_bytes() == b"x\r\ny\n"


def test_line_ends_survive_where_words_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"/home/ada\r\ny\n")
    assert HIDDEN.copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"home\r\ny\n"


def test_a_text_of_an_old_encoding_loses_private_words_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"caf\xe9 of /home/ada")
    assert HIDDEN.copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"caf\xe9 of home"


def test_a_binary_file_is_copied_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0/home/ada")
    assert not HIDDEN.copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"\0/home/ada"


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


def test_a_system_python_makes_no_folder_of_the_system_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {"stdlib": "/usr/lib/python3.13", "purelib": "/usr/local/lib/python3.13/dist-packages"}
    monkeypatch.setattr(module.sysconfig, "get_path", paths.__getitem__)
    for prefix in ("prefix", "base_prefix"):
        monkeypatch.setattr(module.sys, prefix, "/usr")
    monkeypatch.setattr(module.sys, "exec_prefix", "/usr/local")
    hidden = private(tmp_path / "code", tmp_path / "results", [], "")
    assert hidden.without("#!/usr/bin/env python, /usr/local/share/x") == "#!/usr/bin/env python, /usr/local/share/x"
    assert hidden.without("/usr/lib/python3.13/ast.py") == "python/ast.py"


def test_code_may_speak_of_folders_that_every_machine_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/root")
    hidden = private(tmp_path / "code", tmp_path / "results", [], "the square root")
    assert hidden.without("/root/x") == "home/x"
    text = f"/root/x, {tmp_path}/code/y"
    assert hidden.of_code().without(text) == "/root/x, code/source/y"


@pytest.mark.parametrize("write", [json.dumps, lambda path: json.dumps({path: ""}), lambda path: path])
def test_a_folder_is_found_however_it_is_written(tmp_path: Path, write: Callable[[str], str]) -> None:
    own = "/données/ada & co/truth.csv"
    hidden = private(tmp_path / "code", tmp_path / "results", [own], "")
    assert hidden.without(write(own)) == write("elsewhere/truth.csv")
    assert hidden.without("/données/ada &amp; co/truth.csv") == "elsewhere/truth.csv"
