"""The rules' scripts read what the rules give them: what does not show in a run of one seed with ground truth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from naswot_ext.papers.cells import read_cells
from naswot_ext.provenance import read_provenance, read_table, write_table
from tests.conftest import REPOSITORY

_RUN = """
import json, runpy, sys
from types import SimpleNamespace as Names
job = json.loads(sys.argv[2])
class Files(dict):
    __getattr__ = dict.__getitem__
params, files = Names(**job["params"]), Files(job["input"])
folder = sys.argv[1].rpartition("/")[0]
snakemake = Names(params=params, input=files, output=Files(job["output"]), log=[job["log"]])
snakemake.scriptdir, snakemake.config = folder, {"results": "results"}
snakemake.output.__class__.__getitem__ = lambda self, key: dict.get(self, key) or list(self.values())[key]
sys.path.insert(0, folder)
runpy.run_path(sys.argv[1], {"snakemake": snakemake})
"""


def run(script: str, tmp_path: Path, output: dict[str, str], files: dict[str, Any], **params: Any) -> pd.DataFrame:
    """The cells that a script writes, run as Snakemake runs it."""
    execute(script, tmp_path, output, files, **params)
    return read_cells(tmp_path / output["csv"])


def execute(script: str, tmp_path: Path, output: dict[str, str], files: dict[str, Any], **params: Any) -> None:
    """Run a script as Snakemake runs it."""
    output = {form: str(tmp_path / name) for form, name in output.items()}
    job = {"params": params, "input": files, "output": output, "log": str(tmp_path / "log")}
    file = REPOSITORY / "workflow" / "scripts" / f"{script}.py"
    command = [sys.executable, "-c", _RUN, str(file), json.dumps(job)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr


def scores(path: Path, values: dict[int, float]) -> str:
    rows = pd.DataFrame({"arch_index": list(values), "score": list(values.values()), "status": "ok"})
    write_table(rows, path)
    return str(path)


def test_the_rank_of_the_claim_is_over_all_seeds_with_the_network_that_no_sample_holds(tmp_path: Path) -> None:
    # Network 2 is the smallest above 90 %: third by the first seed, first by the second.
    truth = pd.DataFrame({"arch_index": range(4), "arch": list("abcd"), "params": [4, 3, 1, 2]})
    truth = truth.assign(dataset="cifar10", epochs=200, valid_accuracy=[92.0, 91.0, 90.5, 80.0], test_accuracy=90.0)
    write_table(truth, tmp_path / "truth.parquet")
    files = {
        "truth": [str(tmp_path / "truth.parquet")],
        "scores": [scores(tmp_path / f"s{seed}.parquet", {0: 5.0, 1: 4.0, 3: 1.0}) for seed in range(2)],
        "claimed": [scores(tmp_path / f"c{seed}.parquet", {2: score}) for seed, score in enumerate((3.0, 9.0))],
    }
    output = {"csv": "t.csv", "markdown": "t.md", "tex": "t.tex", "html": "t.html"}
    told = {"missing": [], "heading": "Claim", "note": "", "official": "NATS-tss.tar", "images": 256, "remark": ""}
    cells = run("paper_claim", tmp_path, output, files, **told).set_index("method")
    assert cells.loc["NASWOT-Jacobian", "runs"] == 2
    assert cells.loc["NASWOT-Jacobian", "measured"] == 2.0
    assert "each among all 3 others" in cells.loc["NASWOT-Jacobian", "reason"]
    # On other images than the paper's, or another ground truth, neither is the published rank.
    cells = run("paper_claim", tmp_path, output, files, **{**told, "images": 64}).set_index("method")
    assert "64 images a network, the paper 256" in cells.loc["NASWOT-Jacobian", "reason"]
    cells = run("paper_claim", tmp_path, output, files, **{**told, "remark": "a table of ours"}).set_index("method")
    assert cells["reason"].str.contains("a table of ours").all()


def test_a_claim_whose_networks_the_ground_truth_cannot_name_ends_with_cells_that_say_why(tmp_path: Path) -> None:
    truth = pd.DataFrame({"arch_index": range(2), "arch": list("ab"), "params": -1, "dataset": "cifar10", "epochs": 0})
    write_table(truth.assign(valid_accuracy=float("nan"), test_accuracy=[94.0, 93.0]), tmp_path / "truth.parquet")
    known = str(tmp_path / "truth.parquet")
    execute("claimed_score", tmp_path, {"scores": "c.parquet"}, {"truth": known})
    why = "the ground truth of nasbench201 has no cifar10 validation accuracy"
    assert read_provenance(tmp_path / "c.parquet")["missing"] == why
    assert why in (tmp_path / "log").read_text()
    assert len(read_table(tmp_path / "c.parquet")) == 0
    sample = scores(tmp_path / "s.parquet", {0: 5.0, 1: 4.0})
    files = {"truth": [known], "scores": [sample], "claimed": [str(tmp_path / "c.parquet")]}
    output = {"csv": "t.csv", "markdown": "t.md", "tex": "t.tex", "html": "t.html"}
    told = {"missing": [], "heading": "Claim", "note": "", "official": "NATS-tss.tar", "images": 256, "remark": ""}
    cells = run("paper_claim", tmp_path, output, files, **told)
    assert set(cells["verdict"]) == {"not measured"}
    assert set(cells["reason"]) == {f"{why}: NATS-tss.tar has it"}
    assert f"{why}: NATS-tss.tar has it" in (tmp_path / "t.md").read_text()


def test_without_any_panel_each_tau_says_why(tmp_path: Path) -> None:
    files = {"correlations": [], "published": str(REPOSITORY / "workflow" / "resources" / "published.csv")}
    missing = [["nasbench201", "cifar10", "no file"]]
    cells = run("paper_tau_cells", tmp_path, {"csv": "t.csv"}, files, missing=missing, remarks={}, confidence=0.95)
    assert set(cells["verdict"]) == {"not measured"}
    assert "no file" in set(cells["reason"])
