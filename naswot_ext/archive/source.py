"""The code that made the results: the commit, what was changed since, and every file as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import naswot_ext

# What a checkout without git consists of.
_PARTS = (
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "Snakefile",
    "config",
    "csrc",
    "naswot_ext",
    "profiles",
    "pyproject.toml",
    "requirements.lock",
    "requirements.txt",
    "setup.py",
    "tests",
    "workflow",
)
_MADE = shutil.ignore_patterns("__pycache__", "*.so", "*.pyc")
# Larger files that git does not know are data, not code.
_LARGEST_UNTRACKED = 5 * 2**20


def code_files(root: Path) -> list[str]:
    """The files of the code at `root`, relative and sorted: what git tracks or would add, else the known parts."""
    listed = _git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    if listed is None:
        return sorted(name for part in _PARTS for name in _files(root, part))
    untracked = set((_git(root, "ls-files", "--others", "--exclude-standard", "-z") or "").split("\0"))
    return sorted(name for name in set(listed.split("\0")) if name and _is_code(root / name, name in untracked))


def commit_facts(root: Path) -> dict[str, Any]:
    """The version and the commit of the code, and which files differ from it or are in none.

    Keys: `version` (naswot's), `commit`, `committed` (a date), `changed`, `untracked`; all but the first are None where
    the code is not in git.
    """
    facts: dict[str, Any] = {"version": naswot_ext.__version__, "commit": _line(root, "rev-parse", "HEAD")}
    facts["committed"] = _line(root, "log", "-1", "--format=%cs")
    for key, arguments in {
        "changed": ("diff", "--name-only", "-z", "HEAD"),
        "untracked": ("ls-files", "--others", "--exclude-standard", "-z"),
    }.items():
        listed = _git(root, *arguments) if facts["commit"] else None
        facts[key] = None if listed is None else sorted(filter(None, listed.split("\0")))
    return facts


def changes(root: Path) -> str | None:
    """What differs from the commit, as a patch; None where the code is not in git. Untracked files are not in it."""
    return _git(root, "diff", "--binary", "HEAD")


def _is_code(path: Path, untracked: bool) -> bool:
    if path.is_symlink() or not path.is_file():  # a link, or deleted
        return False
    return not untracked or path.stat().st_size <= _LARGEST_UNTRACKED


def _files(root: Path, part: str) -> list[str]:
    if (root / part).is_file():
        return [part]
    found = []
    for folder, folders, names in os.walk(root / part):
        left_out = _MADE(folder, [*folders, *names])
        folders[:] = [name for name in folders if name not in left_out]
        paths = [Path(folder, name) for name in names if name not in left_out]
        found += [path.relative_to(root).as_posix() for path in paths if not path.is_symlink()]
    return found


def _line(root: Path, *arguments: str) -> str | None:
    printed = _git(root, *arguments)
    return printed.strip() or None if printed is not None else None


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where there is no git, or `root` is not the top of a repository of its own."""
    command = ["git", "-C", str(root)]
    # A folder inside somebody's repository, such as of their configs, is not that repository.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "GIT_CEILING_DIRECTORIES": str(root.parent)}
    try:
        printed = subprocess.run(
            [*command, *arguments], capture_output=True, env=environment, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return printed.stdout.decode(errors="replace")
