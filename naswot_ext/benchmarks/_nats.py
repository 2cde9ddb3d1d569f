"""What the readers of NAS-Bench-201 and of NATS-Bench share: from an architecture's results to rows, and the files.

Both benchmarks (Dong & Yang, ICLR 2020; Dong et al., TPAMI 2021) record each training as a dict of per-epoch tables,
which the official packages' class `ArchResults` interprets: which table belongs to which split, means over the seeds.
That class is used as it is. The official `create` and `NATStopology(path)` are not: they unpickle whatever a file
holds, which can run any code, and keep all of it in memory.
"""

from __future__ import annotations

import bz2
import functools
import io
import logging
import math
import os
import re
import sys
import tarfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from nats_bench.api_utils import ArchResults

from naswot_ext import pickles
from naswot_ext.benchmarks import COLUMNS, source
from naswot_ext.errors import NaswotError, one_line, shown
from naswot_ext.files import refuse_stand_in
from naswot_ext.spaces import SearchSpace

log = logging.getLogger(__name__)

# The scalars among the numbers are numpy's; none of the formats holds an array.
SCALARS = {key: entry for key, entry in pickles.NUMPY.items() if key[1] in ("dtype", "scalar")}
ADMITTED = {**pickles.ORDERED_DICT, **SCALARS}

# Per data set: the official name of the trainings and of the split behind the validation accuracy, and behind the test
# accuracy. On CIFAR-10 the former are trained on one half of the training images and the latter on all of them.
_SPLITS = {
    "cifar10": (("cifar10-valid", "x-valid"), ("cifar10", "ori-test")),
    "cifar100": (("cifar100", "x-valid"), ("cifar100", "x-test")),
    "imagenet16-120": (("ImageNet16-120", "x-valid"), ("ImageNet16-120", "x-test")),
}
# Where the seeds of an architecture record different sizes, this one's is right (nats_bench 1.6, "legacy issue").
_SEED_OF_PARAMS = 888
# What a broken record can raise inside the official classes.
_BROKEN = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


def rows(
    space: SearchSpace, index: int, states: Mapping[int, Any], interpret: Callable[[Any], Any], version: str, where: str
) -> list[tuple[Any, ...]]:
    """The rows, in the order of COLUMNS, of one architecture.

    `states` are the official state dicts by the epochs of training, `interpret` the official function that makes an
    ArchResults of one, `where` names the record in errors. `n_seeds` counts the trainings behind the test accuracy (the
    validation accuracy where the file has no test accuracy). `train_seconds` is what published searches count as the
    cost of one evaluation: the training behind the validation accuracy and one pass over the validation images.
    """
    arch = space.architecture(index)
    try:
        found = []
        for epochs, state in states.items():
            # Given a text, the official classes would take it for the name of a file, and unpickle that.
            if not isinstance(state, dict):
                raise TypeError(f"results are a {type(state).__name__}")
            results = interpret(state)
            if results.arch_str != arch:
                raise ValueError(f"it is about {results.arch_str!r}; the official order has {arch!r} there")
            measured = {dataset: _row(results, dataset, epochs) for dataset in _SPLITS}
            if not any(measured.values()):
                raise ValueError(f"no results of {epochs} epochs")
            found += [(index, arch, dataset, epochs, *row, version) for dataset, row in measured.items() if row]
        return found
    except _BROKEN as error:
        raise NaswotError(
            f"{where} is broken: its results cannot be read ({type(error).__name__}: {one_line(error)}). Fetch the "
            "file again."
        ) from error


def _row(results: Any, dataset: str, epochs: int) -> tuple[float, float, float, int, int] | None:
    """The columns from valid_accuracy to params; None where the data set was not trained on for so long."""
    (valid_from, valid_split), (test_from, test_split) = _SPLITS[dataset]
    valid = _metrics(results, valid_from, valid_split, epochs)
    test = _metrics(results, test_from, test_split, epochs)
    if valid is None and test is None:
        return None
    seconds = math.nan
    if valid is not None:
        training = results.get_metrics(valid_from, "train")
        if training["all_time"] is not None and valid["all_time"] is not None:
            seconds = float(training["all_time"] + valid["all_time"] / epochs)
    trainings = results.query(valid_from if test is None else test_from)
    sizes = {seed: round(training.params * 1e6) for seed, training in trainings.items()}
    same = len(set(sizes.values())) == 1
    return (
        math.nan if valid is None else float(valid["accuracy"]),
        math.nan if test is None else float(test["accuracy"]),
        seconds,
        len(trainings),
        next(iter(sizes.values())) if same else sizes.get(_SEED_OF_PARAMS, -1),
    )


def _metrics(results: Any, trained_on: str, split: str, epochs: int) -> Any:
    """The official mean over the seeds after the last epoch; None where there is none."""
    if trained_on not in results.get_dataset_names():
        return None
    trainings = results.query(trained_on).values()
    if not trainings or any(split not in training.get_eval_set() for training in trainings):
        return None
    if results.get_total_epoch(trained_on) != epochs:
        raise ValueError(f"{results.get_total_epoch(trained_on)} epochs on {trained_on} where {epochs} are recorded")
    return results.get_metrics(trained_on, split)


def table(found: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """The ground-truth table of rows."""
    return pd.DataFrame(list(found), columns=list(COLUMNS))


def check_space(space: SearchSpace, name: str, source: str) -> None:
    """Raise NaswotError where a source is asked about another space than its own."""
    if space.name != name:
        raise NaswotError(f"{source} holds ground truth of {name}, not of {space.name}.")


def check_order(space: SearchSpace, architectures: Any, where: str) -> None:
    """Raise NaswotError where a file lists other architectures than the space, or lists them in another order."""
    if not isinstance(architectures, Sequence) or len(architectures) != len(space):
        count = len(architectures) if isinstance(architectures, Sequence) else "no"
        raise NaswotError(
            f"{where} lists {count} architectures; {space.name} has {len(space)}. Is it the file of another benchmark?"
        )
    for index, listed in enumerate(architectures):
        # Of another type, the comparison itself could raise.
        if type(listed) is not str or listed != space.architecture(index):
            raise NaswotError(
                f"{where} lists {shown(listed)} as architecture {index}, which is {space.architecture(index)!r} in "
                "the official files. Fetch the official file."
            )


def check_complete(space: SearchSpace, count: int, where: str) -> None:
    """Raise NaswotError where no architecture was found, and warn where not all were."""
    if not count:
        raise NaswotError(f"{where} has results of no architecture. Fetch it again.")
    if count < len(space):
        log.warning("%s has results of %d of the %d architectures of %s.", where, count, len(space), space.name)


class Progress:
    """Says on stderr now and then how far a long conversion is."""

    def __init__(self, what: str, total: int, every: float = 15.0) -> None:
        self._what, self._total, self._every = what, total, every
        self._start = self._said = time.monotonic()

    def __call__(self, done: int) -> None:
        """`done` of the architectures are read."""
        now = time.monotonic()
        if now - self._said >= self._every:
            self._said = now
            left = (now - self._start) / done * (self._total - done)
            print(
                f"{self._what}: {done} of {self._total} architectures read, about {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )


@dataclass(frozen=True)
class Member:
    """One file of the "simple" format: its architecture's index, None for the file of all of them."""

    index: int | None
    where: str
    # Its bytes as they are on disk.
    read: Callable[[], bytes]


_META, _ENDING = "meta.pickle.pbz2", ".pickle.pbz2"
_MEMBER = re.compile(rf"(\d{{1,9}}){re.escape(_ENDING)}", re.ASCII)
# Far above what any of the files needs (0.4 MB an architecture): nothing fills the memory by decompressing to more.
_LARGEST = 2**26
# Two keep the reader busy: decompressing, which runs beside it, is half of the work.
_UNPACKERS = 2


def register(name: str, space: str, hyper_parameters: Mapping[str, int]) -> None:
    """Register the source `name` of the "simple" format, which holds the ground truth of `space`."""

    def architectures(of: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
        check_space(of, space, name)
        return simple_listing(of, str(options["path"]))

    @source(name, architectures)
    def rows(of: SearchSpace, options: Mapping[str, Any]) -> pd.DataFrame:
        check_space(of, space, name)
        return simple(of, str(options["path"]), hyper_parameters)


def simple(space: SearchSpace, path: str, hyper_parameters: Mapping[str, int]) -> pd.DataFrame:
    """The rows of a NATS-Bench archive in the "simple" format, a folder or the tar file of one.

    `hyper_parameters` are the official names of the trainings and their epochs. Each file is unpickled with only the
    classes admitted that the format needs. Raises NaswotError, naming the file, where one is not as it should be.
    """
    found: list[tuple[Any, ...]] = []
    seen: set[int | None] = set()
    version = Path(os.path.abspath(path)).name.removesuffix(".tar")
    progress = Progress(version, len(space))
    with closing(_unpacked(_members(path))) as files:
        for member, data in files:
            _check_new(space, member, seen, path)
            content = _content(member, data)
            if member.index is None:
                check_order(space, content.get("meta_archs"), member.where)
                continue
            missing = [name for name in hyper_parameters if name not in content]
            if missing:
                raise NaswotError(
                    f"{member.where} has no results of hyper-parameters {', '.join(missing)}; a file of {space.name} "
                    f"has {', '.join(hyper_parameters)}. Fetch it again."
                )
            states = {epochs: content[name] for name, epochs in hyper_parameters.items()}
            found += rows(space, member.index, states, ArchResults.create_from_state_dict, version, member.where)
            progress(len(seen))
    _check_members(space, seen, path)
    return table(found)


def simple_listing(space: SearchSpace, path: str) -> pd.DataFrame:
    """The architectures, (arch_index, arch), that `simple` gives rows of, by the names of the files alone."""
    seen: set[int | None] = set()
    for member in _members(path):
        _check_new(space, member, seen, path)
        if member.index is None:
            check_order(space, _content(member, _unpack(member)).get("meta_archs"), member.where)
    _check_members(space, seen, path)
    return listing(space, (index for index in seen if index is not None))


def listing(space: SearchSpace, indices: Iterable[int]) -> pd.DataFrame:
    """The table of the architectures with these indices."""
    return pd.DataFrame([(index, space.architecture(index)) for index in indices], columns=["arch_index", "arch"])


def _check_new(space: SearchSpace, member: Member, seen: set[int | None], path: str) -> None:
    if member.index is not None and member.index >= len(space):
        raise NaswotError(f"{member.where}: {space.name} has no architecture {member.index}. Fetch the official files.")
    if member.index in seen:
        raise NaswotError(f"{member.where}: {path} holds another file of the same. Fetch it again.")
    seen.add(member.index)


def _check_members(space: SearchSpace, seen: set[int | None], path: str) -> None:
    if None not in seen:
        raise NaswotError(f"{path} has no {_META}. Give the folder, or the tar file of it, as it is downloaded.")
    check_complete(space, len(seen) - 1, path)


def _content(member: Member, data: bytes) -> dict[Any, Any]:
    content = pickles.load(io.BytesIO(data), member.where, ADMITTED)
    if not isinstance(content, dict):
        raise NaswotError(
            f"{member.where} holds a {type(content).__name__}, not the dict of a NATS-Bench file. Fetch it again."
        )
    return content


def _members(path: str) -> Iterator[Member]:
    if Path(path).is_dir():
        return _folder(Path(path))
    refuse_stand_in(path)
    return _tar(path)


def _folder(folder: Path) -> Iterator[Member]:
    """The files of a folder, the one of all architectures first."""
    numbered = [(int(match[1]), file) for file in folder.iterdir() if (match := _MEMBER.fullmatch(file.name))]
    if not (folder / _META).exists():
        raise NaswotError(f"{folder} has no {_META}. Give the folder, or the tar file of it, as it is downloaded.")
    for index, file in [(None, folder / _META), *sorted(numbered)]:
        yield Member(index, str(file), functools.partial(_contents, file))


def _contents(file: Path) -> bytes:
    refuse_stand_in(file)
    with open(file, "rb") as opened:
        return opened.read(_LARGEST)


def _tar(path: str) -> Iterator[Member]:
    """The files of a tar archive, in its order, read in passing: nothing is unpacked to disk."""
    try:
        with tarfile.open(path, "r|*") as archive:
            for entry in archive:
                name = PurePosixPath(entry.name).name
                match = _MEMBER.fullmatch(name)
                if match is None and name != _META:
                    continue
                where = f"{path}, {entry.name}"
                content = archive.extractfile(entry) if entry.isreg() else None
                if content is None:
                    raise NaswotError(f"{where} is no file but a link or a device. Do not use this archive.")
                # Read here: a stream of the network's kind has no way back.
                data = io.BytesIO(content.read(_LARGEST))
                yield Member(int(match[1]) if match else None, where, data.read)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise NaswotError(f"{path} is not a whole tar archive ({one_line(error)}). Fetch it again.") from error


def _unpacked(members: Iterator[Member]) -> Generator[tuple[Member, bytes]]:
    """The members and their decompressed bytes, in order; a few are decompressed ahead, beside the reader."""
    pending: deque[tuple[Member, Future[bytes]]] = deque()
    with ThreadPoolExecutor(_UNPACKERS) as pool:
        try:
            for member in members:
                pending.append((member, pool.submit(_unpack, member)))
                if len(pending) > 4 * _UNPACKERS:
                    member, unpacked = pending.popleft()
                    yield member, unpacked.result()
            for member, unpacked in pending:
                yield member, unpacked.result()
        finally:
            # Of an error, or where the reader stopped: what still waits is not wanted.
            pool.shutdown(wait=False, cancel_futures=True)


def _unpack(member: Member) -> bytes:
    unpacker = bz2.BZ2Decompressor()
    try:
        data = unpacker.decompress(member.read(), max_length=_LARGEST)
    except OSError as error:
        raise NaswotError(f"{member.where} is not a bzip2 file ({one_line(error)}). Fetch it again.") from error
    if not unpacker.eof:
        reason = "is larger than any of its format" if len(data) >= _LARGEST else "ends too soon"
        raise NaswotError(f"{member.where} {reason}. Fetch it again.")
    return data
