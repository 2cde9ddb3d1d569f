"""Jobs end with the Snakemake that started them.

One that is killed alone (out of memory, `kill -9`) leaves its jobs alive. By the time that they end, the next one may
have made their results with another config, and would find those of before in their place and take them for its own.
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

from naswot_ext.files import locked_temporary, remove_orphans

VARIABLE = "NASWOT_LIFELINE"


def hold(folder: str | os.PathLike[str]) -> None:
    """Lock a file in a folder for as long as this process lives, and tell the jobs that it starts which.

    Where files cannot be written or locked, jobs are told nothing and outlive it.
    """
    os.environ.pop(VARIABLE, None)
    # Of this host: where locks hold within one only, the files of others would look as if nobody held them.
    path = Path(folder, f"naswot-main-{socket.gethostname()}.lock")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_orphans(path)
        _, file = locked_temporary(path)  # open, and so locked, until the process ends
        atexit.register(_remove, file, os.getpid())
        if not _free(file):
            os.environ[VARIABLE] = str(file.resolve())


def follow() -> None:
    """End this process, a job, as soon as the one that holds its lifeline has ended; what is written is kept."""
    if file := os.environ.get(VARIABLE):
        with suppress(OSError):
            if _free(Path(file)):
                _end()
            threading.Thread(target=_wait, args=(Path(file),), daemon=True).start()


def _free(file: Path, wait: bool = False) -> bool:
    """Whether nobody holds a file, if need be only after waiting for that; one that is gone was held by nobody."""
    try:
        handle = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | (0 if wait else fcntl.LOCK_NB))
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(handle)


def _wait(file: Path) -> None:
    with suppress(OSError):
        _free(file, wait=True)
        _end()


def _end() -> None:
    try:
        logging.warning("The Snakemake that started this job has ended, and so does the job. Start it again.")
    finally:
        os._exit(1)


def _remove(file: Path, holder: int) -> None:
    if os.getpid() == holder:  # not in a fork of it
        file.unlink(missing_ok=True)
