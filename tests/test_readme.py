"""The README holds what it promises."""

from __future__ import annotations

import re

import naswot_ext
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()


def test_every_file_that_it_names_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert {"docs/naswot.png", "LICENSE", "CONTRIBUTING.md"} <= set(links)
    for link in links:
        assert (REPOSITORY / link).is_file(), link


def test_nothing_in_it_waits_to_be_filled_in() -> None:
    assert "@@" not in README


def test_what_it_calls_in_python_is_there_and_listed() -> None:
    for name in re.findall(r"naswot_ext\.(\w+)", README):
        if not (REPOSITORY / "naswot_ext" / name).exists():
            assert callable(getattr(naswot_ext, name)), name
            assert name in dir(naswot_ext)
