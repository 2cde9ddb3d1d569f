"""The README holds what it promises."""

from __future__ import annotations

import re
import shlex

import pytest
from snakemake.cli import get_argument_parser, parse_config

import naswot_ext
from naswot_ext.papers.items import ITEMS
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()


def test_every_file_that_it_names_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert {"docs/naswot.png", "LICENSE", "CONTRIBUTING.md"} <= set(links)
    for link in links:
        assert (REPOSITORY / link).is_file(), link


def test_nothing_in_it_waits_to_be_filled_in() -> None:
    assert "@@" not in README


def _commands() -> list[str]:
    """What the README and the configs' headers tell to type, without its comments."""
    texts = [README, *(file.read_text() for file in (REPOSITORY / "config").glob("*.yaml"))]
    found = re.findall(r"^(?:#   |\| .* \| `)?(snakemake [^#`\n]+)", "\n".join(texts), re.MULTILINE)
    return sorted({" ".join(command.split()) for command in found})


@pytest.mark.parametrize("command", _commands())
def test_a_command_is_read_by_snakemake_as_it_is_meant(command: str) -> None:
    arguments = get_argument_parser().parse_args(shlex.split(command)[1:])
    # What stands behind `--config` or `--configfile` is read as one more of these.
    parse_config(arguments.config)
    for file in arguments.configfile or []:
        assert (REPOSITORY / file).is_file(), file
    assert set(arguments.targets) <= {"archive", *(item.target for item in ITEMS)}


def test_the_commands_are_found() -> None:
    assert len(_commands()) > 10
    assert any("icml2021_table2a" in command for command in _commands())


def test_what_it_calls_in_python_is_there_and_listed() -> None:
    for name in re.findall(r"naswot_ext\.(\w+)", README):
        if not (REPOSITORY / "naswot_ext" / name).exists():
            assert callable(getattr(naswot_ext, name)), name
            assert name in dir(naswot_ext)
