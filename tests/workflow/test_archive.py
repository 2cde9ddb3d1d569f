"""`snakemake archive` and `naswot verify`: a whole archive passes anywhere, a changed one fails with the right line."""

from __future__ import annotations

import getpass
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from rocrate.rocrate import ROCrate

from naswot_ext.archive.container import check_manifest, compress, unpack, write_manifest
from naswot_ext.archive.crate import write_crate
from naswot_ext.archive.verify import verify
from tests.conftest import REPOSITORY
from tests.workflow.conftest import Project

SCORES = "results/scores/nasbench201/noise"
Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def archived(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished project with its archive, of a user with a name and a home of their own."""
    folder = tmp_path_factory.mktemp("archived") / "project"
    shutil.copytree(finished.folder, folder)
    project = Project(folder, finished.checkout)
    home = tmp_path_factory.mktemp("home-of-lovelace")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"HOME": str(home), "USER": "lovelace", "LOGNAME": "lovelace"}.items():
            patch.setenv(name, value)
        # A private path in the config, of which nothing but the report is made again.
        project.config["downloads"] = str(home / "downloads")
        project.run("archive")
    return project


@pytest.fixture(scope="module")
def archive(archived: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive in another folder than it was made in, which is gone from where it was."""
    copy = tmp_path_factory.mktemp("elsewhere") / "fetched.tar.zst"
    shutil.copy(archived.folder / "results/archive/naswot.tar.zst", copy)
    return copy


@pytest.fixture(scope="module")
def content(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the archive. For reading only."""
    return unpack(archive, tmp_path_factory.mktemp("content"))


@pytest.fixture
def changed(content: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """What verifying an archive prints whose content was changed, with or without a manifest and description of it."""

    def check(change: Change, consistent: bool, sample: int = 0, until: str = "") -> list[str]:
        folder = tmp_path / "changed"
        shutil.copytree(content, folder)
        change(folder)
        if consistent:
            write_crate(folder, {"version": "0.1.0", "date": "2026-11-23", "commit": None}, [])
            write_manifest(folder)
        compress(folder, tmp_path / "changed.tar.zst")
        checks = verify(str(tmp_path / "changed.tar.zst"), sample=sample, workers=2, seed=0)
        if until:  # later checks take seconds
            checks = itertools.takewhile(lambda check: not check.text.startswith(until), checks)
        return [str(check) for check in checks if check.holds is False]

    return check


def test_a_whole_archive_passes_with_a_line_a_check(archive: Path, tmp_path: Path, archived: Project) -> None:
    command = [sys.executable, "-m", "naswot_ext", "verify", str(archive), "--sample", "3", "--jobs", "2"]
    settings = os.environ | {"PYTHONPATH": str(archived.checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith(("ok ", "note")) for line in lines)
    for what in (
        "manifest",
        "ro-crate",
        "code",
        "report",
        "job records",
        "made again by search_table",
        "made again by correlation",
    ):
        assert sum(line[5:].startswith(f"{what}:") for line in lines) == 1, what
    assert lines[-1] == (
        "ok   scored again, scores/nasbench201/noise: 3 scores, relative difference at most 0.0e+00 of 0e+00 allowed "
        "(as on this kind of machine)"
    )


def test_every_table_that_jobs_computed_is_made_again(content: Path) -> None:
    from naswot_ext.archive.pack import read_records
    from naswot_ext.archive.replay import compared

    records = read_records(content / "results").values()
    again = {path for record in records if record["script"] not in ("score", "batch") for path in compared(record)}
    for name in ("tables/searches.csv", "tables/correlations.md", "tables/proxies_tests.html"):
        assert f"<results>/{name}" in again
    for folder in ("correlations", "searches", "comparisons"):
        files = {p.relative_to(content).as_posix() for p in (content / "results" / folder).rglob("*.parquet")}
        assert files
        assert {f"<{name.replace('/', '>/', 1)}" for name in files} <= again


def test_the_archive_holds_what_results_were_made_from(content: Path, archived: Project) -> None:
    for name in (
        "README.md",
        "results/report.html",
        "results/tables/searches.csv",
        "results/figures/nasbench201/noise/naswot.pdf",
        "results/batches/noise/size-4/seed-0.npz",
        "results/benchmarks/nasbench201.parquet",
        f"{SCORES}/naswot/seed-0.parquet",
        "results/logs/tables/searches.log",
        "results/timings/tables/searches.tsv",
        "config/resolved.yaml",
        "config/given-1-config.yaml",
        "code/source/Snakefile",
        "code/source/naswot_ext/scoring.py",
        "code/source/workflow/resources/published.csv",
        "environment/requirements.lock",
        "workflow/rulegraph.png",
    ):
        assert (content / name).is_file(), name
    assert not list((content / "results").rglob("*.tar.zst"))
    assert yaml.safe_load((content / "config/resolved.yaml").read_text())["batch_size"] == archived.config["batch_size"]
    machines = json.loads((content / "environment/machines.json").read_text())
    assert machines["made_on"][0]["cores"] == os.cpu_count()
    assert check_manifest(content) == []


def test_the_description_is_read_by_the_package_of_its_format(content: Path) -> None:
    crate = ROCrate(content)
    assert crate.mainEntity.id == "code/source/Snakefile"
    table = crate.get("results/tables/searches.csv")
    assert table["encodingFormat"] == "text/csv"
    action = crate.get("#results/tables/searches.csv")
    assert "results/searches/nasbench201/noise/random.parquet" in {used.id for used in action["object"]}


def test_no_private_path_or_name_is_in_the_archive(content: Path, archived: Project) -> None:
    private = [
        str(archived.folder),
        str(archived.checkout),
        str(REPOSITORY),
        "lovelace",
        str(archived.folder.parents[1]),
    ]
    # Short names are syllables of others; as words of their own, they are looked for outside of the code.
    names = [name for name in (socket.gethostname(), getpass.getuser()) if name != "root"]
    for path in content.rglob("*"):
        if path.is_file():
            found = path.read_bytes()
            where = path.relative_to(content).as_posix()
            assert not [word for word in private if word.encode() in found], where
            if not where.startswith(("code/", "results/report.html")) and b"\0" not in found:
                words = re.findall(r"[\w.-]+", found.decode())
                assert not set(names) & set(words), where
    assert "downloads: elsewhere/downloads" in (content / "config/resolved.yaml").read_text()


def test_the_same_results_give_the_same_bytes(archived: Project) -> None:
    file = archived.folder / "results/archive/naswot.tar.zst"
    before = file.read_bytes()
    archived.run("archive", "--forcerun", "archive")
    # What Snakemake measured of the job is not part of it, so that nothing differs from run to run.
    assert file.read_bytes() == before


def test_a_flipped_byte_fails_the_manifest(changed: Callable[..., list[str]]) -> None:
    def flip(folder: Path) -> None:
        content = bytearray((folder / "results/figures/proxies.png").read_bytes())
        content[100] ^= 1
        (folder / "results/figures/proxies.png").write_bytes(content)

    lines = changed(flip, consistent=False, until="ro-crate")
    assert lines == ["FAIL manifest: results/figures/proxies.png has another SHA-256 than MANIFEST.sha256 says"]


def test_a_missing_file_fails_the_manifest_and_whatever_was_made_from_it(changed: Callable[..., list[str]]) -> None:
    lines = changed(lambda folder: (folder / "results/benchmarks/nasbench201.parquet").unlink(), consistent=False)
    assert "FAIL manifest: results/benchmarks/nasbench201.parquet is missing" in lines
    assert any(line.startswith("FAIL made again by correlation: results/correlations/nasbench201/") for line in lines)


def _another_score(file: str) -> Change:
    """Doubles the first score of a table, and nothing else."""

    def change(folder: Path) -> None:
        table = pq.read_table(folder / file)
        position = table.column_names.index("score")
        scores = table.column(position).to_pylist()
        scores[0] *= 2.0
        pq.write_table(table.set_column(position, table.schema[position], [scores]), folder / file)

    return change


def test_a_changed_score_fails_what_makes_it_again_from_shards_and_scoring_again(
    changed: Callable[..., list[str]],
) -> None:
    file = f"{SCORES}/params/seed-0.parquet"
    lines = changed(_another_score(file), consistent=True, sample=100)
    gathered, *_ = [line for line in lines if line.startswith("FAIL made again by gather_scores")]
    assert re.match(rf"FAIL made again by gather_scores: {file} made again differs: row 0, column score: ", gathered)
    scored = lines[-1]
    assert re.match(rf"FAIL scored again, scores/nasbench201/noise: .*{file[8:]}, architecture \d+: score is ", scored)


def test_a_changed_cell_of_a_table_fails_with_its_line(changed: Callable[..., list[str]]) -> None:
    def change(folder: Path) -> None:
        table = folder / "results/tables/searches.csv"
        table.write_text(re.sub(r"\d(?=\.\d)", lambda digit: str((int(digit[0]) + 1) % 10), table.read_text(), count=1))

    shown, line = changed(change, consistent=True)
    assert shown == "FAIL report: it shows another results/tables/searches.csv than the archive holds"
    assert line.startswith("FAIL made again by search_table: results/tables/searches.csv made again differs: line 2, ")


def test_a_result_that_no_job_made_fails(changed: Callable[..., list[str]]) -> None:
    def change(folder: Path) -> None:
        (folder / "results/tables/new.csv").write_text("a\n")

    assert changed(change, consistent=True, until="made again") == [
        "FAIL job records: no job record says how results/tables/new.csv was made",
    ]


def test_a_record_that_points_out_of_the_archive_is_refused(changed: Callable[..., list[str]]) -> None:
    def change(folder: Path) -> None:
        record = folder / "results/jobs/tables/searches.csv.json"
        record.write_text(record.read_text().replace("<results>/tables/searches.md", "<results>/../../searches.md"))

    assert any("is in no folder of the archive. Do not trust it." in line for line in changed(change, consistent=True))
