"""The code that made the results: the commit, what was changed since, and every file as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping
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


# A patch that `git apply` reads, whatever a user has made `git diff` print for themselves.
_PATCH = (
    "--patch",
    "--binary",
    "--full-index",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--no-relative",
    "--unified=3",
    "--inter-hunk-context=0",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--submodule=short",
    "-O/dev/null",
    "--ws-error-highlight=none",
)
# By which git's own hooks, say, make it look elsewhere, or print something else.
_ELSEWHERE = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_DIFF_OPTS", "GIT_PREFIX"}


def code_files(root: Path, besides: Collection[str] = ()) -> list[str]:
    """The files of the code at `root`, relative and sorted: what git tracks or would add, else the known parts.

    `besides` are folders at `root`, relative, such as of results: what git does not track in them is no code.
    """
    tracked = _listed(root, "ls-files", "--cached")
    if tracked is None:
        return _outside((name for part in _PARTS for name in _files(root, part)), besides)
    untracked = set(_outside(_listed(root, "ls-files", "--others", "--exclude-standard") or [], besides))
    return sorted(name for name in {*tracked, *untracked} if _is_code(root / name, name in untracked))


def commit_facts(root: Path, besides: Collection[str] = ()) -> dict[str, Any]:
    """The version and the commit of the code, and which files differ from it or are in none.

    Keys: `version` (naswot's), `commit`, `committed` (a date), `changed`, `untracked`; all but the first are None where
    the code is not in git. `besides` as for `code_files`.
    """
    facts: dict[str, Any] = {"version": naswot_ext.__version__, "commit": _line(root, "rev-parse", "HEAD")}
    facts["committed"] = _line(root, "log", "-1", "--no-show-signature", "--no-color", "--format=%cs")
    for key, arguments in {
        "changed": ("diff", "--name-only", "--no-renames", "--no-relative", "HEAD"),
        "untracked": ("ls-files", "--others", "--exclude-standard"),
    }.items():
        listed = _listed(root, *arguments) if facts["commit"] else None
        facts[key] = None if listed is None else _outside(listed, besides if key == "untracked" else ())
    return facts


def unchanged(code: Collection[str], facts: Mapping[str, Any]) -> set[str]:
    """Which of the `code_files` are as in the commit of the `commit_facts`; none where there is no commit."""
    return set(code) - {*facts["changed"], *facts["untracked"]} if facts["commit"] else set()


def changes(root: Path) -> bytes | None:
    """What differs from the commit, as a patch; None where the code is not in git. Untracked files are not in it."""
    return _git(root, "diff", *_PATCH, "HEAD")


def _outside(names: Iterable[str], folders: Collection[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith(tuple(f"{folder}/" for folder in folders)))


def _listed(root: Path, *arguments: str) -> list[str] | None:
    printed = _git(root, arguments[0], "-z", *arguments[1:])
    return None if printed is None else sorted(filter(None, printed.decode(errors="replace").split("\0")))


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
    return printed.decode().strip() or None if printed is not None else None


def _git(root: Path, *arguments: str) -> bytes | None:
    """What git prints; None where there is no git, or `root` is not the top of a repository of its own."""
    # A folder inside somebody's repository, such as of their configs, is not that repository.
    environment = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_CEILING_DIRECTORIES": str(root.parent)}
    try:
        printed = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            env=environment,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return printed.stdout
