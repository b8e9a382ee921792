"""How values are written for PostgreSQL, and read: its binary forms, as few as are needed here."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

__all__ = [
    "BOOL",
    "BYTES",
    "BYTES_ARRAY",
    "FLOAT",
    "FLOAT_ARRAY",
    "INT",
    "LONG",
    "LONG_ARRAY",
    "NO_XIDS",
    "RAW_XID",
    "RAW_XIDS",
    "UUID",
    "ZERO_XID",
    "Statement",
    "array_length",
    "read_bytes_array",
    "read_int",
    "read_int_array",
]


class Kind(NamedTuple):
    """A type: its number in PostgreSQL, and what writes a value."""

    oid: int
    write: Callable[[Any], bytes]


@dataclass(frozen=True)
class Statement:
    """What is prepared once on each connection."""

    name: str
    text: str
    kinds: tuple[Kind, ...]

    @classmethod
    def of(cls, function: str, *kinds: Kind) -> Statement:
        """All that a function of the schema returns."""
        numbers = ", ".join(f"${n}" for n in range(1, len(kinds) + 1))
        return cls(function, f"SELECT * FROM trio_stream.{function}({numbers})", kinds)


_head, _length = struct.Struct("!iiIii"), struct.Struct("!i")
_long, _int, _float = struct.Struct("!q"), struct.Struct("!i"), struct.Struct("!d")


def _array(oid: int, write: Callable[[Any], bytes]) -> Callable[[Sequence[Any]], bytes]:
    def write_array(values: Sequence[Any]) -> bytes:
        if not values:
            return struct.pack("!iiI", 0, 0, oid)
        head = _head.pack(1, int(None in values), oid, len(values), 1)
        return head + b"".join(chain.from_iterable(map(write_item, values)))

    def write_item(value: Any) -> tuple[bytes, ...]:
        if value is None:
            return (b"\xff\xff\xff\xff",)
        data = write(value)
        return _length.pack(len(data)), data

    return write_array


BOOL = Kind(16, lambda value: b"\x01" if value else b"\x00")
BYTES = Kind(17, bytes)
LONG = Kind(20, _long.pack)
INT = Kind(23, _int.pack)
FLOAT = Kind(701, _float.pack)
UUID = Kind(2950, bytes)
BYTES_ARRAY = Kind(1001, _array(17, bytes))
LONG_ARRAY = Kind(1016, _array(20, _long.pack))
FLOAT_ARRAY = Kind(1022, _array(701, _float.pack))
#: What is given back as it came.
RAW_XID, RAW_XIDS = Kind(5069, bytes), Kind(271, bytes)
ZERO_XID, NO_XIDS = _long.pack(0), struct.pack("!iiI", 0, 0, 5069)


def read_int(data: bytes) -> int:
    """A whole number of any size, or a boolean."""
    return int.from_bytes(data, "big", signed=True)


def read_bytes_array(data: bytes) -> list[bytes]:
    """An array of bytes, none of which is NULL."""
    if len(data) < _head.size:
        return []
    count, place = _int.unpack_from(data, 12)[0], _head.size
    found = []
    for _ in range(count):
        size = _int.unpack_from(data, place)[0]
        found.append(data[place + 4 : place + 4 + size])
        place += 4 + size
    return found


def read_int_array(data: bytes) -> list[int]:
    """An array of whole numbers, none of which is NULL."""
    if len(data) < _head.size:
        return []
    count, size = _int.unpack_from(data, 12)[0], _int.unpack_from(data, _head.size)[0]
    each = "4xq" if size == 8 else "4xi"  # its length before it, and all of them are alike
    return list(struct.unpack_from(f"!{count * each}", data, _head.size))


def array_length(data: bytes) -> int:
    """How many items an array has."""
    return int(_int.unpack_from(data, 12)[0]) if len(data) >= _head.size else 0
