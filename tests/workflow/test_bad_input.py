"""A mistake ends in one message that says what, where and what to do, and in no traceback."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from naswot_ext.config import BENCHMARKS, DATASETS, SEARCHES, SPACES, resolve
from naswot_ext.errors import NaswotError
from naswot_ext.provenance import read_table
from naswot_ext.spaces import open_space
from tests.conftest import REPOSITORY
from tests.workflow.conftest import UNSHARE, Project


def _may_mount() -> bool:
    mount = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/tmp"]
    return bool(shutil.which("unshare")) and subprocess.run(mount, check=False, capture_output=True).returncode == 0


needs_mounts = pytest.mark.skipif(not _may_mount(), reason="a process may not mount file systems of its own here")
SCHEMA = REPOSITORY / "workflow" / "schemas" / "config.schema.yaml"


def _valid() -> dict[str, Any]:
    return {
        "spaces": {"nasbench201": {"architectures": 20, "benchmark": {"source": "analog-nasbench"}}},
        "datasets": {"gaussian": {"source": "gaussian"}},
        "proxies": ["naswot"],
        "searches": {"algorithms": {"naswot": {"n_samples": [10]}, "random": None}},
    }


def _complaints(key: str, value: Any) -> str:
    """What is said about the valid config with one key, a path of names, set to another value."""
    config = _valid()
    *path, last = key.split("/")
    section = config
    for name in path:
        section = section.setdefault(name, {})
    if value is ...:
        del section[last]
    else:
        section[last] = value
    with pytest.raises(NaswotError) as error:
        resolve(config, SCHEMA)
    return str(error.value)


TABLE = {"source": "table", "path": __file__}
MEASURED = {"dataset": "cifar10", "epochs": 200, "test": "a"}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("spaces/nasbench2001", {"benchmark": {"source": "analog-nasbench"}}, "Did you mean 'nasbench201'"),
        ("spaces/nasbench201/benchmark/source", "analog", "Did you mean 'analog-nasbench'"),
        ("spaces/nasbench201/benchmark", {"source": "table"}, "'path' is missing"),
        (
            "spaces/nasbench201/benchmark",
            {**TABLE, "accuracy": [{"dataset": "x"}]},
            "one of 'valid' or 'test'",
        ),
        ("spaces/nasbench201/benchmark", {**TABLE, "accuracy": [MEASURED, MEASURED]}, "after 200 epochs"),
        ("spaces/nasbench201/benchmark", {**TABLE, "path": "gone.csv", "accuracy": [MEASURED]}, "no file gone.csv"),
        ("spaces/nasbench201/architectures", "some", "a whole number or 'all'"),
        ("spaces/nasbench201/architectures", "all\n", "a whole number or 'all'"),
        ("spaces/nasbench201/network", {"width": 4}, "Unknown key 'width'. Known: cells, channels"),
        ("spaces/nasbench201/network", {"channels": 0}, "spaces.nasbench201.network.channels: found 0"),
        ("spaces/nasbench201/datasets", ["noise"], "Unknown data set 'noise'"),
        ("spaces/nasbench201/draw_from", "file", "must be 'space' or 'table'"),
        ("spaces/nasbench201/benchmark", {"source": "nats-tss", "local": "gone"}, "there is no file gone"),
        ("spaces/nasbench201/benchmark", {"source": "nasbench201", "version": "v2"}, "must be 'v1_1' or 'v1_0'"),
        ("spaces/nasbench101", {"benchmark": {"source": "nds"}}, "nds has the ground truth of nds-..., not of nasb"),
        (
            "spaces/nasbench101",
            {"draw_from": "space", "benchmark": {"source": "nasbench101"}},
            "found 'space', but it must be 'table'. Meaning: its architectures stand in its file",
        ),
        ("spaces/nds-darts", {"network": {"stem": "trained"}, "benchmark": {"source": "nds"}}, "Unknown key 'stem'"),
        ("spaces/nds-resnet", {"network": {"width": 4}, "benchmark": {"source": "nds"}}, "Unknown key 'width'"),
        ("datasets/c", {"source": "cifar10", "part": "half"}, "'train' or 'train-half' or 'valid-half' or 'test'"),
        ("datasets/c", {"source": "cifar100", "augment": {"flop": True}}, "Did you mean 'flip'"),
        ("spaces/nasbench201/architectures", 9, "10 architectures a run are more than the 9"),
        ("spaces/nasbench201/architectures", 15_626, "15626 cannot be drawn without replacement from 15625"),
        ("scoring/precision", "float16", "must be 'float32' or 'tf32' or 'bfloat16'. Meaning: the arithmetic"),
        ("datasets/gaussian/source", "gausian", "Did you mean 'gaussian'"),
        ("datasets/gaussian/size", 8, "Did you mean 'image_size'"),
        ("datasets/cifar10", {"source": "npz", "path": "gone.npz"}, "no file gone.npz"),
        ("datasets/2024", {"source": "gausian"}, "datasets.2024.source"),
        ("datasets/photos", {**TABLE, "source": "npz", "normalise": "cifr10"}, "Did you mean 'cifar10'"),
        ("datasets/my data", {"source": "gaussian"}, "'my data'"),
        ("datasets", {}, "datasets: it is empty"),
        ("datasets", ..., "'datasets' is missing"),
        ("proxies", ["nasswot"], "Did you mean 'naswot'"),
        ("proxies", ["naswot", "naswot"], "more than once"),
        ("proxies", "naswot", "must be a list"),
        ("searches/algorithms/randm", {}, "Unknown search algorithm 'randm'. Did you mean 'random'"),
        ("searches/algorithms/naswot/proxy", "nasswot", "Did you mean 'naswot'"),
        ("searches/algorithms/naswot/proxy", None, "found nothing, but it must be text or a list"),
        ("searches/algorithms/naswot/proxy", 5, "found 5, but it must be text or a list"),
        ("searches/algorithms/naswot/n_samples", 10, "must be a list"),
        ("searches/runs", 0, "searches.runs: found 0, but it must be at least 1"),
        ("seeds", [1, 1], "seeds: 1 stands there more than once"),
        ("seeds", [-1], "seeds[0]: found -1"),
        ("batch_sze", 64, "Did you mean 'batch_size'"),
        ("batch_size", 1, "must be at least 2"),
        ("batch_size", "1e2", "a whole number has neither quotes nor an exponent: 100)"),
        ("batch_size", 4.5, "found 4.5, but it must be a whole number"),
        ("statistics/confidence", "95e-2", "1.0e+6"),
        ("statistics/confidence", 95, "less than 1"),
        ("figures/dpi", None, "found nothing"),
    ],
)
def test_the_config_error_names_the_key_and_what_to_do(key: str, value: Any, said: str) -> None:
    message = _complaints(key, value)
    assert said in message
    assert key.split("/")[0] in message


def test_a_name_that_yaml_does_not_read_as_text_is_told_with_what_to_do() -> None:
    message = _complaints("datasets", {2024: {"source": "gaussian"}, "noise": {True: 1}})
    assert "datasets: the name 2024 is not text. Put quotes around it." in message
    assert "datasets.noise: the name True is not text (without quotes, YAML reads on, off" in message


def test_whole_numbers_written_as_floats_are_whole_numbers() -> None:
    config = {**_valid(), "batch_size": 4.0, "seeds": [0.0], "statistics": {"confidence": 0.5, "bootstrap": 1e3}}
    config["spaces"]["nasbench201"]["architectures"] = 20.0
    config["searches"]["algorithms"]["naswot"]["n_samples"] = [10.0]
    resolved = resolve(config, SCHEMA)
    found = {
        "batch_size": resolved["batch_size"],
        "seeds": resolved["seeds"],
        "architectures": resolved["spaces"]["nasbench201"]["architectures"],
        "n_samples": resolved["searches"]["algorithms"]["naswot"]["n_samples"],
        "statistics": {key: resolved["statistics"][key] for key in ("bootstrap", "confidence")},
    }
    # Compared as text, since 4.0 == 4.
    assert repr(found) == repr(
        {
            "batch_size": 4,
            "seeds": [0],
            "architectures": 20,
            "n_samples": [10],
            "statistics": {"bootstrap": 1000, "confidence": 0.5},
        }
    )


def test_optimal_may_go_by_a_data_set_of_the_table_and_by_no_other() -> None:
    config = _valid()
    config["spaces"]["nasbench201"]["benchmark"] = {**TABLE, "accuracy": [MEASURED]}
    optimal = config["searches"]["algorithms"]["optimal"] = {"n_samples": [10], "by": "test", "dataset": "cifar10"}
    assert resolve(config, SCHEMA)["searches"]["algorithms"]["optimal"] == optimal
    optimal["dataset"] = "cifar"
    with pytest.raises(
        NaswotError, match=r"optimal\.dataset: Unknown ground-truth data set 'cifar'\. Did you mean 'cifar10'"
    ):
        resolve(config, SCHEMA)


def test_all_mistakes_are_told_at_once() -> None:
    message = _complaints("searches", {"runs": 0, "algorithms": {"naswot": {"n_samples": [0]}}, "sed": 1})
    assert message.count("\n") == 3


def test_every_registered_source_and_algorithm_has_its_options_in_the_schema() -> None:
    schema = yaml.safe_load(SCHEMA.read_text())
    sources = {
        "benchmark": schema["$defs"]["space"]["properties"]["benchmark"],
        "dataset": schema["$defs"]["dataset"],
    }
    for section, registry in (("benchmark", BENCHMARKS), ("dataset", DATASETS)):
        rules = [case["if"]["properties"]["source"] for case in sources[section]["allOf"]]
        known = [name for rule in rules for name in rule.get("enum", [rule.get("const")])]
        assert sorted(known) == registry.names()
    patterns = schema["properties"]["searches"]["properties"]["algorithms"]["patternProperties"]
    for name in (*SEARCHES.names(), *(f"{name}@variant" for name in SEARCHES.names())):
        assert sum(bool(re.search(pattern, name)) for pattern in patterns) == 1, name
    for pattern in patterns:
        assert any(re.search(pattern, name) for name in SEARCHES.names()), pattern


def test_the_schema_has_the_network_options_of_every_space() -> None:
    for name in SPACES.names():
        space = {"benchmark": {"source": "table", "path": __file__, "accuracy": [MEASURED]}}
        config = resolve({**_valid(), "spaces": {name: space}}, SCHEMA)
        network = config["spaces"][name]["network"]
        defaults = {key: value for key, value in open_space(name).NETWORK.items() if value is not None}
        assert network == defaults, name
        # The same names as in the code, and no others.
        for option, value in open_space(name).NETWORK.items():
            chosen = {**space, "network": {option: value or 3}}
            assert resolve({**_valid(), "spaces": {name: chosen}}, SCHEMA)


def test_a_path_is_tidied_so_that_its_files_are_found_again() -> None:
    assert resolve({**_valid(), "results": "./mine//results/"}, SCHEMA)["results"] == "mine/results"


def test_a_bad_config_stops_snakemake_with_the_message_alone(new_project: Project) -> None:
    new_project.config["proxies"] = ["nasswot"]
    printed = new_project.run(fails=True)
    assert "Unknown proxy 'nasswot'. Did you mean 'naswot'?" in printed
    assert "Traceback" not in printed
    assert len(printed.splitlines()) < 10
    assert not (new_project.folder / "results").exists()


def test_a_table_of_the_papers_is_refused_by_another_config_with_the_command_that_makes_it(
    new_project: Project,
) -> None:
    printed = new_project.run("icml2021_table2a", fails=True)
    assert "Use `snakemake icml2021_table2a --cores all --configfile config/paper.yaml`." in printed
    assert "Traceback" not in printed


def test_a_results_folder_that_cannot_be_written_stops_the_run_before_any_job(new_project: Project) -> None:
    new_project.config["results"] = "/proc/naswot"
    printed = new_project.run(fails=True)
    assert "Cannot write into the results folder /proc/naswot" in printed
    assert "Traceback" not in printed
    assert "rule score" not in printed


@needs_mounts
def test_a_read_only_results_folder_stops_the_run_before_any_job(new_project: Project) -> None:
    printed = new_project.run(fails=True, mounting='mkdir results && mount -t tmpfs -o ro none results && "$@"')
    assert "Cannot write into the results folder results: Read-only file system" in printed
    assert "rule score" not in printed


@needs_mounts
@pytest.mark.parametrize(
    ("architectures", "size"), [(6, "8k"), (60, "4k")], ids=["while the table is written", "while a row is appended"]
)
def test_a_disk_that_fills_ends_in_one_message_and_leaves_no_half_written_file(
    project: Project, architectures: int, size: str
) -> None:
    project.config["proxies"].append("swap")  # in jobs of its own
    project.config["spaces"]["nasbench201"]["architectures"] = architectures
    project.config["scoring"]["shard_size"] = architectures
    disk = "results/scores/nasbench201/noise/shards/swap"
    table = "results/scores/nasbench201/noise/swap/seed-0.parquet"
    fill = f'mkdir {disk} && mount -t tmpfs -o size={size} none {disk}; "$@"; failed=$?; '
    printed = project.run(table, fails=True, mounting=fill + f"ls -R {disk} > left; exit $failed")
    log = (project.folder / "results/logs/scores/nasbench201/noise/swap/seed-0/shard-0.log").read_text()
    assert log.splitlines()[-1].startswith(f"Error: Cannot write {disk}/seed-0/shard-0.parquet")
    assert "No space left on device. Free some space" in log
    for text in (printed, log):
        assert text.count("Error: Cannot write") == 1
        assert "(a defect" not in text
        assert "Traceback" not in text
    left = (project.folder / "left").read_text()
    assert "partial" in left
    assert not re.search(r"parquet$", left, re.MULTILINE)
    project.run(table)
    assert len(read_table(project.folder / table)) == architectures


def test_a_table_without_a_column_of_the_config_fails_with_one_line_in_terminal_and_log(new_project: Project) -> None:
    new_project.folder.mkdir()
    Path(new_project.folder, "mine.csv").write_text(
        "arch,accuracy\n|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,10\n"
    )
    measured = {"dataset": "cifar10", "test": "acuracy"}
    new_project.config["spaces"]["nasbench201"]["benchmark"] = {
        "source": "table",
        "path": "mine.csv",
        "accuracy": [measured],
    }
    printed = new_project.run("results/benchmarks/nasbench201.parquet", fails=True)
    log = (new_project.folder / "results/logs/benchmarks/nasbench201.log").read_text()
    for text in (printed, log):
        assert "Traceback" not in text
        assert "Unknown column 'acuracy'. Did you mean 'accuracy'?" in text
        assert text.count("\nError: ") + text.startswith("Error: ") == 1
    assert len(log.splitlines()) == 1


MINE = """
import torch


def not_a_number(network, batch):
    return float("nan")


def tensor(network, batch):
    return torch.zeros(3)


def raises(network, batch):
    raise ValueError("no such thing")


def fine(network, batch):
    return 1.0
"""


def test_mistakes_about_proxies_and_searches_are_all_told_at_once_before_any_job(new_project: Project) -> None:
    new_project.folder.mkdir()
    Path(new_project.folder, "mine.py").write_text(MINE)
    Path(new_project.folder, "broken.py").write_text("def proxy(network, batch:\n    return 1.0\n")
    new_project.config["proxies"] = [
        "gone.py:proxy",
        "broken.py:proxy",
        "mine.py:fin",
        {"aggregate": {"ranks": ["naswot", "synflw"]}},
        {"aggregate": {"ranks": ["naswot", "synflow"], "name": "snip"}},
        {"aggregate": {"ranks": ["naswot", "synflow"], "how": "median"}},
    ]
    algorithms = {"rea": {"populaton": 5}, "gdas": {"supernet": {"width": 2}}, "darts_v3": {}, "nasi": {"nu": "best"}}
    new_project.config["searches"]["algorithms"] |= algorithms
    printed = new_project.run(fails=True)
    for said in (
        "The proxy's file gone.py cannot be read (No such file or directory; looked for in",
        "proxies: broken.py is not valid Python: '(' was never closed",
        "Unknown function in mine.py: 'fin'. Did you mean 'fine'?",
        "proxies: Unknown proxy 'synflw'. Did you mean 'synflow'?",
        "proxies: an aggregate is called 'snip', as a proxy is. Give it another `name`.",
        "how: found 'median', but it must be 'mean' or 'log'",
        "searches.algorithms.rea: Unknown key 'populaton'. Did you mean 'population'?",
        "searches.algorithms.gdas.supernet: Unknown key 'width'. Known: cells, channels",
        "Unknown search algorithm 'darts_v3'. Did you mean 'darts_v",
        "searches.algorithms.nasi.nu: found 'best', but it must be",
    ):
        assert printed.count(said) == 1, said
    assert "Traceback" not in printed
    assert "rule " not in printed
    assert len(printed.splitlines()) < 20


def test_what_only_jobs_can_find_out_ends_each_of_them_with_one_line_and_none_of_the_others(
    new_project: Project,
) -> None:
    new_project.folder.mkdir()
    Path(new_project.folder, "mine.py").write_text(MINE)
    np.savez(new_project.folder / "unlabelled.npz", images=np.zeros((8, 3, 8, 8), np.float32))
    cells, sizes = open_space("nasbench201"), open_space("nats-sss")
    numbers = {"accuracy": range(50, 56), "seconds": 60}
    for name, space in (("cells", cells), ("sizes", sizes)):
        rows = {"arch": [space.architecture(index) for index in range(6)], **numbers}
        pd.DataFrame(rows).to_csv(new_project.folder / f"{name}.csv", index=False)
    final = {"dataset": "cifar10", "epochs": 200, "valid": "accuracy"}
    table = {"source": "table", "path": "cells.csv", "accuracy": [final]}
    network = {"channels": 2, "cells": 1}
    # Another length has no cost.
    lengths = [{**final, "epochs": 12, "train_seconds": "seconds"}, {**final, "epochs": 20}]
    by_size = {"source": "table", "path": "sizes.csv", "accuracy": lengths}
    small = {"images": 8, "batch_size": 4, "runs": 1}
    own = [f"mine.py:{name}" for name in ("not_a_number", "tensor", "raises")]
    new_project.config |= {
        "spaces": {
            "nasbench201": {"architectures": "all", "benchmark": table, "network": network},
            "nats-sss": {"architectures": "all", "benchmark": by_size},
        },
        "proxies": ["params", "snip", *own],
        "searches": {
            "runs": 2,
            "algorithms": {
                "random": {},
                "rea": {},
                "rea@free": {"epochs": 20},
                "area": {"proxy": "params", "n_samples": 12},
                "rs": {"budget": 30},
                "gdas": small,
                "nasi": {**small, "images": 9},
            },
        },
    }
    new_project.config["scoring"]["shard_size"] = 6
    new_project.config["datasets"]["unlabelled"] = {"source": "npz", "path": "unlabelled.npz"}
    truth = "results/benchmarks/{}.parquet"
    none = (
        "None of the 6 architectures of results/scores/nasbench201/noise/{}/seed-0.parquet could be scored. The first: "
    )
    expected = {
        "searches/nasbench201/noise/rea": (
            f"The search rea goes by the validation accuracy after 12 epochs on cifar10: {truth.format('nasbench201')} "
            "has no row with dataset cifar10 and epochs 12 (it has 200). Add such rows, or set `epochs` to a length"
        ),
        "searches/nats-sss/noise/rea@free": (
            f"in {truth.format('nats-sss')}, the column train_seconds is empty for dataset cifar10 and epochs 20; give "
            "spaces.nats-sss.benchmark.accuracy[..].train_seconds."
        ),
        "searches/nats-sss/noise/area-params": (
            "n_samples is 12, but 6 architectures were scored and have ground truth. Give 1 to 6, or score more"
        ),
        "searches/nats-sss/noise/rs": "The budget of the search rs is 30 s, but the cheapest evaluation",
        "searches/nats-sss/noise/gdas": "The search gdas knows the supernet of nasbench201 only, not that of nats-sss.",
        "searches/nasbench201/unlabelled/gdas": "The search gdas needs the labels of the images, and those of",
        "searches/nasbench201/unlabelled/nasi": "unlabelled.npz holds 8 images, fewer than the batch size 9.",
        "scores/nasbench201/unlabelled/snip/seed-0": "snip needs the labels of the images, and the images of",
        "scores/nasbench201/noise/not_a_number/seed-0": none.format("not_a_number"),
        "scores/nasbench201/noise/tensor/seed-0": none.format("tensor"),
        "scores/nasbench201/noise/raises/seed-0": none.format("raises"),
    }
    fine = "searches/nasbench201/noise/random"
    wanted = [f"results/{name}.parquet" for name in (*expected, fine)]
    printed = new_project.run("--keep-going", *wanted, fails=True)
    lines = [line for line in printed.splitlines() if line.startswith("Error: ")]
    for name, said in expected.items():
        assert sum(said in line for line in lines) == 1, (name, lines)
        assert not Path(new_project.folder, f"results/{name}.parquet").exists()
    assert len(lines) == len(expected)
    why = {name: next(line for line in lines if f"/noise/{name}/" in line) for name in ("not_a_number", "tensor")}
    assert why["not_a_number"].endswith(": the score is nan")
    assert why["tensor"].endswith(
        "The proxy tensor returned a Tensor of shape [3]; it must return one number: float(...) of it."
    )
    assert any(line.endswith(": ValueError: no such thing (mine.py, line 14)") for line in lines)
    assert Path(new_project.folder, f"results/{fine}.parquet").exists()
    assert "Traceback" not in printed
    assert "(a defect" not in printed
    for log in Path(new_project.folder, "results/logs").rglob("*.log"):
        assert "Traceback" not in log.read_text(), log
