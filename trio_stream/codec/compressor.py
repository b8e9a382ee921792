"""Compressing a stream's body as it goes out: what was written can be read at once."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Protocol, final

from .content_coding import zstd_module

__all__ = ["Compressor", "available_codings", "open_compressor"]

#: Of many streams, each with a window of its own: level 6, a window of 8 KiB, little beside it. 50
#: KiB for each, and a twentieth more bytes than with all that zlib can have, which is 200 KiB.
_LEVEL, _WINDOW, _MEMORY = 6, 13, 5

#: The same of zstd: 90 KiB, and a tenth more bytes than with a megabyte.
_ZSTD_LEVEL, _ZSTD_WINDOW, _ZSTD_HASH = 1, 14, 12

#: RFC 1952: deflate, no flags, no time, and an unknown system.
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


class Compressor(Protocol):
    """What makes one body in a content coding."""

    def compress(self, data: bytes | memoryview) -> bytes:
        """Bytes from which a client can read all of ``data``, whatever comes after them."""

    def rest(self) -> None:
        """Let go of the memory until more is written: that begins anew, as if nothing had been."""

    def end(self) -> bytes:
        """The end of the coding, without which the body is unfinished."""


def available_codings() -> tuple[str, ...]:
    """The names of what can be made here: zstd where its module is there."""
    return ("gzip",) if zstd_module() is None else ("gzip", "zstd")


def open_compressor(name: str) -> Compressor:
    """A compressor for one body; ``name`` is one of `available_codings`."""
    return _Gzip() if name == "gzip" else _Zstd(zstd_module())


@final
class _Gzip:
    """One header, and behind it the blocks of any number of compressors.

    Blocks that were made without knowing of those before them are as good as others; members of
    their own, which begin with headers, are read by no browser but for the first.
    """

    __slots__ = ("_checksum", "_size", "_step")

    def __init__(self) -> None:
        self._step: Any = None
        self._checksum = 0
        self._size = -1  # until the header is out

    def compress(self, data: bytes | memoryview) -> bytes:
        head = b""
        if self._size < 0:
            head, self._size = _GZIP_HEAD, 0
        if self._step is None:
            self._step = zlib.compressobj(_LEVEL, zlib.DEFLATED, -_WINDOW, _MEMORY)
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)
        return b"".join((head, self._step.compress(data), self._step.flush(zlib.Z_SYNC_FLUSH)))

    def rest(self) -> None:
        self._step = None

    def end(self) -> bytes:
        head = _GZIP_HEAD if self._size < 0 else b""
        # The last block, which is empty: "03 00" in the fixed code.
        return head + b"\x03\x00" + struct.pack("<LL", self._checksum, max(self._size, 0) % 2**32)


@final
class _Zstd:
    """One frame, or several if it rests in between."""

    __slots__ = ("_begun", "_open", "_options", "_step", "_zstd")

    def __init__(self, zstd: Any) -> None:
        self._zstd = zstd
        names = zstd.CompressionParameter
        self._options = {
            names.compression_level: _ZSTD_LEVEL,
            names.window_log: _ZSTD_WINDOW,
            names.hash_log: _ZSTD_HASH,
        }
        self._step: Any = None
        self._begun = False
        #: Whether a frame has begun that has not been ended.
        self._open = False

    def compress(self, data: bytes | memoryview) -> bytes:
        end = b""
        if not data:
            return b""  # of which zstd makes no frame that could be ended
        if self._step is None:
            end = self._end_frame()
            self._step = self._zstd.ZstdCompressor(options=self._options)
            self._begun = self._open = True
        made: bytes = self._step.compress(data, mode=self._zstd.ZstdCompressor.FLUSH_BLOCK)
        return end + made

    def rest(self) -> None:
        self._step = None

    def end(self) -> bytes:
        if self._begun:
            self.rest()
            return self._end_frame()
        empty: bytes = self._zstd.compress(b"", options=self._options)
        return empty

    def _end_frame(self) -> bytes:
        """RFC 8878, 3.1.1.2: a last block, raw and empty. The frames have no checksum."""
        was_open, self._open = self._open, False
        return b"\x01\x00\x00" if was_open else b""
