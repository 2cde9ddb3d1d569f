"""Pickles from the internet: plain numbers come back as they were, and nothing else is made or run."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from naswot_ext import pickles
from naswot_ext.errors import NaswotError

ADMITTED = {**pickles.NUMPY, **pickles.ORDERED_DICT, **pickles.ENCODE}
NUMBERS = [
    *(np.dtype(code).type(3) for code in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")),
    np.arange(6, dtype=np.uint8).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(4, dtype=">i2"),
]


def load(data: bytes, encoding: str = "ASCII") -> Any:
    return pickles.load(io.BytesIO(data), "the file", ADMITTED, encoding)


@pytest.mark.parametrize("protocol", range(2, 5))
@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{n.dtype}-{n.shape}")
def test_numbers_come_back_as_they_were(number: Any, protocol: int) -> None:
    for found in (load(pickle.dumps(number, protocol)), load(pickle.dumps({"a": [number]}, protocol))["a"][0]):
        assert np.array_equal(found, number)
        assert found.dtype.newbyteorder("=") == number.dtype.newbyteorder("=")
        assert isinstance(found, type(number))


def test_the_old_name_of_numpys_core_is_known_too() -> None:
    data = pickle.dumps([np.float64(1.5), np.arange(3)], 2).replace(b"numpy._core", b"numpy.core")
    number, array = load(data)
    assert (number, array.tolist()) == (1.5, [0, 1, 2])


def test_dictionaries_in_order_are_admitted() -> None:
    assert load(pickle.dumps(OrderedDict(a=1))) == OrderedDict(a=1)


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/naswot-was-here",)


def test_what_a_format_does_not_need_is_refused_by_name() -> None:
    with pytest.raises(NaswotError, match=r"the file asks for (posix|nt)\.system, which its format does not need"):
        load(pickle.dumps([Hostile()]))


def g(module: str, name: str) -> bytes:
    """The opcode that looks a name up."""
    return f"c{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def dtype(code: str) -> bytes:
    return g("numpy", "dtype") + b"(" + text(code) + b"K\x00K\x01tR"


CORE = "numpy._core.multiarray"
FIELD = b"(" + text("a") + b"t}" + text("a") + dtype("O8") + b"K\x00\x86s"
OBJECT_IN_VOID = dtype("V8") + b"(K\x03" + text("|") + b"N" + FIELD + b"K\x08K\x01K\x00tb"
FORGED = {
    # Each of these makes numpy's own classes read memory that is not theirs.
    "a pointer in a void": g(CORE, "scalar") + b"(" + OBJECT_IN_VOID + b"U\x08AAAAAAAAtR",
    "an object": g(CORE, "scalar") + b"(" + dtype("O8") + b"U\x08AAAAAAAAtR",
    "a text of negative length": dtype("U1") + b"(K\x03" + text("<") + b"NNNJ\xfc\xff\xff\xffK\x04K\x00tb",
    "fields of a number": dtype("f8") + b"(K\x03" + text("<") + b"N(" + text("a") + b"t}K\x08K\x01K\x00tb",
    "too few bytes of a number": g(CORE, "scalar") + b"(" + dtype("f8") + b"U\x04AAAAtR",
    "a number of no type": g(CORE, "scalar") + b"(NU\x08AAAAAAAAtR",
    "too few bytes of an array": (
        g(CORE, "_reconstruct") + b"(" + g("numpy", "ndarray") + b"K\x00\x85" + text("b") + b"tR"
        b"(K\x01K\x09\x85" + dtype("u1") + b"\x89U\x04AAAAtb"
    ),
    "an array of another class": g(CORE, "_reconstruct") + b"(" + g("collections", "OrderedDict") + b"K\x00\x85Ntr",
    "a call of the class of arrays": g("numpy", "ndarray") + b"(K\x02\x85" + text("O") + b"tR",
    "an attribute of a function": g(CORE, "scalar") + b"(N}" + text("__call__") + b"K\x01stb",
    "an attribute of a class": g("numpy", "dtype") + b"(N}" + text("plain") + b"K\x01stb",
    "bytes by way of a codec": g("_codecs", "encode") + b"(" + text("61") + text("hex") + b"tR",
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_numbers_are_refused_and_read_no_memory(name: str) -> None:
    # In a process of its own, which a mistake would kill.
    program = (
        "import sys, io; from naswot_ext import pickles; "
        "admitted = {**pickles.NUMPY, **pickles.ORDERED_DICT, **pickles.ENCODE}; "
        "print(repr(pickles.load(io.BytesIO(sys.stdin.buffer.read()), 'the file', admitted, 'latin1')))"
    )
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, input=b"\x80\x02" + FORGED[name] + b".", capture_output=True, check=False)
    assert run.returncode == 1, run.stdout
    assert b"NaswotError: the file is broken: it cannot be unpickled" in run.stderr.splitlines()[-1]


@pytest.mark.parametrize("data", [b"", b"no pickle", pickle.dumps([1] * 99)[:-20]])
def test_what_is_no_whole_pickle_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(NaswotError, match="the file is broken: it cannot be unpickled"):
        load(data)
