"""The exact code, in git and without."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import naswot_ext
from naswot_ext.archive.source import changes, code_files, commit_facts


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "workflow").mkdir(parents=True)
    (root / "Snakefile").write_text("one\n")
    (root / "workflow/deleted.smk").write_text("x\n")
    (root / ".gitignore").write_text("results/\n")
    git = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "m"], check=True)
    (root / "Snakefile").write_text("two\n")
    (root / "workflow/deleted.smk").unlink()
    (root / "workflow/new.smk").write_text("new\n")
    (root / "data.bin").write_bytes(bytes(6 * 2**20))
    (root / "link").symlink_to("Snakefile")
    (root / "results").mkdir()
    (root / "results/x").write_text("x\n")
    return root


def test_files_are_those_of_the_working_tree_but_for_ignored_deleted_large_untracked_and_links(
    repository: Path,
) -> None:
    assert code_files(repository) == [".gitignore", "Snakefile", "workflow/new.smk"]


def test_the_commit_and_what_differs_from_it_are_told(repository: Path) -> None:
    facts = commit_facts(repository)
    assert facts["version"] == naswot_ext.__version__
    assert len(facts["commit"]) == 40
    assert facts["changed"] == ["Snakefile", "workflow/deleted.smk"]
    assert facts["untracked"] == ["data.bin", "link", "workflow/new.smk"]


def test_the_patch_turns_the_commit_into_the_working_tree(repository: Path, tmp_path: Path) -> None:
    patch = changes(repository)
    assert patch is not None
    subprocess.run(["git", "clone", "-q", repository, tmp_path / "clone"], check=True)
    subprocess.run(["git", "-C", tmp_path / "clone", "apply", "-"], input=patch, text=True, check=True)
    assert (tmp_path / "clone/Snakefile").read_text() == "two\n"
    assert not (tmp_path / "clone/workflow/deleted.smk").exists()


def test_without_git_the_known_parts_are_taken_and_nothing_compiled(tmp_path: Path) -> None:
    (tmp_path / "naswot_ext/__pycache__").mkdir(parents=True)
    for name in ("Snakefile", "naswot_ext/a.py", "naswot_ext/_C.so", "naswot_ext/__pycache__/a.pyc", "own.csv"):
        (tmp_path / name).touch()
    assert code_files(tmp_path) == ["Snakefile", "naswot_ext/a.py"]
    assert commit_facts(tmp_path)["commit"] is None
    assert changes(tmp_path) is None


def test_a_folder_in_another_repository_is_not_that_repository(repository: Path) -> None:
    (repository / "inside").mkdir()
    (repository / "inside/Snakefile").touch()
    assert commit_facts(repository / "inside")["commit"] is None
    assert code_files(repository / "inside") == ["Snakefile"]
