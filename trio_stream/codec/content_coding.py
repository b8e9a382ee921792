"""Content codings, undone in pieces of bounded size.

HTTP clients undo them too, but all that a piece holds at once: 64 KiB of brotli can be gigabytes.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, Protocol

from ..errors import RemoteProtocolError

__all__ = ["Coding", "CodingError", "accepted_codings", "one_coding", "open_coding", "zstd_module"]

#: Bytes that one step may make. Brotli's may be twice that, says its documentation.
PIECE = 2**18


class Coding(Protocol):
    """What undoes one content coding, or several."""

    def undo(self, data: bytes) -> Iterator[bytes]:
        """Turn the next bytes of a body into pieces of what they stand for.

        Raises:
          CodingError: they are not in the coding.
        """

    def end(self) -> None:
        """The body has ended.

        Raises:
          CodingError: the coding has not: what is missing was cut off.
        """


class CodingError(Exception):
    """The bytes are not in the coding that the header names."""


def accepted_codings() -> str:
    """The ``Accept-Encoding`` of a request."""
    names = ["gzip", "deflate"]
    if _brotli() is not None:
        names.append("br")
    if zstd_module() is not None:
        names.append("zstd")
    return ", ".join(names)


def open_coding(content_encoding: str) -> Coding:
    """What undoes the codings of a ``Content-Encoding`` header.

    Words that are no coding at all are passed over, as browsers do: ``none`` is often sent to keep
    proxies from compressing a stream.

    Raises:
      RemoteProtocolError: it names a coding that cannot be undone here, or more than two.
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    codings = [_CODINGS[name]() for name in reversed(names) if name in _CODINGS]
    if len(codings) > 2 or None in codings:
        raise RemoteProtocolError(
            f"the server sent Content-Encoding: {content_encoding[:80]}; "
            f"what can be undone here is {accepted_codings()}"
        )
    return _Codings([coding for coding in codings if coding is not None])


def one_coding(content_encoding: str) -> str | None:
    """The coding that a ``Content-Encoding`` header names, if it is one, and everybody's."""
    return _EVERYBODYS.get(content_encoding.strip().lower())


#: Codings that anybody can undo who has the bytes, without a dictionary, and their proper names.
_EVERYBODYS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "br": "br", "zstd": "zstd"}


class _Codings:
    """Some codings, the one that was applied last first; perhaps none."""

    def __init__(self, codings: list[Coding]) -> None:
        self._codings = codings

    def undo(self, data: bytes) -> Iterator[bytes]:
        pieces = iter((data,))
        for coding in self._codings:
            pieces = _undo_all(coding, pieces)
        return pieces

    def end(self) -> None:
        for coding in self._codings:
            coding.end()


def _undo_all(coding: Coding, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from coding.undo(piece)


class _Zlib:
    """Gzip or zlib, whichever the first bytes say, one behind the other, as many as there are.

    "deflate" means zlib, by RFC 9110, but "some non-conformant implementations send the deflate
    compressed data without the zlib wrapper": browsers take that, and so does this.
    """

    def __init__(self, *, bare: bool) -> None:
        self._bare = bare
        self._step: zlib._Decompress | None = None
        self._head = b""  # the first byte, until there are two
        self._tail = b""
        self._padded = False

    def undo(self, data: bytes) -> Iterator[bytes]:
        self._tail = (self._tail + data)[-len(_FLUSHED) :]
        try:
            while data:
                if self._step is None:
                    data = self._begin(data)
                    if self._step is None:
                        return
                while piece := self._step.decompress(data, PIECE):
                    yield piece
                    data = self._step.unconsumed_tail
                if not self._step.eof:
                    return
                data, self._step = self._step.unused_data, None
        except zlib.error as exc:
            raise CodingError(str(exc)) from exc

    def _begin(self, data: bytes) -> bytes:
        """Find out what begins here, as soon as there are two bytes; all that has come."""
        data = self._head + data
        if self._padded:
            data = data.lstrip(b"\0")  # as of a tape: RFC 1952 does not know it, gzip does
        self._head = b"" if len(data) > 1 else data
        if len(data) > 1:
            gzip, wrapped = data.startswith(b"\x1f\x8b"), _is_zlib(data)
            if not (gzip or wrapped or self._bare):
                raise CodingError("this is no gzip")
            # Above 15: with a header that says which of the two it is.
            self._step = zlib.decompressobj(32 + 15 if gzip or wrapped else -15)
            self._padded = gzip
        return data

    def end(self) -> None:
        # After a flush nothing that the server has written is missing, and servers that flush each
        # event often leave it at that: browsers don't mind, either.
        if self._head or (self._step is not None and self._tail != _FLUSHED):
            raise CodingError("the body ends before its compressed data do")


#: The end of what a compressor has flushed: an empty block.
_FLUSHED = b"\x00\x00\xff\xff"


def _is_zlib(data: bytes) -> bool:
    """Whether these are the first two bytes of a zlib stream.

    "CMF and FLG, when viewed as a 16-bit unsigned integer [...], is a multiple of 31." (RFC 1950)
    """
    return data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0


class _Brotli:
    """One brotli stream, or several of which each begins with a piece of the body."""

    def __init__(self, brotli: Any) -> None:
        self._brotli = brotli
        self._step: Any = None

    def undo(self, data: bytes) -> Iterator[bytes]:
        if not data:
            return
        step = self._step = self._step or self._brotli.Decompressor()
        try:
            while piece := step.process(data, output_buffer_limit=PIECE):
                yield piece
                data = b""
        except self._brotli.error as exc:
            raise CodingError(str(exc)) from exc
        if step.is_finished():
            self._step = None

    def end(self) -> None:
        if self._step is not None:
            raise CodingError("the body ends before its compressed data do")


class _Zstd:
    """Frames of zstd, as many as there are."""

    def __init__(self, zstd: Any) -> None:
        self._zstd = zstd
        # "decoders MUST support a Window_Size of up to 8 MB", and need no more, says RFC 9659.
        self._options = {zstd.DecompressionParameter.window_log_max: 23}
        self._step: Any = None

    def undo(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                step = self._step = self._step or self._zstd.ZstdDecompressor(options=self._options)
                while not step.eof:
                    piece = step.decompress(data, PIECE)
                    data = b""
                    if piece:
                        yield piece
                    elif not step.eof:
                        return
                data, self._step = step.unused_data, None
        except self._zstd.ZstdError as exc:
            raise CodingError(str(exc)) from exc

    def end(self) -> None:
        if self._step is not None:
            raise CodingError("the body ends before its compressed data do")


@cache
def zstd_module() -> Any:
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


def _open_brotli() -> Coding | None:
    brotli = _brotli()
    return None if brotli is None else _Brotli(brotli)


def _open_zstd() -> Coding | None:
    zstd = zstd_module()
    return None if zstd is None else _Zstd(zstd)


def _unknown() -> None:
    return None


_CODINGS: dict[str, Callable[[], Coding | None]] = {
    "gzip": partial(_Zlib, bare=False),
    "x-gzip": partial(_Zlib, bare=False),
    "deflate": partial(_Zlib, bare=True),
    "br": _open_brotli,
    "zstd": _open_zstd,
    "compress": _unknown,
    "x-compress": _unknown,
}
