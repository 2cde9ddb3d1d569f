"""What the rules' scripts share: where their messages go, and how errors end them."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from naswot_ext import lifeline
from naswot_ext.errors import NaswotError


class _Both:
    """Writes to the terminal and to the log; a log on a full disk is no reason to stop."""

    def __init__(self, terminal: IO[str], log: str) -> None:
        self._terminal = terminal
        # Unbuffered, so that nothing is left to be written, and to fail, at the end.
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def write(self, text: str) -> None:
        self._terminal.write(text)
        self.write_log(text)

    def write_log(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._log, text.encode())

    def flush(self) -> None:
        self._terminal.flush()


@contextmanager
def reporting(job: Any) -> Iterator[None]:
    """Copy messages and warnings into the job's log; end the job with one line for an error that a user can mend.

    A job that succeeds leaves a record of how its result was made, for the archive. Any other error is a defect: its
    traceback goes to the log, and one line on the terminal says so.
    """
    both: Any = _Both(sys.stderr, job.log[0])
    logging.basicConfig(stream=both, format="%(message)s", force=True)
    with contextlib.redirect_stdout(both), contextlib.redirect_stderr(both):
        lifeline.follow()
        try:
            _forget(job)
            yield
            _record(job)
        except NaswotError as error:
            both.write(f"Error: {error}\n")
            sys.exit(1)
        except Exception as error:
            both.write(f"Error: {type(error).__name__}: {error} (a defect; its traceback is in {job.log[0]})\n")
            both.write_log(traceback.format_exc())
            sys.exit(1)


def _forget(job: Any) -> None:
    """Remove the record of what stood in the place of this job's result, which could be taken for its own."""
    from naswot_ext.archive.jobs import remove_record

    if not getattr(job, "replayed", False):
        remove_record(job)


def _record(job: Any) -> None:
    """Leave the job's record, unless an archive is being verified. A result without one is whole all the same."""
    from naswot_ext.archive.jobs import write_record

    if getattr(job, "replayed", False):
        return
    try:
        write_record(job, Path(sys.modules["__main__"].__file__ or "").stem)
    except Exception as error:
        logging.warning("How this result was made was not recorded (%s), so it cannot be archived.", error)


def source_options(job: Any) -> dict[str, Any]:
    """The options of a ground truth or a data set, with the `path` of its file (of the folder where it has several).

    A file of the user's own that stands for a download may be another than the official one; the log then says so.
    """
    from naswot_ext.downloads import check, files_of

    options = dict(job.params.options)
    files = job.input.get("files", [])
    files = [Path(file) for file in ([files] if isinstance(files, str) else files)]
    if files:
        options["path"] = str(files[0] if len(files) == 1 else files[0].parent)
    if split := job.input.get("split"):
        options["split_path"] = str(split)
    if name := job.params.get("download"):
        sources = Path(job.scriptdir, "../resources/sources.yaml")
        for file in files_of(name, sources):
            try:
                check(options["path"], name, file, sources)
            except NaswotError as error:
                logging.warning("%s It is read as it is.", error)
    return options


def search_facts(job: Any) -> dict[str, Any]:
    """How a search was made, for the metadata of its table."""
    options = dict(job.params.search)
    return {
        "proxy": None,
        "n_samples": None,
        **options,
        "space": job.wildcards.space,
        "scored_on": job.wildcards.dataset,
        "label": job.wildcards.algorithm,
        "draw": job.params.draw,
        "repeats": job.params.repeats,
    }


def search_tables(files: Iterable[str]) -> dict[str, Any]:
    """Search tables by what people call their searches."""
    from naswot_ext.provenance import read_provenance, read_table
    from naswot_ext.tables import search_label

    found = {}
    for file in files:
        made_by = read_provenance(file)
        algorithm = "@".join(filter(None, (made_by["algorithm"], made_by.get("variant"))))
        found[search_label(algorithm, made_by["proxy"], made_by["n_samples"])] = read_table(file)
    return found
