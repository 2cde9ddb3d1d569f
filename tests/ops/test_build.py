"""What is known of the compiled library, and what a user is told when it is not there or not right."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import torch

import naswot_ext
from naswot_ext import ops

ROOT = Path(__file__).parents[2]


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_library_in_use_is_built_from_the_sources_beside_it() -> None:
    digest = hashlib.sha256()
    files = sorted(p for p in (ROOT / "csrc").rglob("*") if p.suffix in (".h", ".cpp", ".cu"))
    for path in files:
        digest.update(f"{path.relative_to(ROOT / 'csrc').as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    assert len(files) >= 10
    assert ops.build_info()["source_fingerprint"] == digest.hexdigest()


def test_build_info_is_json_and_agrees_with_the_record_of_the_build() -> None:
    info = json.loads(json.dumps(naswot_ext.build_info()))
    recorded = json.loads((Path(naswot_ext.__file__).parent / "_build.json").read_text())
    assert {key: info[key] for key in recorded} == recorded
    assert info["torch"] == torch.__version__
    assert info["threads"] == torch.get_num_threads()
    assert info["cpu_levels"][0] == "scalar"
    assert info["cpu_level"] in info["cpu_levels_supported"]
    assert info["cuda"] == bool(info["cuda_architectures"])


def test_a_missing_library_says_how_to_build_it() -> None:
    finished = python("import sys; sys.modules['naswot_ext._C'] = None; import naswot_ext.ops")
    assert "NaswotError: naswot's compiled library cannot be loaded" in finished.stderr
    assert "make install" in finished.stderr


def test_a_library_for_another_torch_says_so() -> None:
    finished = python(
        "import sys, types; sys.modules['naswot_ext._C'] = types.SimpleNamespace(torch_version='1.0');"
        "import naswot_ext.ops"
    )
    assert "NaswotError: naswot's library was compiled for torch 1.0" in finished.stderr


BUILD = """
import runpy, sys, torch
torch.version.cuda = {}
sys.argv = ["setup.py", "--version"]
runpy.run_path("setup.py")
"""


def test_forcing_cuda_without_one_stops_the_build_with_the_reason() -> None:
    finished = python(BUILD.format(None), NASWOT_FORCE_CUDA="1")
    assert finished.returncode != 0
    assert "NASWOT_FORCE_CUDA=1 but torch" in finished.stderr
    assert "is built without CUDA" in finished.stderr


def test_a_toolkit_of_another_major_version_is_not_used() -> None:
    assert "NASWOT_FORCE_CUDA=1 but" in python(BUILD.format("'3.2'"), NASWOT_FORCE_CUDA="1").stderr


def test_a_force_that_is_neither_0_nor_1_is_refused() -> None:
    assert "NASWOT_FORCE_CUDA='yes' is not understood" in python(BUILD.format(None), NASWOT_FORCE_CUDA="yes").stderr
