"""Sources: whatever the user handed over, as values that are put into a sink one after another."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable, Iterable, Mapping
from typing import Any

import trio

from ...codec import EncodedEvent, ServerSentEvent
from .blocking import BlockingSource, current_blocking_limiter
from .bytestream import ByteStreamSource
from .contract import Sink, Source
from .iterables import AsyncSource, AwaitableSource, ChannelSource, InlineSource
from .upstream import UpstreamSource, is_response

__all__ = ["Sink", "Source", "current_blocking_limiter", "is_callback", "open_source"]


def is_callback(source: object) -> bool:
    """Whether ``source`` is to be called with the stream."""
    return callable(source) and not isinstance(source, AsyncIterable | Iterable | Awaitable)


def open_source(source: Any) -> Source:
    """The `Source` for anything but a callback.

    Raises:
      TypeError: ``source`` is a single value, or nothing that values could be taken from.
    """
    refuse_single_values(source)
    if isinstance(source, Source):  # a broker's subscription
        return source
    # The order matters: a response is iterable, a receive stream is async iterable.
    if is_response(source):
        return UpstreamSource(source)
    if isinstance(source, trio.MemoryReceiveChannel):
        return ChannelSource(source)
    if isinstance(source, trio.abc.ReceiveStream):
        return ByteStreamSource(source)
    if isinstance(source, AsyncIterable):
        return AsyncSource(source)
    if inspect.isawaitable(source):
        return AwaitableSource(source, open_source)
    if isinstance(source, list | tuple | range):
        return InlineSource(source)
    if isinstance(source, Iterable):
        return BlockingSource(source)
    raise not_a_source(source)


def refuse_single_values(source: object) -> None:
    """Raise a `TypeError` for what is one value, or nothing that could be streamed at all."""
    if isinstance(source, str | bytes | bytearray | memoryview):
        kind = type(source).__name__
        raise TypeError(
            f"Stream({kind}) would be streamed a character at a time: "
            f"write Stream([value]) to send it as one event"
        )
    if isinstance(source, Mapping | ServerSentEvent | EncodedEvent):
        raise TypeError(
            f"a {type(source).__name__} is one event, not a source of events: "
            "write Stream([value]) to send it"
        )


def not_a_source(source: object) -> TypeError:
    """The error for an object that nothing can be taken from."""
    return TypeError(
        f"cannot stream a {type(source).__name__}: hand over a callback that takes the stream, "
        "an iterable, an async iterable, a Trio receive channel or stream, an HTTP response, "
        "an awaitable of one of these, or nothing"
    )
