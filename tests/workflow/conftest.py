"""One checkout and one finished run, of which each test changes a copy and asks Snakemake what is to be done."""

from __future__ import annotations

import copy
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY

CONFIG: dict[str, Any] = {
    "batch_size": 4,
    "spaces": {"nasbench201": {"architectures": 6, "benchmark": {"source": "analog-nasbench"}}},
    "datasets": {"noise": {"source": "gaussian", "image_size": 8}},
    "proxies": ["params", "naswot"],
    "searches": {
        "runs": 5,
        "algorithms": {"naswot": {"n_samples": [3]}, "random": None, "optimal": {"n_samples": [3], "by": "test"}},
    },
    "statistics": {"bootstrap": 20},
    "figures": {"dpi": 50},
    "scoring": {"shard_size": 4, "record_seconds": False},
}
# Proxies that only the tests' checkout has: one that fails on some networks, one that takes its time.
PROXIES = {
    "fragile": 'if parameters > 400_000:\n        raise ValueError("this network is too fragile")',
    "slow": """
    # While it is held, a job scores its first network, and no other.
    end = time.monotonic() + 300
    while SCORED and Path(os.environ["CALLS"]).with_name("hold").exists() and time.monotonic() < end:
        time.sleep(0.05)
    SCORED.append(parameters)
    time.sleep(0.4)
    Path(os.environ["CALLS"]).open("a").write(f"{parameters}\\n")""",
}
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
PROXY = """
import os
import time
from pathlib import Path

from naswot_ext.proxies import Scored, proxy

SCORED = []


@proxy("{name}", title="{name}", cost="none")
def {name}(network, batch):
    parameters = sum(p.numel() for p in network.parameters())
    {body}
    return Scored(float(parameters))
"""


@dataclass
class Project:
    """A working directory, its config, and the Snakemake that runs in it."""

    folder: Path
    checkout: Path
    config: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(CONFIG))

    @property
    def calls(self) -> list[str]:
        """What the slow proxy was called on, in order."""
        log = self.folder / "calls"
        return log.read_text().split() if log.exists() else []

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, jobs stop that look for it, such as those with the slow proxy after their first network."""
        hold = self.folder / "hold"
        hold.touch()
        try:
            yield
        finally:
            hold.unlink()

    def start(self, *arguments: str, mounting: str = "") -> subprocess.Popen[str]:
        """Snakemake with this config, as the leader of a process group of its own.

        `mounting`, shell commands around "$@", sees file systems of its own that it may mount and fill.
        """
        self.folder.mkdir(exist_ok=True)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False))
        # Nothing may need the network: a proxy that nobody listens at stands in front of it.
        nowhere = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
        settings = {"PYTHONPATH": str(self.checkout), "CALLS": str(self.folder / "calls"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.checkout / "Snakefile"), "--cores", "2"]
        command += [*arguments, "--configfile", "config.yaml"]
        if mounting:
            command = [*UNSHARE, "sh", "-c", mounting, "sh", *command]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=os.environ | nowhere | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, fails: bool = False, mounting: str = "", timeout: float = 1700) -> str:
        """Run Snakemake to its end; what it printed."""
        process = self.start(*arguments, mounting=mounting)
        try:
            printed, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        assert (process.returncode != 0) == fails, printed
        return printed

    def to_do(self, *arguments: str) -> dict[str, list[str]]:
        """The jobs that a run would do: {rule: the first output of each of its jobs}."""
        jobs: dict[str, list[str]] = {}
        printed = self.run("--dry-run", *arguments)
        for rule, body in re.findall(r"^(?:local)?rule (\w+):\n((?: {4}.*\n)+)", printed, re.MULTILINE):
            output = re.search(r"output: ([^,\n]+)", body)
            if output:
                jobs.setdefault(rule, []).append(output[1])
        return jobs

    def table(self, name: str) -> bytes:
        """The bytes of a result table."""
        return (self.folder / "results" / "tables" / f"{name}.csv").read_bytes()


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the workflow consists of, so that its source can be changed, with the proxies of the tests."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in ("Snakefile", "workflow", "profiles", "config", "naswot_ext"):
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    for name, body in PROXIES.items():
        (folder / "naswot_ext" / "proxies" / f"{name}.py").write_text(PROXY.format(name=name, body=body))
    return folder


@pytest.fixture(scope="session")
def finished(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose run has ended. For reading only."""
    project = Project(tmp_path_factory.mktemp("finished"), checkout)
    (project.folder / "printed").write_text(project.run())
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, to change and run."""
    shutil.copytree(finished.folder, tmp_path / "project")
    return Project(tmp_path / "project", finished.checkout)


@pytest.fixture
def new_project(checkout: Path, tmp_path: Path) -> Project:
    """A project in which nothing was run."""
    return Project(tmp_path / "new", checkout)


@pytest.fixture
def changed(checkout: Path) -> Callable[[str, str, str], Any]:
    """A context in which a text of one of the checkout's files is another.

    The time of the file is put back with its text: Snakemake runs a job again whose script is younger than its results.
    """

    @contextmanager
    def change(file: str, old: str, new: str) -> Iterator[None]:
        path = checkout / file
        source, was = path.read_text(), path.stat()
        assert old in source
        path.write_text(source.replace(old, new, 1))
        try:
            yield
        finally:
            path.write_text(source)
            os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))

    return change
