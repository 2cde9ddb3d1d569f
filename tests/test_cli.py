"""The command line, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from naswot_ext.cli import main

NETWORKS = """
from torch import nn

def good():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 64), nn.ReLU(), nn.Linear(64, 2))

def without_rectifier():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))

def not_a_network():
    return 7

def raises():
    raise RuntimeError("no such layer")

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(NETWORKS)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=pixels)
    return tmp_path


class Outcome(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def naswot(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The command in this process, which has waited for torch already."""
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["naswot", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        return Outcome(int(stopped.value.code or 0), *capsys.readouterr())

    return run


def test_it_is_installed_as_a_command() -> None:
    command = [Path(sys.executable).with_name("naswot"), "info"]
    assert "cpu_level" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_users_own_networks_are_ranked_on_their_own_images(naswot) -> None:
    images = ("--batch", "images.npz", "--normalise", "cifar10", "--batch-size", "16")
    run = naswot("score", "mine.py:without_rectifier", "mine.py:good", *images, "--json")
    assert run.returncode == 1, "a network that failed makes the exit status say so"
    good, bad = map(json.loads, run.stdout.splitlines())
    assert good["network"] == "mine.py:good"
    assert good["units"] == 64
    assert good["seen"] == {"relu": 1}
    assert 0 < good["score"] < 16 * np.log(64)
    assert "no activation that counts" in bad["error"]


def test_a_torchvision_and_a_benchmark_network_are_scored_by_name(naswot) -> None:
    run = naswot("score", "torchvision:resnet18", "nasbench201:6224", "--batch-size", "4", "--image-size", "32")
    assert run.returncode == 0, run.stderr
    assert "relu x17" in run.stdout
    assert "relu x35" in run.stdout
    assert "[3, 32, 32]" in run.stdout


def test_a_singular_network_is_valid_json_without_a_number(naswot) -> None:
    run = naswot("score", "nasbench201:|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "--batch-size", "4", "--json")
    facts = json.loads(run.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert facts["score"] is None
    assert facts["singular"] is True


@pytest.mark.parametrize("option", ["--image-size", "--batch-size", "--seed"])
def test_a_negative_number_is_refused_without_a_traceback(naswot, option: str) -> None:
    run = naswot("score", "mine.py:good", option, "-8")
    assert run.returncode != 0
    assert option in run.stderr
    assert "Traceback" not in run.stderr


def test_the_same_command_gives_the_same_score(naswot) -> None:
    arguments = ("score", "mine.py:good", "--image-size", "8", "--batch-size", "8", "--json")
    assert naswot(*arguments).stdout == naswot(*arguments).stdout != ""


def test_info_prints_what_was_built(naswot) -> None:
    facts = json.loads(naswot("info").stdout)
    assert facts["cpu_level"] in facts["cpu_levels_supported"]
    assert len(facts["source_fingerprint"]) == 64


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("torchvision:resnet81", "Unknown torchvision model 'resnet81'. Did you mean 'resnet18'?"),
        ("mine.py:god", "Did you mean 'good'?"),
        ("mine.py:number", "mine.py:number is a int; name a function"),
        ("nowhere.py:good", "No such file: nowhere.py"),
        ("no_such_package:good", "no_such_package cannot be imported"),
        ("good", "does not name a network"),
        ("nasbench201:--5", "is not a NAS-Bench-201 architecture"),
        ("nasbench201:15625", "its indices run from 0 to 15624"),
        ("nasbench201:|none~0|", "is not a NAS-Bench-201 architecture"),
    ],
)
def test_a_network_that_does_not_exist_is_one_line(naswot, network: str, reason: str) -> None:
    run = naswot("score", network, "--image-size", "8", "--batch-size", "4")
    assert run.returncode == 1
    assert reason in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [("not_a_network", "gave a int; it must return a torch.nn.Module"), ("raises", "RuntimeError: no such layer")],
)
def test_a_function_that_gives_no_network_is_a_failed_line(naswot, name: str, reason: str) -> None:
    run = naswot("score", f"mine.py:{name}", "--image-size", "8", "--batch-size", "4")
    assert run.returncode == 1
    assert reason in run.stdout
    assert "Traceback" not in run.stderr


def test_an_option_that_would_be_ignored_is_refused(naswot) -> None:
    alone = naswot("score", "mine.py:good", "--normalise", "cifar10")
    assert "--normalise is for the images of --batch" in alone.stderr
    sized = naswot("score", "mine.py:good", "--batch", "images.npz", "--normalise", "cifar10", "--image-size", "8")
    assert "--image-size is for standard-normal images" in sized.stderr


def test_bad_images_and_devices_are_one_line(naswot) -> None:
    too_few = naswot("score", "mine.py:good", "--batch", "images.npz", "--normalise", "cifar10")
    assert (too_few.returncode, too_few.stderr.count("\n")) == (1, 1)
    assert "20 images, fewer than the batch size 128" in too_few.stderr
    no_device = naswot("score", "mine.py:good", "--device", "cuda:99", "--image-size", "8")
    assert no_device.returncode == 1
    assert "Traceback" not in no_device.stderr
