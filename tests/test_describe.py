"""`naswot describe`: the facts of one architecture, and clear errors for what is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from naswot_ext.cli import main
from naswot_ext.describe import describe, read_listing
from naswot_ext.errors import NaswotError
from naswot_ext.provenance import write_table
from naswot_ext.spaces import SPACES

NASBENCH201 = SPACES.get("nasbench201")
ALL_NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
KEYS = ["arch", "params", "flops", "applications", "units", "score_mean", "score_std"]


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["naswot", "describe", *arguments])
    try:
        main()
    except SystemExit as end:
        if end.code:
            return capsys.readouterr().err
    return capsys.readouterr().out


def test_it_prints_one_json_object_with_the_reference_facts(monkeypatch, capsys) -> None:
    printed = run(monkeypatch, capsys, "nasbench201", "6224", "--inits", "2", "--batch-size", "8")
    facts = json.loads(printed)
    assert list(facts) == KEYS
    # The first row of the reference's facts.
    assert (facts["params"], facts["applications"], facts["units"]) == (128_721, 35, 327_680)
    assert facts["arch"] == NASBENCH201.architecture(6224)
    assert facts["score_std"] > 0


def test_it_needs_no_more_than_the_package_itself() -> None:
    program = """
import sys
for name in ("pandas", "pyarrow", "yaml", "requests", "matplotlib", "snakemake"):
    sys.modules[name] = None  # as if it were not installed
from naswot_ext.cli import main
sys.argv = ["naswot", "describe", "nasbench101", "011001000 input,conv3x3-bn-relu,output", "--batch-size", "4"]
main()
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["applications"] == 28


def test_an_index_and_its_string_form_are_the_same_architecture() -> None:
    options = {"inits": 1, "batch_size": 4, "image_size": 8}
    by_index = describe(NASBENCH201, "17", **options)
    assert describe(NASBENCH201, NASBENCH201.architecture(17), **options) == by_index
    assert by_index["score_std"] is None


def test_flops_and_units_follow_the_image_size_and_network_options() -> None:
    options = {"inits": 1, "batch_size": 4}
    small, large = (describe(NASBENCH201, "17", image_size=size, **options) for size in (8, 16))
    assert large["units"] == 4 * small["units"]
    assert large["params"] == small["params"]
    thin = describe(NASBENCH201.with_network(channels=8), "17", image_size=8, **options)
    assert 2 * thin["units"] == small["units"]


def test_the_mean_is_of_the_scores_that_the_kernel_gives() -> None:
    one = describe(NASBENCH201, "17", inits=1, batch_size=6, image_size=8)
    three = describe(NASBENCH201, "17", inits=3, batch_size=6, image_size=8)
    assert one["score_mean"] != three["score_mean"]
    assert abs(one["score_mean"] - three["score_mean"]) < 5 * three["score_std"]
    assert np.isfinite(three["score_mean"])


def test_singular_initialisations_are_counted_and_leave_no_number() -> None:
    facts = describe(NASBENCH201, ALL_NONE, inits=2, batch_size=4, image_size=8)
    assert (facts["score_mean"], facts["score_std"], facts["singular"]) == (None, None, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nasbench2001", "1"], "Did you mean 'nasbench201'"),
        (["nasbench201", "15625"], "its indices run from 0 to 15624"),
        (["nasbench201", "9" * 5000], "nasbench201 has no architecture '9999"),
        (["nasbench201", "1", "--network", "channels=9999999999"], "it must be a whole number, 1 to 10,000"),
        (["nasbench201", "1", "--image-size", "100000000"], "cannot be made"),
        (["nasbench201", "|none|"], "is not a NAS-Bench-201 architecture"),
        (["nasbench201", "1", "--network", "channels"], "has no value"),
        (["nasbench201", "1", "--network", "channels=many"], "channels of nasbench201 is 'many'; it must be a whole"),
        (["nasbench201", "1", "--network", "width=4"], "Unknown network option of nasbench201 'width'"),
        (["nasbench201", "1", "--device", "cuda:99"], "There is no device 'cuda:99' here"),
        (["nasbench101", "1", "--listing", "gone.parquet"], "No such file: gone.parquet"),
        (["nasbench201", "1", "--listing", "gone.parquet"], "nasbench201 numbers its own architectures"),
        (["nasbench101", "1"], "The architectures of nasbench101 and their order stand in its benchmark's file"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str, monkeypatch, capsys) -> None:
    printed = run(monkeypatch, capsys, *arguments)
    assert said in printed
    assert printed.count("\n") == 1


def test_a_listed_space_is_numbered_by_the_workflows_own_file(tmp_path: Path, monkeypatch, capsys) -> None:
    space = SPACES.get("nasbench101")
    cells = [space.canonical(text) for text in ("0100 input,output", "011001000 input,conv3x3-bn-relu,output")]
    table = pd.DataFrame({"arch_index": [1, 0], "arch": cells[::-1]})
    monkeypatch.chdir(tmp_path)
    write_table(table, "results/architectures/nasbench101.parquet", space="nasbench101")
    facts = json.loads(run(monkeypatch, capsys, "nasbench101", "1", "--inits", "1", "--batch-size", "4"))
    assert facts["arch"] == cells[1]


def test_a_space_that_counts_its_own_architectures_needs_no_listing(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    # What the workflow leaves of a table that holds a part of the space.
    part = pd.DataFrame({"arch_index": [3, 6], "arch": ["8:8:8:8:32", "8:8:8:8:56"]})
    write_table(part, "results/architectures/nats-sss.parquet")
    facts = json.loads(run(monkeypatch, capsys, "nats-sss", "5", "--inits", "1", "--batch-size", "4"))
    assert facts["arch"] == "8:8:8:8:48"


@pytest.mark.parametrize(
    ("table", "space", "said"),
    [
        ({"arch": ["a"]}, "nds-darts", "is no list of the architectures of nds-darts"),
        ({"arch_index": [0], "arch": ["a"]}, "nds-enas", "is no list of the architectures of nds-darts"),
        ({"arch_index": [0, 2], "arch": ["a", "b"]}, "nds-darts", "does not number its architectures from 0"),
    ],
)
def test_another_table_is_no_listing(table: dict, space: str, said: str, tmp_path: Path) -> None:
    write_table(pd.DataFrame(table), tmp_path / "t.parquet", space=space)
    with pytest.raises(NaswotError, match=f"{said}.*Give RESULTS/architectures/nds-darts.parquet of a run"):
        read_listing(tmp_path / "t.parquet", "nds-darts")


def test_a_file_of_the_users_that_is_no_listing_is_not_to_be_deleted(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("arch")
    with pytest.raises(NaswotError, match=r"is no list of architectures\. Give RESULTS/architectures/nds-darts"):
        read_listing(tmp_path / "mine.csv", "nds-darts")
