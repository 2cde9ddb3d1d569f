"""Reading one huge pickle in bounded memory, its records one at a time.

`pickle.load` keeps all that it makes until its end, and the memo of the format keeps a reference to each text and each
dict besides: of NAS-Bench-201's 4.7 GB it makes over 20 GB. Here a record is handed over as soon as it is whole and is
then forgotten. The format allows a later record to refer to any part of an earlier one; where one does, that one is
read once more.

Built on Python's own unpickler written in Python, which is slow: the long runs of ``key: float`` in per-epoch tables,
which are nearly all of the file, are taken by a regular expression at once. Classes are looked up by
`naswot_ext.pickles`.
"""

from __future__ import annotations

import functools
import io
import pickle
import re
import struct
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, ClassVar

from naswot_ext import pickles
from naswot_ext.errors import NaswotError

_CHUNK = 2**20
# Longer than any per-epoch table (three times 200 entries of at most 40 bytes).
_TABLE = 2**15
# Texts of keys that are kept from record to record.
_MOST_NAMES = 2**14


class _Done(Exception):
    """The end of the pickle, or of the record that is read once more."""


class _Buffer:
    """A file read in large pieces, with what the unpickler needs of a file."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._end = start  # of what was read so far
        self.data = b""
        self.at = 0

    def tell(self) -> int:
        """The position in the file of the next byte."""
        return self._end - len(self.data) + self.at

    def fill(self, count: int) -> None:
        """Have at least `count` bytes ahead, or all that there are."""
        if len(self.data) - self.at < count:
            # Another buffer may have moved it.
            self._file.seek(self._end)
            more = self._file.read(max(count, _CHUNK))
            self._end += len(more)
            self.data, self.at = self.data[self.at :] + more, 0

    def read(self, count: int) -> bytes:
        self.fill(count)
        part = self.data[self.at : self.at + count]
        self.at += count
        if len(part) < count:
            raise EOFError("it ends too soon")
        return part

    def readinto(self, into: bytearray) -> int:
        into[:] = self.read(len(into))
        return len(into)

    def readline(self) -> bytes:
        self.fill(_TABLE)
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise EOFError("a line is too long, or does not end")
        return self.read(end + 1 - self.at)


class _Memo(dict[int, Any]):
    """What the present record put in the memo; the rest is asked for."""

    def __init__(self, ask: Callable[[int], Any]) -> None:
        super().__init__()
        self._ask = ask

    def __missing__(self, index: int) -> Any:
        return self._ask(index)


class _Names(dict[bytes, str]):
    """The texts of keys: the same few hundred in every record."""

    def __missing__(self, key: bytes) -> str:
        name = self[key] = str(key, "utf-8", "surrogatepass")
        return name


@functools.cache
def _run(length: int) -> re.Pattern[bytes]:
    """A run of: a text of `length` bytes, its number in the memo, a float."""
    text = re.escape(pickle.BINUNICODE + struct.pack("<I", length)) + b".{%d}" % length
    return re.compile(b"(?s:%sr.{4}G.{8})++" % text)


_RUN_OF_NUMBERS = re.compile(rb"(?s:K.G.{8})++")
_RUN_OF_KNOWN = re.compile(rb"(?s:j.{4}G.{8})++")


class _Unpickler(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(
        self,
        file: BinaryIO,
        start: int,
        what: str,
        admitted: Mapping[tuple[str, str], Any],
        is_record: Callable[[dict[Any, Any]], bool],
        use: Callable[[Any, dict[Any, Any]], None],
    ) -> None:
        super().__init__(file, encoding="utf-8")
        self._file, self._what, self._admitted = file, what, admitted
        self._is_record, self._use = is_record, use
        self._buffer = _Buffer(file, start)
        self.read, self.readline, self.readinto = self._buffer.read, self._buffer.readline, self._buffer.readinto
        self.stack: list[Any] = []
        self.append = self.stack.append
        self.metastack: list[list[Any]] = []
        self.memo: dict[int, Any] = _Memo(self._from_elsewhere)
        self._memoized = 0
        self._names = _Names()
        # Of each record but the first: where its opcodes begin, and its first number in the memo.
        self._starts: list[int] = []
        self._firsts: list[int] = []
        # The start of the record that is being read; what lies before the second record is kept.
        self._start: int | None = None
        self._kept: dict[int, Any] = {}
        self._again: tuple[int, dict[int, Any]] = (-1, {})

    def run(self) -> None:
        try:
            while True:
                self.dispatch[self.read(1)[0]](self)
        except _Done:
            pass

    def find_class(self, module: str, name: str) -> Any:
        return pickles.load(io.BytesIO(f"c{module}\n{name}\n.".encode()), self._what, self._admitted, "utf-8")

    def persistent_load(self, pid: Any) -> Any:
        raise NaswotError(f"{self._what} holds tensors, which its format has not. Give the official file.")

    def load_stop(self) -> None:
        raise _Done

    dispatch[pickle.STOP[0]] = load_stop

    def load_frame(self) -> None:
        self.read(8)

    dispatch[pickle.FRAME[0]] = load_frame

    def load_memoize(self) -> None:
        self.memo[self._memoized] = self.stack[-1]
        self._memoized += 1

    dispatch[pickle.MEMOIZE[0]] = load_memoize

    def load_mark(self) -> None:
        self.metastack.append(self.stack)
        self.stack = []
        self.append = self.stack.append
        self._take_runs()

    dispatch[pickle.MARK[0]] = load_mark

    def _take_runs(self) -> None:
        """Put the pairs that follow on the stack, as far as they are of the usual kinds."""
        buffer = self._buffer
        buffer.fill(_TABLE)
        while len(ahead := buffer.data[buffer.at : buffer.at + 5]) == 5:
            kind, length = ahead[:1], int.from_bytes(ahead[1:], "little")
            if kind == pickle.BININT1:
                pattern, size, form = _RUN_OF_NUMBERS, 11, "xBxd"
            elif kind == pickle.LONG_BINGET:
                pattern, size, form = _RUN_OF_KNOWN, 14, "x4sxd"
            elif kind == pickle.BINUNICODE and length < 64:
                pattern, size, form = _run(length), length + 19, f"5x{length}s6xd"
            else:
                return
            match = pattern.match(buffer.data, buffer.at)
            if match is None:
                return
            buffer.at = match.end()
            count = len(match[0]) // size
            pairs = list(struct.unpack(">" + form * count, match[0]))
            if kind == pickle.LONG_BINGET:
                pairs[::2] = [self.memo[int.from_bytes(number, "little")] for number in pairs[::2]]
            elif kind == pickle.BINUNICODE:
                pairs[::2] = map(self._names.__getitem__, pairs[::2])
                numbers = struct.unpack("<" + f"{length + 6}xI9x" * count, match[0])
                self.memo.update(zip(numbers, pairs[::2], strict=True))
            self.stack.extend(pairs)

    def load_setitems(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        self._set(items[::2], items[1::2])

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key], [value])

    dispatch[pickle.SETITEM[0]] = load_setitem

    def _set(self, keys: list[Any], values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is dict:
            target.update(zip(keys, values, strict=True))
            if self._is_record(target):
                self._finish(target)
        else:
            for key, value in zip(keys, values, strict=True):
                target[key] = value

    def _finish(self, record: dict[Any, Any]) -> None:
        self._use(self.stack[-2], record)
        record.clear()
        if len(self._names) > _MOST_NAMES:
            self._names.clear()
        if self._start is None:
            self._kept.update(self.memo)
        else:
            self._starts.append(self._start)
            self._firsts.append(next(iter(self.memo), self._memoized))
        self.memo.clear()
        self._start = self._buffer.tell()

    def _from_elsewhere(self, number: int) -> Any:
        """What an earlier record put in the memo."""
        if number not in self._kept:
            place = bisect_right(self._firsts, number) - 1
            if place < 0:
                raise KeyError(f"nothing has the number {number} in the memo")
            if self._again[0] != place:
                self._again = (place, self._read_again(place))
            self._kept[number] = self._again[1][number]
        return self._kept[number]

    def _read_again(self, place: int) -> dict[int, Any]:
        """The memo of an earlier record."""

        def stop(key: Any, record: dict[Any, Any]) -> None:
            raise _Done

        again = _Unpickler(self._file, self._starts[place], self._what, self._admitted, self._is_record, stop)
        again._kept, again._memoized = self._kept, self._firsts[place]
        again._starts, again._firsts = self._starts[:place], self._firsts[:place]
        # What is below the record on the stack: the dict that it is put into.
        again.metastack.append([{}])
        again.run()
        return dict(again.memo)


def read(
    file: BinaryIO,
    what: str,
    admitted: Mapping[tuple[str, str], Any],
    is_record: Callable[[dict[Any, Any]], bool],
    use: Callable[[Any, dict[Any, Any]], None],
) -> Any:
    """The object of the pickle that begins at the position of `file`, where the file is left at its end.

    Each dict for which `is_record` holds is given to `use`, with the key under which it stands, when it is whole, and
    is empty afterwards. `file` must be able to seek; `what` and `admitted` are those of `pickles.load`, and so is what
    is raised.
    """
    unpickler = _Unpickler(file, file.tell(), what, admitted, is_record, use)
    with pickles.whole(what):
        unpickler.run()
        result = unpickler.stack.pop()
    file.seek(unpickler._buffer.tell())
    return result
