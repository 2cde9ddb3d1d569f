"""Which device a job may use. A GPU job owns its GPU: `--resources gpu=4` only counts, a lock file a GPU decides.

The locks are the operating system's, so the kernel frees that of a killed job. They stand in /tmp whatever TMPDIR
says, under the GPU's UUID, so that all processes of a machine mean the same GPU by the same file: other users' and
other schedulers' jobs, too, and those to which CUDA_VISIBLE_DEVICES shows the GPUs under other numbers. Containers
with a /tmp of their own do not see each other's locks: give each GPUs of its own, or mount the host's /tmp.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from torch.utils._device import DeviceContext

from naswot_ext.errors import NaswotError

_POLL_SECONDS = 0.2
_LOCK_FOLDER = Path("/tmp")
_CUDA_SUCCESS, _CUDA_ERROR_NO_DEVICE = 0, 100


@contextmanager
def claim(kind: str, poll_seconds: float = _POLL_SECONDS) -> Iterator[str]:
    """The device of a job for as long as the block runs: "cpu", or a GPU such as "cuda:1" that no other job has.

    `kind` is "cpu" or "cuda". Waits for a GPU where all are taken, and makes the one it gets torch's current device.
    Which GPUs there are is CUDA's to say, so CUDA_VISIBLE_DEVICES (indices, UUIDs, MIG UUIDs) and a cluster's
    assignment hold. Where torch sees none, says so on standard error and gives "cpu".

    Raises NaswotError where no lock can be taken, and in a Slurm job that sees more GPUs than Slurm gave it without
    being told which ones are its own.
    """
    names = _gpu_names() if kind == "cuda" else {}
    if not names:
        if kind == "cuda":
            print("A GPU was asked for, but torch sees none here: scoring on the CPU.", file=sys.stderr, flush=True)
        yield "cpu"
        return
    _check_slurm(len(names))
    waiting = False
    while True:
        for device, name in names.items():
            lock = _try_lock(_LOCK_FOLDER / f"naswot-{name}.lock")
            if lock is not None:
                try:
                    _make_current(device)
                    yield device
                finally:
                    os.close(lock)
                return
        if not waiting:
            waiting = True
            print(f"Waiting for a GPU: other jobs have all {len(names)}.", file=sys.stderr, flush=True)
        time.sleep(poll_seconds)


@contextmanager
def running_on(device: str) -> Iterator[None]:
    """Inside, a GPU is torch's current device, so that kernels that go to the current one go there."""
    with torch.cuda.device(device) if torch.device(device).type == "cuda" else nullcontext():
        yield


def building_on(device: str) -> AbstractContextManager[Any]:
    """Modules that are built inside have their parameters on `device`, and are initialised there without waiting."""
    return torch.device(device) if device == "cpu" else _WithoutCopies(device)


def synchronise(device: str) -> None:
    """Wait for what was launched on `device`; raises what went wrong there meanwhile."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def free_memory(device: str) -> None:
    """Free what nothing refers to, and give memory that is cached, but not used, back to `device`."""
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


class _WithoutCopies(DeviceContext):
    """`with torch.device(...)`, but `torch.tensor(number)` is a fill on the device.

    torch copies the number from the host, which waits for all that was launched before; every BatchNorm makes one.
    torch's own class as the base, because a second mode around it would make building a network a fifth slower.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Without a dtype, full would take another than tensor for some numbers.
        if func is torch.tensor and args and type(args[0]) in (bool, int, float) and (kwargs or {}).get("dtype"):
            func, args = torch.full, ((), args[0])
        return super().__torch_function__(func, types, args, kwargs)


def _gpu_names() -> dict[str, str]:
    """{torch's name of a visible GPU: the name that all processes know it by, whatever is visible to them}.

    Asks the driver itself, because torch's properties start CUDA: each waiting job would hold some memory of a GPU
    that is not its own. The driver's numbers are torch's.
    """
    driver = _driver()
    return {} if driver is None else {f"cuda:{i}": f"gpu-{name}" for i, name in enumerate(_uuids(driver))}


def _driver() -> Any | None:
    # Counts the GPUs, but starts CUDA on none.
    return ctypes.CDLL("libcuda.so.1") if torch.cuda.is_available() else None


def _uuids(driver: Any) -> list[str]:
    """The UUIDs of the visible GPUs, of the instance where a GPU is shared by MIG; no context is made on any.

    Source: CUDA Driver API, sections Initialization and Device Management.
    """

    def call(function: str, *arguments: Any) -> None:
        status = getattr(driver, function)(*arguments)
        if status != _CUDA_SUCCESS:
            raise NaswotError(f"The CUDA driver does not list its GPUs: {function} failed with error {status}.")

    count, device, name = ctypes.c_int(0), ctypes.c_int(0), (ctypes.c_ubyte * 16)()
    if driver.cuInit(0) == _CUDA_ERROR_NO_DEVICE:
        return []
    call("cuInit", 0)
    call("cuDeviceGetCount", ctypes.byref(count))
    uuids = []
    for ordinal in range(count.value):
        call("cuDeviceGet", ctypes.byref(device), ordinal)
        call("cuDeviceGetUuid_v2", ctypes.byref(name), device)
        uuids.append(str(uuid.UUID(bytes=bytes(name))))
    return uuids


def _check_slurm(visible: int) -> None:
    given = os.environ.get("SLURM_STEP_GPUS") or os.environ.get("SLURM_JOB_GPUS")
    if given and "CUDA_VISIBLE_DEVICES" not in os.environ and visible > len(given.split(",")):
        raise NaswotError(
            f"Slurm gave this job the GPUs {given}, but it sees {visible}, and CUDA_VISIBLE_DEVICES, which Slurm sets, "
            "is gone. Do not unset it."
        )


def _make_current(device: str) -> None:
    torch.cuda.set_device(device)


def _try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock for as long as it is open; None where another process has it.

    A file that is only read can be locked, so one user's file serves all.
    """
    try:
        while True:
            try:
                lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                with suppress(FileExistsError):
                    lock = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o644)
                    os.fchmod(lock, 0o644)  # whatever the umask
                    os.close(lock)
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Someone may have removed the file in between, and a third one made it anew.
                if os.path.samestat(os.fstat(lock), os.stat(path)):
                    return lock
            except BlockingIOError:
                os.close(lock)
                return None
            except FileNotFoundError:
                pass
            os.close(lock)
    except OSError as error:
        raise NaswotError(
            f"The lock of a GPU, {path}, cannot be taken: {error.strerror}. Make {path.parent} writable, or have "
            "that file removed."
        ) from error
