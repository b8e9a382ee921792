"""Compressing a stream's body as it goes out: what was written can be read at once."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Protocol, final

from .checksums import appended
from .content_coding import zstd_module

__all__ = [
    "END_FRAME",
    "Compressor",
    "Place",
    "available_codings",
    "deflating",
    "open_compressor",
    "zstd_step",
]

#: Of many streams, each with a window of its own. Of 500 in turn, ticks of 183 bytes / fragments of
#: 5.3 kB, in per cent of their bytes, us an event and KiB a stream:
#:   level 6, 8 KiB (13), memory 5: 19.6 / 8.5, 12.6 / 50, 52;  memory 4: the same, 45
#:   level 5, memory 4: 20.3 / 8.8, 9.6 / 48, 45;  level 2: 22.2 / 11.5, 7 / 38;  4 KiB: 26 / 13.7
_GZIP = (5, 13, 4)

#: The same of zstd: level, window, hash; the least match is below. What the tables take in memory
#: matters, but not to the time: building what each block is coded by is most of it.
#:   level 1, 16 KiB (14), hash 12: 23.3 / 8.5, 2.6 / 17, 78;  hash 10: 23.2 / 8.6, 2.6 / 15, 66
#:   8 KiB: 23.3 / 12.6, 58;  4 KiB: 31.6 / 18.4, 52;  level 3: 22.9 / 8.6, 3.9 / 20, 94
_ZSTD = (1, 14, 10)

#: RFC 1952: deflate, no flags, no time, and an unknown system.
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

#: RFC 8878, 3.1.1: the magic number, no flags (so no size and no checksum), a window of 128 KiB.
_ZSTD_HEAD = b"\x28\xb5\x2f\xfd\x00\x38"

#: RFC 8878, 3.1.1.2: a last block, raw and empty. The frames have no checksum.
END_FRAME = b"\x01\x00\x00"

#: The most that a block of stored bytes holds: of deflate, and of a zstd window as above.
_DEFLATE_BLOCK, _ZSTD_BLOCK = 2**16 - 1, 2**17

#: Bytes of which it is not worth a compressor's beginning to make them 15 % fewer.
_FEW = 1024


class Place(Protocol):
    """Where somebody is in what many are sent alike: after how much, and of what."""

    checksum: int
    size: int


class Compressor(Protocol):
    """What makes one body in a content coding."""

    def compress(self, data: bytes | memoryview) -> bytes:
        """Bytes from which a client can read all of ``data``, whatever comes after them."""

    def alone(self, data: bytes | memoryview, *, stored: bool = False) -> bytes:
        """The same, but that nothing is held: it is no help to what follows, nor helped itself.

        Stored, its size is that of ``data``, and tells nothing about it.
        """

    def rest(self) -> None:
        """Let go of the memory until more is written: that begins anew, as if nothing had been."""

    def lead_in(self) -> bytes:
        """What goes before blocks that were made for many, and begin with nothing before them."""

    def note_shared(self, begin: Place, end: Place) -> None:
        """Behind `lead_in` the client was sent what many were sent, from one place to another."""

    def end(self) -> bytes:
        """The end of the coding, without which the body is unfinished."""


def available_codings() -> tuple[str, ...]:
    """The names of what can be made here: zstd where its module is there."""
    return ("gzip",) if zstd_module() is None else ("gzip", "zstd")


def open_compressor(name: str) -> Compressor:
    """A compressor for one body; ``name`` is one of `available_codings`."""
    return _Gzip() if name == "gzip" else _Zstd()


def deflating(level: int, window: int, memory: int) -> zlib._Compress:
    """What makes the blocks of deflate, without a head and a tail."""
    return zlib.compressobj(level, zlib.DEFLATED, -window, memory)


def zstd_step(level: int, window: int, hashed: int) -> Any:
    """What makes a frame of zstd."""
    zstd = zstd_module()
    names = zstd.CompressionParameter
    options = {names.compression_level: level, names.window_log: window, names.hash_log: hashed}
    options[names.min_match] = 5  # that of level 3; level 1 looks for longer ones only
    if level > 2:
        options[names.chain_log] = hashed
    return zstd.ZstdCompressor(options=options)


@final
class _Gzip:
    """One header, and behind it the blocks of any number of compressors.

    Blocks that were made without knowing of those before them are as good as others; members of
    their own, which begin with headers, are read by no browser but for the first.
    """

    __slots__ = ("_checksum", "_size", "_step")

    def __init__(self) -> None:
        self._step: zlib._Compress | None = None
        self._checksum = 0
        self._size = -1  # until the header is out

    def compress(self, data: bytes | memoryview) -> bytes:
        head = self._head()
        if self._step is None:
            self._step = deflating(*_GZIP)
        self._note(data)
        return b"".join((head, self._step.compress(data), self._step.flush(zlib.Z_SYNC_FLUSH)))

    def alone(self, data: bytes | memoryview, *, stored: bool = False) -> bytes:
        if not (stored or len(data) <= _FEW):
            self.rest()
            made = self.compress(data)
        else:
            made = self._head() + b"".join(_stored_blocks(data))
            self._note(data)
        self.rest()  # how far back its matches are it counts without these
        return made

    def rest(self) -> None:
        self._step = None

    def lead_in(self) -> bytes:
        self.rest()
        return self._head()

    def note_shared(self, begin: Place, end: Place) -> None:
        size = end.size - begin.size
        # What is left of both beginnings is the same as that of one that is their difference.
        self._checksum = appended(self._checksum ^ begin.checksum, end.checksum, size)
        self._size += size

    def end(self) -> bytes:
        # The last block, which is empty: "03 00" in the fixed code.
        tail = struct.pack("<LL", self._checksum, max(self._size, 0) % 2**32)
        return self._head() + b"\x03\x00" + tail

    def _head(self) -> bytes:
        if self._size >= 0:
            return b""
        self._size = 0
        return _GZIP_HEAD

    def _note(self, data: bytes | memoryview) -> None:
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)


def _stored_blocks(data: bytes | memoryview) -> list[bytes | memoryview]:
    """RFC 1951, 3.2.4: not the last, stored; the size, its complement, the bytes."""
    parts: list[bytes | memoryview] = []
    for start in range(0, len(data), _DEFLATE_BLOCK):
        piece = data[start : start + _DEFLATE_BLOCK]
        parts += (struct.pack("<BHH", 0, len(piece), len(piece) ^ 0xFFFF), piece)
    return parts


@final
class _Zstd:
    """One frame, or several if it rests in between."""

    __slots__ = ("_begun", "_open", "_step")

    def __init__(self) -> None:
        self._step: Any = None
        self._begun = False
        #: Whether a frame has begun that has not been ended.
        self._open = False

    def compress(self, data: bytes | memoryview) -> bytes:
        end = b""
        if not data:
            return b""  # of which zstd makes no frame that could be ended
        if self._step is None:
            end = self.lead_in()
            self._step = zstd_step(*_ZSTD)
            self._begun = self._open = True
        made: bytes = self._step.compress(data, mode=self._step.FLUSH_BLOCK)
        return end + made

    def alone(self, data: bytes | memoryview, *, stored: bool = False) -> bytes:
        if not data:
            return b""
        self.rest()
        if not (stored or len(data) <= _FEW):
            made = self.compress(data)
            self.rest()
            return made  # which whatever comes next ends
        end = self.lead_in()
        self._begun = True
        return b"".join((end, _ZSTD_HEAD, *_raw_blocks(data)))

    def rest(self) -> None:
        self._step = None

    def lead_in(self) -> bytes:
        self.rest()
        was_open, self._open = self._open, False
        return END_FRAME if was_open else b""

    def note_shared(self, begin: Place, end: Place) -> None:
        self._begun = self._open = True

    def end(self) -> bytes:
        if self._begun:
            return self.lead_in()
        empty: bytes = zstd_step(*_ZSTD).flush()
        return empty


def _raw_blocks(data: bytes | memoryview) -> list[bytes | memoryview]:
    """RFC 8878, 3.1.1.2: of 24 bits the size, two for raw, and whether it is the last."""
    parts: list[bytes | memoryview] = []
    for start in range(0, len(data), _ZSTD_BLOCK):
        piece = data[start : start + _ZSTD_BLOCK]
        last = start + _ZSTD_BLOCK >= len(data)
        parts += ((len(piece) << 3 | last).to_bytes(3, "little"), piece)
    return parts
