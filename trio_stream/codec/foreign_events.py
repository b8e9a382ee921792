"""The event objects of other libraries, which mean what a `ServerSentEvent` means here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .event import EncodedEvent, ServerSentEvent
from .event_classes import event_package
from .jsonable import to_json

__all__ = ["as_event"]

#: What is none for certain: to ask further costs as much as its JSON.
_NONE = frozenset({str, bytes, dict, list, tuple, int, float, bool, type(None), EncodedEvent})


def as_event(data: Any) -> ServerSentEvent | None:
    """The event that this is, be it of another library; None for a value.

    Of httpx2, httpx-sse, sse-starlette and FastAPI, and of classes made from theirs.
    """
    kind: type = type(data)
    if kind in _NONE:
        return None
    if isinstance(data, ServerSentEvent):
        return data
    read = _READERS.get(event_package(kind))
    return None if read is None else read(data)


def _decoded(event: Any) -> ServerSentEvent:
    # Of a decoder: it says "message" and "" where there was neither a name nor an id.
    name = None if event.event == "message" else event.event
    return ServerSentEvent(event.data, event=name, id=event.id or None, retry=event.retry)


def _sse_starlette(event: Any) -> ServerSentEvent:
    return ServerSentEvent(
        event.data, event=event.event, id=event.id, retry=event.retry, comment=event.comment
    )


def _fastapi(event: Any) -> ServerSentEvent:
    data = event.data if event.raw_data is None else event.raw_data
    if isinstance(event.data, str):  # there, text is JSON, too, but for the raw
        data = to_json(event.data).decode()
    return ServerSentEvent(
        data, event=event.event, id=event.id, retry=event.retry, comment=event.comment
    )


_READERS: dict[str | None, Callable[[Any], ServerSentEvent]] = {
    "httpx2": _decoded,
    "httpx_sse": _decoded,
    "sse_starlette": _sse_starlette,
    "fastapi": _fastapi,
}
