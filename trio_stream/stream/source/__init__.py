"""Sources: whatever the user handed over, as values that are put into a sink one after another."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

import trio

from ...checks import check_takes
from ...codec import EncodedEvent, ServerSentEvent
from .blocking import BlockingSource, current_blocking_limiter
from .bytestream import ByteStreamSource
from .contract import HeadersWaitFor, NoSource, Sink, Source
from .either import open_either
from .iterables import AsyncSource, AwaitableSource, ChannelSource, InlineSource
from .managers import ManagerSource
from .upstream import UpstreamSource, is_response
from .used import refuse_used

__all__ = [
    "HeadersWaitFor",
    "NoSource",
    "Sink",
    "Source",
    "as_callback",
    "current_blocking_limiter",
    "is_awaited",
    "open_result",
    "open_source",
]

#: What `@asynccontextmanager` makes is callable too, because it can decorate a function.
_NEVER_CALLED = (
    AsyncIterable,
    Iterable,
    Awaitable,
    AbstractAsyncContextManager,
    AbstractContextManager,
    NoSource,
)


def as_callback(source: object) -> Callable[..., Any] | None:
    """``source``, if it is to be called with the stream.

    Raises:
      TypeError: it cannot be.
    """
    if not callable(source) or isinstance(source, _NEVER_CALLED):
        return None
    hint = "Stream(function()) streams what it gives by itself"
    check_takes("a callback", source, " that takes the stream", 1, hint)
    return source


def is_awaited(source: object) -> bool:
    """Whether ``source`` is awaited for what is to be streamed, and neither read nor entered."""
    is_other = isinstance(source, AsyncIterable | AbstractAsyncContextManager)
    return inspect.isawaitable(source) and not is_other


def open_source(source: Any) -> Source:
    """The `Source` for anything but a callback.

    Raises:
      TypeError: ``source`` is a single value, or nothing that values could be taken from.
      RuntimeError: somebody else has read it already, or closed it.
    """
    refuse_single_values(source)
    refuse_used(source)
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
        return open_either(source) if isinstance(source, Iterable) else AsyncSource(source)
    # What is both is entered, because it is closed then: aiosqlite's cursors, aiohttp's responses.
    if isinstance(source, AbstractAsyncContextManager):
        return ManagerSource(source, open_source)
    if inspect.isawaitable(source):
        return AwaitableSource(source, open_source)
    if isinstance(source, list | tuple | range):
        return InlineSource(source)
    if isinstance(source, Iterable):
        return BlockingSource(source)
    raise not_a_source(source)


def open_result(result: Any) -> Source:
    """The `Source` for what a callback has returned, if that is not None.

    Raises:
      TypeError: ``result`` is no source.
    """
    try:
        return open_source(result)
    except TypeError as error:
        raise TypeError(
            f"a callback returns None or a source, and what this one returned is neither: {error}"
        ) from error


def refuse_single_values(source: object) -> None:
    """Raise a `TypeError` for what is one value, or nothing that could be streamed at all."""
    if isinstance(source, str | bytes | bytearray | memoryview):
        kind = type(source).__name__
        piece = "character" if isinstance(source, str) else "byte"
        raise TypeError(
            f"Stream({kind}) would be streamed a {piece} at a time: "
            "hand over [value], a list, to send it as one event"
        )
    if isinstance(source, Mapping | ServerSentEvent | EncodedEvent):
        raise TypeError(
            f"a {type(source).__name__} is one event, not a source of events: "
            "hand over [value], a list, to send it"
        )
    if _is_sent_into(source) or (isinstance(source, tuple) and any(map(_is_sent_into, source))):
        raise TypeError(
            f"a {type(source).__name__} with an end that is sent into is no source: hand over the "
            "other one, `send, receive = trio.open_memory_channel(n)`, Stream(receive)"
        )
    if isinstance(source, NoSource):
        kind = type(source).__name__
        raise TypeError(f"a {kind} cannot be the source of a Stream: hand over its own source")


def _is_sent_into(source: object) -> bool:
    return isinstance(source, trio.abc.SendChannel | trio.abc.SendStream) and not isinstance(
        source, trio.abc.ReceiveChannel | trio.abc.ReceiveStream
    )


def not_a_source(source: object) -> TypeError:
    """The error for an object that nothing can be taken from."""
    kind = type(source).__name__
    if isinstance(source, AbstractContextManager):
        # Whether it may block, as a cursor's does, or belongs to Trio's thread, as a
        # subscription's list of channels does, it does not say.
        return TypeError(
            f"cannot stream a {kind}, a context manager that is not async: hand over a generator "
            "that enters it, `def values(): with manager as source: yield from source`, which runs "
            "in a thread, or, where it does not block, an async generator or a callback"
        )
    return TypeError(
        f"cannot stream a {kind}: hand over a callback that takes the stream, an iterable, an "
        "async iterable, a Trio receive channel or stream, an HTTP response, an awaitable or an "
        "async context manager of one of these, or nothing"
    )
