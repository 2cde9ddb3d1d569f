"""Installed packages, and the hashes of their wheels."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from naswot_ext.archive.environment import freeze, lock_text, packages, read_lock
from tests.conftest import REPOSITORY


def test_a_lock_file_is_read_with_all_hashes_of_a_version(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(
        "# comment\nNum_Py==1.0 \\\n    --hash=sha256:bb \\\n    --hash=sha256:aa\nx==2 ; python_version > '3' \\\n"
        "    --hash=sha256:cc\n"
    )
    assert read_lock(tmp_path / "lock") == {("num-py", "1.0"): ["sha256:aa", "sha256:bb"], ("x", "2"): ["sha256:cc"]}


def test_every_installed_package_is_listed_once_without_a_path() -> None:
    found = packages(REPOSITORY / "requirements.lock")
    lines = freeze(found).splitlines()
    assert f"numpy=={importlib.metadata.version('numpy')}" in lines
    assert len({line.lower() for line in lines}) == len(lines)
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", line) for line in lines)
    assert not any(line.startswith("naswot==") for line in lines)


def test_hashes_are_those_of_the_installed_version_alone(tmp_path: Path) -> None:
    version = importlib.metadata.version("numpy")
    (tmp_path / "lock").write_text(f"numpy=={version} --hash=sha256:aa\nscipy==0.0.1 --hash=sha256:bb\n")
    found = {package["name"]: package for package in packages(tmp_path / "lock")}
    assert found["numpy"]["hashes"] == ["sha256:aa"]
    assert found["scipy"]["hashes"] == []
    assert found["scipy"]["hashes_from"] == "unknown: no index was asked"
    assert len(found["scipy"]["record_sha256"]) == 64
    text = lock_text(list(found.values()))
    assert f"numpy=={version} \\\n    --hash=sha256:aa\n" in text
    assert f"# scipy=={importlib.metadata.version('scipy')}: hash unknown" in text


def test_the_lock_of_the_repository_has_hashes_for_all_that_requirements_pin() -> None:
    pinned = re.findall(r"^([\w.-]+)==([^\s;]+)", (REPOSITORY / "requirements.txt").read_text(), re.MULTILINE)
    locked = read_lock(REPOSITORY / "requirements.lock")
    names = {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in pinned}
    assert {pair for pair in names if not locked.get(pair)} == set()
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for hashes in locked.values() for each in hashes)
