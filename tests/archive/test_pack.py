"""What of a run goes into its archive; the run here is a few files that no workflow made."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from naswot_ext.archive.container import unpack
from naswot_ext.archive.crate import check_crate
from naswot_ext.archive.pack import Run, pack
from naswot_ext.archive.source import commit_facts
from naswot_ext.errors import NaswotError

DOT = 'digraph snakemake_dag {\n\t0[label = "all", color = "0 0 0"];\n}\n'


def _record(script: str, inputs: list[str], output: str) -> dict[str, Any]:
    return {
        "script": script,
        "rule": script,
        "input": {"values": inputs, "names": {}},
        "output": {"values": [output], "names": {}},
        "wildcards": {},
        "params": {"values": [], "names": {}},
        "threads": 1,
        "machine": {"cpu": "c", "cores": 2, "memory_gib": 4.0},
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    results, code = tmp_path / "run/results", tmp_path / "code"
    (code / "workflow").mkdir(parents=True)
    (code / "Snakefile").write_text("rule all:\n")
    own = tmp_path / "own" / "truth.csv"
    own.parent.mkdir()
    own.write_text("1\n")
    for name, text in {
        "benchmarks/s.csv": "1\n",
        "tables/t.csv": "2\n",
        "tables/of-an-older-config.csv": "3\n",
        "logs/t.log": "fine\n",
        "logs/s.log": f"reads {own}\n",
        "timings/t.tsv": "s\n1\n",
        "scores/.part.parquet.partial": "half\n",
    }.items():
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text(text)
    records = [
        _record("ground_truth", [str(own)], "<results>/benchmarks/s.csv"),
        _record("correlation_table", ["<results>/benchmarks/s.csv"], "<results>/tables/t.csv"),
    ]
    for record in records:
        path = results / "jobs" / (record["output"]["values"][0].removeprefix("<results>/") + ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))
    config = tmp_path / "run/config.yaml"
    config.write_text(f"path: {own}\n")
    outputs = "output_file\tdate\trule\tlog-file(s)\tstatus\tplan\n"
    outputs += f"{results}/benchmarks/s.csv\t-\tground_truth\t{results}/logs/s.log\tok\tno update\n"
    outputs += f"{results}/tables/t.csv\t-\tcorrelation_table\t{results}/logs/t.log\tok\tno update\n"
    outputs += f"{results}/archive/naswot.tar.zst\t-\tarchive\t-\tmissing\tupdate pending\n"
    return Run(results, code, {"results": str(results), "path": str(own)}, [str(config)], outputs, DOT)


@pytest.fixture
def content(run: Run, tmp_path: Path) -> Path:
    pack(run, tmp_path / "a.tar.zst")
    return unpack(tmp_path / "a.tar.zst", tmp_path / "unpacked")


def test_results_are_those_of_the_run_and_not_what_else_lies_beside_them(content: Path) -> None:
    found = {path.relative_to(content / "results").as_posix() for path in (content / "results").rglob("*.*")}
    assert found == {
        "benchmarks/s.csv",
        "tables/t.csv",
        "logs/t.log",
        "timings/t.tsv",
        "jobs/benchmarks/s.csv.json",
        "jobs/tables/t.csv.json",
    }


def test_files_that_were_read_stand_with_their_digest_and_without_their_folder(content: Path) -> None:
    (source,) = json.loads((content / "sources.json").read_text())
    digest = hashlib.sha256(b"1\n").hexdigest()
    assert source == {
        "file": "truth.csv",
        "sha256": digest,
        "bytes": 2,
        "read_for": ["<results>/benchmarks/s.csv"],
    }
    for name in ("config/given-1-config.yaml", "config/resolved.yaml"):
        assert "path: elsewhere/truth.csv\n" in (content / name).read_text()
    assert "elsewhere/truth.csv" in (content / "results/jobs/benchmarks/s.csv.json").read_text()


def test_machines_are_counted_and_not_named(content: Path) -> None:
    machines = json.loads((content / "environment/machines.json").read_text())
    assert machines["made_on"] == [{"cpu": "c", "cores": 2, "memory_gib": 4.0, "jobs": 2}]
    assert set(machines["archived_on"]) <= {"cpu", "instructions", "cores", "memory_gib", "gpu"}


def test_the_same_run_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    pack(run, tmp_path / "a.tar.zst")
    pack(run, tmp_path / "b.tar.zst")
    assert (tmp_path / "a.tar.zst").read_bytes() == (tmp_path / "b.tar.zst").read_bytes()


def test_a_result_that_is_missing_is_an_error(run: Run, tmp_path: Path) -> None:
    (run.results / "tables/t.csv").unlink()
    with pytest.raises(NaswotError, match=r"tables/t\.csv has not been made"):
        pack(run, tmp_path / "a.tar.zst")
    assert not (tmp_path / "a.tar.zst").exists()


def test_a_table_without_a_record_is_an_error_that_names_the_rule_to_run(run: Run, tmp_path: Path) -> None:
    (run.results / "jobs/tables/t.csv.json").unlink()
    with pytest.raises(NaswotError, match=r"snakemake archive --forcerun correlation_table$"):
        pack(run, tmp_path / "a.tar.zst")


def test_what_was_measured_before_jobs_were_recorded_needs_no_record(run: Run, tmp_path: Path) -> None:
    (run.results / "jobs/benchmarks/s.csv.json").unlink()
    pack(run, tmp_path / "a.tar.zst")
    folder = unpack(tmp_path / "a.tar.zst", tmp_path / "unpacked")
    record = json.loads((folder / "results/jobs/benchmarks/s.csv.json").read_text())
    assert record["output"]["values"] == ["<results>/benchmarks/s.csv"]


def _embedded(name: str, text: str) -> str:
    return f"data:text/html;charset=utf8;filename={name};base64,{base64.b64encode(text.encode()).decode()}"


def _words_in(content: bytes) -> bytes:
    """A file and the files that are embedded in it, one after the other."""
    inner = re.findall(rb";base64,([A-Za-z0-9+/=]+)", content)
    return content + b"".join(_words_in(base64.b64decode(each)) for each in inner)


@pytest.fixture
def of_lovelace(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run by someone with a name, in a checkout with changes, with results in it that git does not ignore."""
    monkeypatch.setenv("HOME", "/home/lovelace")
    monkeypatch.setattr("getpass.getuser", lambda: "lovelace")
    proxies = tmp_path / "own" / "my_proxies.py"
    proxies.write_text("# of /home/lovelace\ndef depth(network, batch): return 1.0\n")
    code, results = run.code, run.code / "out"
    (code / "config").mkdir()
    (code / "config/config.yaml").write_text("batch_size: 4\n")
    (code / "tests").mkdir()
    (code / "tests/test_x.py").write_text("USER = 'lovelace'\n")
    (code / "workflow/facts.py").write_text('#!/usr/bin/env python\nROOT = "/root/"  # the square root\n')
    git = ["git", "-C", str(code), "-c", "user.name=n", "-c", "user.email=e"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run([*git, *arguments], check=True)
    shutil.move(run.results, results)
    (results / "report.html").write_text(
        f"<script>lovelace=1</script>{_embedded('t.html', 'no /scratch/lovelace/downloads/x, says lovelace')}"
    )
    (code / "config/config.yaml").write_text("batch_size: 4\ndownloads: /scratch/lovelace/downloads\n")
    (code / "config/lovelace.yaml").write_text(f"#!/usr/bin/env\n/root/ {run.config['path']}\n")
    config = {
        **run.config,
        "results": str(results),
        "downloads": "/scratch/lovelace/downloads",
        "proxies": [f"{proxies}:depth", "naswot"],
        "note": "a long text that would be folded into two lines of YAML, with a path: /home/lovelace/my own folder/x",
    }
    record = json.loads((results / "jobs/benchmarks/s.csv.json").read_text())
    record["params"] = {"values": [{"proxy": f"{proxies}:depth"}], "names": {}}
    (results / "jobs/benchmarks/s.csv.json").write_text(json.dumps(record))
    outputs = run.outputs.replace(str(run.results), str(results))
    outputs += f"{results}/report.html\t-\treport\t-\tok\tno update\n"
    record = _record("report", [], "<results>/report.html")
    (results / "jobs/report.html.json").write_text(json.dumps(record))
    own = tmp_path / "run/lovelace.yaml"
    own.write_text("downloads: /scratch/lovelace/downloads\n")
    return Run(results, code, config, [str(own)], outputs, DOT)


@pytest.fixture
def of_lovelace_content(of_lovelace: Run, tmp_path: Path) -> Path:
    pack(of_lovelace, tmp_path / "a.tar.zst")
    return unpack(tmp_path / "a.tar.zst", tmp_path / "unpacked")


def test_nobodys_name_is_in_any_file_nor_in_those_within_it_nor_in_the_name_of_one(of_lovelace_content: Path) -> None:
    files = [path for path in of_lovelace_content.rglob("*") if path.is_file()]
    words = b"<script>lovelace=1</script>"  # a script's own
    found = [path.name for path in files if b"lovelace" in _words_in(path.read_bytes()).replace(words, b"")]
    assert found == ["test_x.py"]  # committed
    assert not [path for path in files if "lovelace" in path.name]
    page = _words_in((of_lovelace_content / "results/report.html").read_bytes())
    assert page.endswith(b"no elsewhere/downloads/x, says user")


def test_committed_code_is_archived_byte_for_byte_and_what_is_rewritten_of_other_code_is_told(
    of_lovelace: Run, of_lovelace_content: Path, tmp_path: Path
) -> None:
    code = of_lovelace_content / "code"
    for name in ("workflow/facts.py", "tests/test_x.py", "Snakefile"):
        assert (code / "source" / name).read_bytes() == (of_lovelace.code / name).read_bytes()
    facts = json.loads((code / "commit.json").read_text())
    assert facts["changed"] == ["config/config.yaml"]
    assert facts["untracked"] == ["config/user.yaml"]
    assert facts["rewritten"] == ["config/config.yaml", "config/user.yaml"]
    assert (code / "source/config/config.yaml").read_text() == "batch_size: 4\ndownloads: elsewhere/downloads\n"
    assert (code / "source/config/user.yaml").read_text() == "#!/usr/bin/env\n/root/ elsewhere/truth.csv\n"
    rewritten = json.loads((of_lovelace_content / "rewritten.json").read_text())
    assert {"code/source/config/config.yaml", "code/proxies/1-my_proxies.py", "results/report.html"} <= set(rewritten)
    # The patch still turns the commit into what is archived.
    subprocess.run(["git", "clone", "-q", of_lovelace.code, tmp_path / "clone"], check=True)
    subprocess.run(["git", "-C", tmp_path / "clone", "apply", code / "changes.diff"], check=True)
    for name in facts["changed"]:
        assert (tmp_path / "clone" / name).read_bytes() == (code / "source" / name).read_bytes()


def test_nothing_is_said_to_be_rewritten_where_nothing_is(run: Run, tmp_path: Path) -> None:
    pack(run, tmp_path / "a.tar.zst")
    facts = json.loads((unpack(tmp_path / "a.tar.zst", tmp_path / "unpacked") / "code/commit.json").read_text())
    assert facts == commit_facts(run.code)


def test_results_inside_of_the_checkout_are_no_code(of_lovelace_content: Path) -> None:
    found = {
        path.relative_to(of_lovelace_content / "code/source").as_posix()
        for path in (of_lovelace_content / "code/source").rglob("*")
        if path.is_file()
    }
    assert found == {"Snakefile", "config/config.yaml", "config/user.yaml", "tests/test_x.py", "workflow/facts.py"}
    assert (of_lovelace_content / "results/tables/t.csv").is_file()


def test_a_file_of_proxies_outside_of_the_checkout_is_archived_with_its_digest(
    of_lovelace_content: Path, tmp_path: Path
) -> None:
    entries = json.loads((of_lovelace_content / "sources.json").read_text())
    (entry,) = [entry for entry in entries if entry["file"] == "my_proxies.py"]
    original = (tmp_path / "own/my_proxies.py").read_bytes()
    assert entry == {
        "file": "my_proxies.py",
        "sha256": hashlib.sha256(original).hexdigest(),
        "bytes": len(original),
        "archived_as": "code/proxies/1-my_proxies.py",
        "rewritten": True,
        "read_for": ["<results>/benchmarks/s.csv"],
    }
    archived = of_lovelace_content / "code/proxies/1-my_proxies.py"
    assert archived.read_bytes() == original.replace(b"/home/lovelace", b"home")


def test_every_file_of_an_archive_is_described(of_lovelace_content: Path) -> None:
    assert check_crate(of_lovelace_content) == []
