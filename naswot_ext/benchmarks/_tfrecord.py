"""TFRecord files, read record by record without TensorFlow.

A record is its length (8 bytes, little-endian), the masked CRC-32C of those, the data, and the masked CRC-32C of the
data. Source: "TFRecords format details" in TensorFlow's documentation.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

import google_crc32c

from naswot_ext.errors import NaswotError
from naswot_ext.files import refuse_stand_in

_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_MASK_ROTATION, _MASK_ADDEND = 15, 0xA282EAD8
# Reads ahead, so that most records cost no call of the operating system.
_BUFFER = 1 << 20


class Record(NamedTuple):
    """One record, and where it stands: its number, from 1, and the offset of its first byte."""

    number: int
    offset: int
    data: bytes


def records(path: str | os.PathLike[str]) -> Iterator[Record]:
    """The records of a file, checked; raises NaswotError, naming record and byte, where one is broken or cut off."""
    refuse_stand_in(path)
    offset, number = 0, 1
    with open(path, "rb", buffering=_BUFFER) as file:
        size = os.fstat(file.fileno()).st_size
        while offset < size:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                raise _broken(path, number, offset, "the file ends within it")
            length, checksum = _HEADER.unpack(header)
            if checksum != _masked_crc(header[:8]):
                raise _broken(path, number, offset, "the checksum of its length is wrong")
            end = offset + _HEADER.size + length + _CHECKSUM.size
            if end > size:
                raise _broken(path, number, offset, "the file ends within it")
            data, (checksum,) = file.read(length), _CHECKSUM.unpack(file.read(_CHECKSUM.size))
            if checksum != _masked_crc(data):
                raise _broken(path, number, offset, "the checksum of its data is wrong")
            yield Record(number, offset, data)
            offset, number = end, number + 1


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> _MASK_ROTATION | crc << 32 - _MASK_ROTATION) + _MASK_ADDEND) & 0xFFFFFFFF


def _broken(path: str | os.PathLike[str], number: int, offset: int, reason: str) -> NaswotError:
    what = " is no TFRecord file, or" if number == 1 else ""
    return NaswotError(f"{path}{what} is broken at record {number} (byte {offset}): {reason}. Fetch the file again.")
