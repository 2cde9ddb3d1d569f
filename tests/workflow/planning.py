"""Runs that are finished without their work, to ask what Snakemake would do next.

The rules are the workflow's own, with their inputs, params and fingerprints; in the copy of the checkout that is used
here only their scripts are replaced: by a command that writes empty outputs. What Snakemake plans does not depend on
what is in the files, but for the number of architectures in a listing, which is therefore a real one.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

import pandas as pd
import yaml

from tests.conftest import REPOSITORY

LISTED = 7  # architectures of every table
# A script that makes nothing, and leaves the record of a job that has.
RECORDING = """
from pathlib import Path

from naswot_ext.archive.jobs import write_record

for file in snakemake.output:
    Path(file).touch()
write_record(snakemake, "{script}")
"""


def without_work(checkout: Path, recorded: Collection[str] = ()) -> Path:
    """Make the rules of a checkout write empty files instead of running their scripts.

    Those of the scripts in `recorded` (without ".py") leave their records as well.
    """
    for script in recorded:
        (checkout / "workflow" / "scripts" / f"{script}.py").write_text(RECORDING.format(script=script))
    listing = checkout / "listing.parquet"
    pd.DataFrame({"arch_index": range(LISTED), "arch": [f"arch-{i}" for i in range(LISTED)]}).to_parquet(listing)
    for file in (checkout / "workflow" / "rules").glob("*.smk"):

        def stub(match: re.Match[str]) -> str:
            if match[1].removesuffix(".py") in recorded:
                return match[0]
            lists = match[1] == "architectures.py"
            return f'    shell:\n        "{f"cp {listing}" if lists else "touch"} {{output}}"\n'

        file.write_text(re.sub(r'^    script:\n +"\.\./scripts/(\w+\.py)"\n', stub, file.read_text(), flags=re.M))
    return checkout


class Planners:
    """Two planners, since there are two cores."""

    def __init__(self, checkout: Path, scratch: Path) -> None:
        self._checkout = checkout
        self._scratch = scratch
        self._numbers = itertools.count()
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        path = os.pathsep.join([str(checkout), str(checkout / "workflow" / "plugins"), str(REPOSITORY)])
        settings = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.workflow.planner"]
        self._planners = [
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | settings,
                cwd=checkout,
            )
            for _ in range(2)
        ]
        for planner in self._planners:
            self._idle.put(planner)
        self._pool = ThreadPoolExecutor(len(self._planners))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()
        for planner in self._planners:
            planner.communicate()

    def plan(self, folder: Path, config: dict[str, Any], *arguments: str) -> set[str]:
        """The jobs that a run of a config would do in a folder: "rule wildcard/wildcard/...", targets left out."""
        file = self._scratch / f"{next(self._numbers)}"
        file.with_suffix(".yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        snakemake = ["--snakefile", str(self._checkout / "Snakefile"), "--cores", "2", *arguments]
        asked = {
            "cwd": str(folder),
            "arguments": [*snakemake, "--configfile", str(file.with_suffix(".yaml"))],
            "jobs": str(file.with_suffix(".jobs")),
            "printed": str(file.with_suffix(".txt")),
        }
        planner = self._idle.get()
        try:
            assert planner.stdin
            assert planner.stdout
            print(json.dumps(asked), file=planner.stdin, flush=True)
            status = planner.stdout.readline().strip()
        finally:
            self._idle.put(planner)
        assert status == "0", file.with_suffix(".txt").read_text()[-3000:]
        if not file.with_suffix(".jobs").exists():
            return set()
        jobs = [json.loads(line) for line in file.with_suffix(".jobs").read_text().splitlines()]
        return {
            " ".join([job["rule"], "/".join(job["wildcards"].values())]).strip() for job in jobs if job["benchmark"]
        }

    def plan_all(self, folder: Path, configs: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
        """The same of several configs, under their names."""
        found = self._pool.map(lambda config: self.plan(folder, config), configs.values())
        return dict(zip(configs, found, strict=True))

    def finish(self, folder: Path, config: dict[str, Any]) -> None:
        """Have a run write all of its empty files."""
        (folder / "finished.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self._checkout / "Snakefile"), "--cores", "4"]
        ended = subprocess.run(
            # Not `all`, which ends with what was found, and nothing was.
            [*command, "results/report.html", "--configfile", "finished.yaml", "--scheduler", "greedy"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(self._checkout)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


def changed(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A config with another value at a path of keys; `...` removes the key."""
    config = copy.deepcopy(config)
    *path, last = key.split("/")
    section = config
    for name in path:
        if section.get(name) is None:
            section[name] = {}
        section = section[name]
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return config


def copy_of(checkout: Path, folder: Path) -> Path:
    """A copy of a checkout."""
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder
