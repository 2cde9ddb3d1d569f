"""The exact code, in git and without."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import naswot_ext
from naswot_ext.archive.source import changes, code_files, commit_facts, unchanged


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
    _apply(changes(repository), repository, tmp_path / "clone")


def _apply(patch: bytes | None, repository: Path, clone: Path) -> None:
    assert patch is not None
    subprocess.run(["git", "clone", "-q", repository, clone], check=True)
    subprocess.run(["git", "-C", clone, "apply", "-"], input=patch, check=True)
    assert (clone / "Snakefile").read_bytes() == (repository / "Snakefile").read_bytes()
    assert not (clone / "workflow/deleted.smk").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"diff.external": "true"},
        {"color.diff": "always", "color.ui": "always"},
        {"diff.upper.textconv": "echo"},
        {"diff.upper.command": "true"},
        {"diff.noprefix": "true", "diff.context": "0", "diff.renames": "copies"},
        {"diff.mnemonicPrefix": "true", "diff.relative": "true", "diff.wsErrorHighlight": "all"},
    ],
    ids=lambda settings: ",".join(settings),
)
def test_the_patch_and_the_facts_are_the_same_however_a_user_has_set_git(
    repository: Path, tmp_path: Path, settings: dict[str, str]
) -> None:
    (repository / ".git/info/attributes").write_text("* diff=upper\n")
    (repository / "Snakefile").write_bytes(b"two \xe9\r\n \n")  # of an old encoding, with line ends of another system
    patch, facts = changes(repository), commit_facts(repository)
    for name, value in {"log.showSignature": "true", **settings}.items():
        subprocess.run(["git", "-C", repository, "config", name, value], check=True)
    assert changes(repository) == patch
    assert commit_facts(repository) == facts
    _apply(patch, repository, tmp_path / "clone")


def test_git_is_asked_of_the_code_from_within_its_own_hooks_too(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = commit_facts(repository)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "true")
    assert commit_facts(repository) == facts
    assert changes(repository)


def test_what_git_does_not_track_in_folders_of_results_is_no_code(repository: Path) -> None:
    git = ["git", "-C", str(repository), "-c", "user.name=n", "-c", "user.email=e"]
    (repository / "out").mkdir()
    (repository / "out/README.md").touch()
    (repository / "out.py").touch()
    subprocess.run([*git, "add", "out/README.md"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "m", "out/README.md"], check=True)
    (repository / "out/table.csv").touch()
    assert "out/table.csv" in code_files(repository)
    assert "out/table.csv" in commit_facts(repository)["untracked"]
    files = [".gitignore", "Snakefile", "out.py", "out/README.md", "workflow/new.smk"]
    assert code_files(repository, ["out"]) == files
    assert commit_facts(repository, ["out"])["untracked"] == ["data.bin", "link", "out.py", "workflow/new.smk"]


def test_what_is_as_in_the_commit_is_told_from_what_is_not(repository: Path) -> None:
    assert unchanged(code_files(repository), commit_facts(repository)) == {".gitignore"}


def test_without_git_the_known_parts_are_taken_and_nothing_compiled(tmp_path: Path) -> None:
    (tmp_path / "naswot_ext/__pycache__").mkdir(parents=True)
    for name in ("Snakefile", "naswot_ext/a.py", "naswot_ext/_C.so", "naswot_ext/__pycache__/a.pyc", "own.csv"):
        (tmp_path / name).touch()
    assert code_files(tmp_path) == ["Snakefile", "naswot_ext/a.py"]
    assert commit_facts(tmp_path)["commit"] is None
    assert changes(tmp_path) is None
    assert unchanged(code_files(tmp_path), commit_facts(tmp_path)) == set()


def test_a_folder_in_another_repository_is_not_that_repository(repository: Path) -> None:
    (repository / "inside").mkdir()
    (repository / "inside/Snakefile").touch()
    assert commit_facts(repository / "inside")["commit"] is None
    assert code_files(repository / "inside") == ["Snakefile"]
