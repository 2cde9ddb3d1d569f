"""Reading pickles from the internet: only what a format needs is ever looked up, so none can run code.

numpy's own dtypes, arrays and scalars believe any state that a pickle gives them, even one that makes numbers into
pointers; stand-ins take their place here, which build plain numbers only. Nothing that is looked up can be changed by a
pickle. Source: "Restricting Globals" in the documentation of Python's `pickle` module.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from naswot_ext.errors import NaswotError, one_line

_CODES = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


class _Dtype:
    """Stands for numpy.dtype: a plain number's, in either byte order."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        self._code, self._order = _text(code), "="
        if self._code not in _CODES:
            raise pickle.UnpicklingError(f"numbers of the type {self._code[:20]!r}")

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, subarray, names, fields, size, alignment, flags), as it is of a plain number.
        order, rest = _text(state[1]), tuple(state[2:])
        if order not in ("<", ">", "|", "=") or rest not in (
            (None, None, None, -1, -1, 0),
            (None, None, None, 1, 1, 0),
        ):
            raise pickle.UnpicklingError("a type that is not that of plain numbers")
        self._order = order

    def plain(self) -> np.dtype[Any]:
        """The dtype itself."""
        return np.dtype(self._order + self._code)


class _Array(np.ndarray[Any, Any]):
    """An array that is empty until it gets its state."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        plain = _plain(dtype)
        sizes = tuple(shape)
        if not isinstance(data, bytes) or not all(type(size) is int and size >= 0 for size in sizes):
            raise pickle.UnpicklingError("an array that is not its bytes")
        if math.prod(sizes) * plain.itemsize != len(data):
            raise pickle.UnpicklingError("an array of another size than its bytes")
        super().__setstate__((1, sizes, plain, bool(is_fortran), data))  # type: ignore[arg-type]


class _Scalar:
    """Stands for the function that makes a numpy scalar of its bytes."""

    # No attributes: a pickle can set those of whatever it looks up.
    __slots__ = ()

    def __call__(self, dtype: Any, data: Any) -> Any:
        data = data.encode("latin1") if isinstance(data, str) else data
        plain = _plain(dtype)
        if not isinstance(data, bytes) or len(data) != plain.itemsize:
            raise pickle.UnpicklingError("a number that is not its bytes")
        return np.frombuffer(data, plain)[0]


class _Reconstruct:
    """Stands for the function that makes an empty array, whose state follows."""

    __slots__ = ()

    def __call__(self, kind: Any, shape: Any, code: Any) -> _Array:
        if kind is not _NDARRAY:
            raise pickle.UnpicklingError("an array of another class than numpy's")
        return _Array((0,), "u1")


class _Encode:
    """Stands for _codecs.encode, by which Python 3 writes bytes into pickles that Python 2 can read."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"bytes in the encoding {encoding[:20]!r}")
        return text.encode("latin1")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _plain(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("numbers without their type")
    return dtype.plain()


_NDARRAY = object()  # nothing to call
# What numpy's arrays and scalars are rebuilt from; numpy 2 renamed its core, and old files have the old name.
NUMPY: dict[tuple[str, str], Any] = {("numpy", "dtype"): _Dtype, ("numpy", "ndarray"): _NDARRAY}
for _core in ("numpy.core", "numpy._core"):
    NUMPY[f"{_core}.multiarray", "_reconstruct"] = _Reconstruct()
    NUMPY[f"{_core}.multiarray", "scalar"] = _Scalar()
ORDERED_DICT: dict[tuple[str, str], Any] = {("collections", "OrderedDict"): OrderedDict}
ENCODE: dict[tuple[str, str], Any] = {("_codecs", "encode"): _Encode()}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, what: str, admitted: Mapping[tuple[str, str], Any], encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        self._what, self._admitted = what, admitted

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._admitted:
            raise NaswotError(
                f"{self._what} asks for {module}.{name}, which its format does not need; to look it up could run any "
                "code. Do not use this file; fetch it anew from a source that you trust."
            )
        return self._admitted[module, name]


def load(file: BinaryIO, what: str, admitted: Mapping[tuple[str, str], Any], encoding: str = "ASCII") -> Any:
    """The next object of the pickle `file`, made of builtin types and of the `admitted` {(module, name): entry}.

    `what` names the file in errors. Raises NaswotError, naming the class, where it asks for another one, and where
    it is no whole pickle.
    """
    with whole(what):
        return _Unpickler(file, what, admitted, encoding).load()


@contextmanager
def whole(what: str) -> Iterator[None]:
    """Raise NaswotError, naming the file `what`, for whatever a broken pickle raises, which can be nearly anything."""
    try:
        yield
    except NaswotError:
        raise  # a refused class is told as it is
    except Exception as error:
        raise NaswotError(
            f"{what} is broken: it cannot be unpickled ({type(error).__name__}: {one_line(error)}). Fetch it again."
        ) from error
