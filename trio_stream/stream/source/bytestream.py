"""Byte streams as sources: chunk by chunk, as text unless the stream's format is ``bytes``."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator
from typing import Any

import trio

from .contract import HeadersWaitFor, Sink, close_within
from .relay import put_text

__all__ = ["ByteStreamSource", "forward_bytes", "forward_text"]


async def forward_text(
    chunks: AsyncIterator[bytes] | trio.abc.ReceiveStream, sink: Sink, charset: str = "utf-8"
) -> None:
    """Put chunks as text; a character that is split between two is put with the second."""
    decode = _decoder(charset)
    async for chunk in chunks:
        if (text := decode(chunk)) and (wait := put_text(text, sink)) is not None:
            await wait
    if (text := decode(b"", final=True)) and (wait := put_text(text, sink)) is not None:
        await wait


async def forward_bytes(
    chunks: AsyncIterator[bytes] | trio.abc.ReceiveStream, sink: Sink, kind: type[bytes] = bytes
) -> None:
    """Put chunks as they are, each as an object of this kind."""
    async for chunk in chunks:
        if (wait := sink.put(kind(chunk))) is not None:
            await wait


class ByteStreamSource:
    """A Trio receive stream: a pipe, a socket, a process's output."""

    headers_wait_for: HeadersWaitFor = "item"

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream

    async def run(self, sink: Sink) -> None:
        try:
            if sink.format == "bytes":
                await forward_bytes(self._stream, sink)
            else:
                await forward_text(self._stream, sink)
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        await close_within(self._stream, repr(self._stream))

    def close_unawaited(self) -> bool:
        return False


def _decoder(charset: str) -> Any:
    try:
        info = codecs.lookup(charset)
    except LookupError:  # an upstream's charset may be any word at all
        info = codecs.lookup("utf-8")
    return info.incrementaldecoder("replace").decode
