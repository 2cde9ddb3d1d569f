"""The fields of a serialised protocol buffer, without its schema.

Source: "Encoding" in the documentation of Protocol Buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

VARINT, DOUBLE, BYTES = 0, 1, 2
_FIXED32 = 5
_FIXED_SIZES = {DOUBLE: 8, _FIXED32: 4}
_DOUBLE = struct.Struct("<d")


def fields(message: bytes) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of each field: an unsigned int, a double, or bytes; raises ValueError where broken.

    Eight bytes are read as a double, whatever the schema says; four are left as bytes.
    """
    position, end = 0, len(message)
    while position < end:
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise ValueError(f"field number 0 at byte {position - 1}")
        if wire_type == VARINT:
            value, position = _varint(message, position)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            length, position = _varint(message, position)
        elif wire_type in _FIXED_SIZES:
            length = _FIXED_SIZES[wire_type]
        else:
            raise ValueError(f"unknown wire type {wire_type} at byte {position - 1}")
        content = message[position : position + length]
        if len(content) < length:
            raise ValueError(f"the message ends within field {number}")
        position += length
        yield number, wire_type, _DOUBLE.unpack(content)[0] if wire_type == DOUBLE else content


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """An unsigned integer, seven bits a byte, and the position behind it."""
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(message):
            raise ValueError("the message ends within a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"a number of more than 64 bits before byte {position}")
