"""A fingerprint changes with the code that a rule reaches, and with nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture
def package(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / "naswot_ext", tmp_path / "naswot_ext", ignore=shutil.ignore_patterns("*.so"))
    return tmp_path / "naswot_ext"


def fingerprint(package: Path, *modules: str) -> str:
    program = f"import sys; from naswot_ext.fingerprint import fingerprint; print(fingerprint(*{modules!r})); "
    program += "assert 'torch' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", program], cwd=package.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


SCORING = ("naswot_ext.scoring", "naswot_ext.proxies.naswot")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("scoring.py", 'derive(self._seed, "initialisation", index)', 'derive(self._seed, "init", index)'),
        ("seeds.py", ">> 1", ">> 2"),
        ("proxies/naswot.py", "x.units)", "x.units + 0)"),
        ("_build.json", '"source_fingerprint": "', '"source_fingerprint": "0'),
    ],
)
def test_a_change_of_reached_code_changes_it(package: Path, file: str, old: str, new: str) -> None:
    before = fingerprint(package, *SCORING)
    edit(package / file, old, new)
    assert fingerprint(package, *SCORING) != before


def test_a_changed_style_changes_that_of_figures(package: Path) -> None:
    before = fingerprint(package, "naswot_ext.figures")
    edit(package / "figures.mplstyle", "font.size", "# font.size")
    assert fingerprint(package, "naswot_ext.figures") != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("scoring.py", '"""The engine:', '"""Another docstring:'),
        ("scoring.py", "# Whatever one network", "# A comment: whatever one network"),
        ("proxies/params.py", "float(sum(", "float(0 + sum("),
        ("errors.py", "cutoff=0.5", "cutoff=0.6"),
        ("tables.py", "import", "import  "),
        ("figures.mplstyle", "font.size", "font.size "),
    ],
)
def test_a_comment_a_docstring_and_code_out_of_reach_do_not(package: Path, file: str, old: str, new: str) -> None:
    before = fingerprint(package, *SCORING)
    edit(package / file, old, new)
    assert fingerprint(package, *SCORING) == before
