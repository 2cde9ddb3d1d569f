"""Which device a job may use. A GPU job owns its GPU: `--resources gpu=4` only counts, a lock file a GPU decides.

The locks are the operating system's, so the kernel frees that of a killed job.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_POLL_SECONDS = 0.2


@contextmanager
def claim(kind: str, poll_seconds: float = _POLL_SECONDS) -> Iterator[str]:
    """The device of a job for as long as the block runs: "cpu", or a GPU such as "cuda:1" that no other job has.

    `kind` is "cpu" or "cuda". Waits for a GPU where all are taken. Where torch sees none, says so on standard error
    and gives "cpu". Which GPUs there are is CUDA's to say, so CUDA_VISIBLE_DEVICES and a cluster's assignment hold.
    """
    names = _gpu_names() if kind == "cuda" else {}
    if not names:
        if kind == "cuda":
            print("A GPU was asked for, but torch sees none here: scoring on the CPU.", file=sys.stderr, flush=True)
        yield "cpu"
        return
    while True:
        for device, name in names.items():
            with open(_lock_folder() / f"{name}.lock", "a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield device
                return
        time.sleep(poll_seconds)


def _gpu_names() -> dict[str, str]:
    """{torch's name of a visible GPU: the name that all processes know it by, whatever is visible to them}."""
    count = torch.cuda.device_count()
    return {f"cuda:{i}": f"gpu-{torch.cuda.get_device_properties(i).uuid}" for i in range(count)}


def _lock_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"naswot-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
