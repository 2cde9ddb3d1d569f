"""Every instruction level in a process of its own, because a process chooses once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from naswot_ext import ops

HERE = Path(__file__).parent
LEVELS = ops.build_info()["cpu_levels"]
SUPPORTED = ops.build_info()["cpu_levels_supported"]


def run(*arguments: str, level: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NASWOT_CPU_LEVEL": level}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


def need(level: str) -> None:
    if level not in SUPPORTED:
        pytest.skip(f"this processor has no {level}")


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_passes_the_tests_of_the_operators(level: str) -> None:
    need(level)
    if level == ops.build_info()["cpu_level"]:
        pytest.skip(f"{level} is the level of this process, whose own tests cover it")
    files = [str(HERE / name) for name in ("test_hamming.py", "test_slogdet.py", "test_fused.py")]
    finished = run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files, level=level)
    assert finished.returncode == 0, finished.stdout[-3000:]


PIVOTS = """
import torch
from naswot_ext import ops
generator = torch.Generator().manual_seed(0)
for n in (5, 32, 61):
    for top in (2, 10**6, 10**15):
        for value in ops.slogdet(torch.randint(-top, top, (4, n, n), generator=generator))[1].tolist():
            print(value.hex())
"""


@pytest.mark.parametrize("level", LEVELS)
def test_determinants_are_the_same_bits_at_every_level(level: str) -> None:
    need(level)
    expected = run("-c", PIVOTS, level="scalar").stdout
    assert len(expected.split()) == 36
    assert run("-c", PIVOTS, level=level).stdout == expected


PASSES = """
import torch
from naswot_ext import ops
generator = torch.Generator().manual_seed(0)
for shape in ((4, 16, 8, 8), (3, 5, 7, 9), (2, 300, 3, 2), (9, 64, 17, 1)):
    x, y = (torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last) for _ in range(2))
    affine = ops.batch_norm_affine(x, None, None, 1e-5)
    ops.combine([y, x, y], [None, affine, affine], [(0, 0, 0, 0), (3, 1, 1, 0), (0, 0, 0, 0)], y, None, None, None)
    for number in [*affine.flatten().tolist(), *y.flatten().tolist()]:
        print(number.hex())
"""


@pytest.mark.parametrize("level", LEVELS)
def test_fused_passes_give_the_same_bits_at_every_level(level: str) -> None:
    need(level)
    expected = run("-c", PASSES, level="scalar").stdout
    assert len(expected.split()) > 19_000
    assert run("-c", PASSES, level=level).stdout == expected


THREADS = """
import os, torch
from naswot_ext import ops
torch.set_num_threads({threads})
x = torch.ones(1, 30_000).expand(4, -1)
kernel = torch.zeros(4, 4, dtype=torch.int64)
before = len(os.listdir("/proc/self/task"))
ops.hamming_accumulate_(kernel, x)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in Linux's /proc")
@pytest.mark.parametrize("threads", [1, 2])
def test_the_threads_of_torch_are_used(threads: int) -> None:
    assert run("-c", THREADS.format(threads=threads), level="").stdout.split() == [str(threads - 1)]


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    finished = run("-c", "import naswot_ext.ops", level="avx9000")
    assert finished.returncode != 0
    assert "NaswotError: NASWOT_CPU_LEVEL=avx9000 is unknown" in finished.stderr
    assert "scalar" in finished.stderr.splitlines()[-1]
