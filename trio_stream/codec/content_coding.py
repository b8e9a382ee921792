"""Content codings, undone in pieces of bounded size.

HTTP clients undo them too, but all that a piece holds at once: 64 KiB of brotli can be gigabytes.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from ..errors import RemoteProtocolError

__all__ = ["CodingError", "accepted_codings", "open_coding"]

#: Bytes that one step may make. Brotli's may be twice that, says its documentation.
PIECE = 2**18

#: Turns the next bytes of a body into pieces of what they stand for.
Undo = Callable[[bytes], Iterator[bytes]]


class CodingError(Exception):
    """The bytes are not in the coding that the header names."""


def accepted_codings() -> str:
    """The ``Accept-Encoding`` of a request."""
    return "gzip, deflate" if _brotli() is None else "gzip, deflate, br"


def open_coding(content_encoding: str) -> Undo:
    """What undoes the codings of a ``Content-Encoding`` header.

    Words that are no coding at all are passed over, as browsers do: ``none`` is often sent to keep
    proxies from compressing a stream.

    Raises:
      RemoteProtocolError: it names a coding that cannot be undone here, or more than two.
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    names = [name for name in names if name in _CODINGS]
    if len(names) > 2 or any(_CODINGS[name]() is None for name in names):
        raise RemoteProtocolError(
            f"the server sent Content-Encoding: {content_encoding[:80]}, "
            f"though it was asked for {accepted_codings()}"
        )
    undo: Undo = _identity
    for name in reversed(names):
        undo = _chain(undo, _CODINGS[name]())
    return undo


def _identity(data: bytes) -> Iterator[bytes]:
    yield data


def _chain(first: Undo, then: Undo | None) -> Undo:
    assert then is not None

    def undo(data: bytes) -> Iterator[bytes]:
        for piece in first(data):
            yield from then(piece)

    return undo


def _zlib() -> Undo:
    # Gzip or zlib, whichever the first bytes say. "deflate" means zlib, by RFC 9110.
    step = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def undo(data: bytes) -> Iterator[bytes]:
        try:
            while piece := step.decompress(data, PIECE):
                yield piece
                data = step.unconsumed_tail
        except zlib.error as exc:
            raise CodingError(str(exc)) from exc

    return undo


def _open_brotli() -> Undo | None:
    brotli = _brotli()
    if brotli is None:
        return None
    step = brotli.Decompressor()

    def undo(data: bytes) -> Iterator[bytes]:
        try:
            while piece := step.process(data, output_buffer_limit=PIECE):
                yield piece
                data = b""
        except brotli.error as exc:
            raise CodingError(str(exc)) from exc

    return undo


def _open_zstd() -> Undo | None:
    zstd = _zstd()
    if zstd is None:
        return None
    # "decoders MUST support a Window_Size of up to 8 MB", and need no more, says RFC 9659.
    options = {zstd.DecompressionParameter.window_log_max: 23}
    step = zstd.ZstdDecompressor(options=options)

    def undo(data: bytes) -> Iterator[bytes]:
        nonlocal step
        try:
            while True:
                if step.eof:  # another frame follows
                    data, step = step.unused_data + data, zstd.ZstdDecompressor(options=options)
                piece = step.decompress(data, PIECE)
                if piece:
                    yield piece
                elif not step.eof:
                    return
                data = b""
        except zstd.ZstdError as exc:
            raise CodingError(str(exc)) from exc

    return undo


@cache
def _zstd() -> Any:
    """Python's own zstd module, from 3.14 on, or its backport, if one of them is there."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            pass
    return None


@cache
def _brotli() -> Any:
    """The brotli module, if it is there and can be told when to stop."""
    try:
        brotli = importlib.import_module("brotli")
    except ImportError:
        return None
    return brotli if hasattr(brotli.Decompressor, "can_accept_more_data") else None


def _unknown() -> None:
    return None


_CODINGS: dict[str, Callable[[], Undo | None]] = {
    "gzip": _zlib,
    "x-gzip": _zlib,
    "deflate": _zlib,
    "br": _open_brotli,
    "zstd": _open_zstd,
    "compress": _unknown,
    "x-compress": _unknown,
}
