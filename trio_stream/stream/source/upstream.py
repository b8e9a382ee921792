"""Upstream HTTP responses, proxied: httpx and httpx2 alike.

An upstream event stream is decoded and passed on event by event, so that pings, ids and reconnects
are this stream's own business; JSON goes value by value, lines one by one, other text chunk by
chunk. What is no text goes through as bytes, or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

from ...codec import EventStreamDecoder, ServerSentEvent
from ...codec.formats import CodedBytes
from ...codec.media_type import Kind, choose_kind, declared_kind, sniff
from ...codec.readings import Reading, open_reading
from ...errors import (
    ContentTypeError,
    EventTooLargeError,
    IncompleteStreamError,
    UpstreamStatusError,
)
from ...privacy import log_excerpt, shown_url
from ..upstream.body import ResponseBody, read_excerpt
from ..upstream.foreign import close_response, http_modules
from .bytestream import forward_bytes
from .contract import HeadersWaitFor, Sink, close_within
from .dropping import DropReport, incomplete
from .relay import Place, as_json, put_text

if TYPE_CHECKING:
    import httpx

__all__ = ["UpstreamSource", "is_response"]

log: logging.Logger = logging.getLogger("trio_stream")


def is_response(source: object) -> bool:
    """Whether ``source`` is a response of httpx or, where it is installed, of httpx2."""
    return any(isinstance(source, module.Response) for module in http_modules())


class UpstreamSource:
    """A streaming response; its head is checked before the stream's own headers go out."""

    headers_wait_for: HeadersWaitFor = "ready"

    def __init__(self, response: httpx.Response) -> None:
        if not _is_async(response):
            raise TypeError(
                "Stream needs a response of an async client: use httpx.AsyncClient "
                "and client.send(request, stream=True)"
            )
        self._response = response
        self._url = shown_url(str(response.url)) if _was_asked(response) else "an upstream"
        self._content_type: str = response.headers.get("content-type", "")
        self._body: ResponseBody | None = None

    async def run(self, sink: Sink) -> None:
        response = self._response
        try:
            if not response.is_success:  # a redirect that was not followed is no stream either
                raise await self._status_error()
            if response.status_code == 204:
                sink.no_content()
                return
            coded = self._stays_coded(sink)
            self._body = ResponseBody(response, any_coding=True, coded=coded)
            await self._forward(self._body, sink)
        finally:
            await (close_response(response) if self._body is None else self._body.aclose())

    async def aclose(self) -> None:
        await close_within(self._response, f"the response of {self._url}")

    def close_unawaited(self) -> bool:
        return self._response.is_closed

    async def _status_error(self) -> UpstreamStatusError:
        """The error for an upstream's error page, whose text is never shown to a client."""
        response = self._response
        retry_after = response.headers.get("retry-after")
        body = await read_excerpt(response)
        log_excerpt(f"{self._url} said", body)
        return UpstreamStatusError(self._url, response.status_code, retry_after, body)

    async def _forward(self, body: ResponseBody, sink: Sink) -> None:
        if sink.format == "bytes":
            sink.ready(self._content_type or None)
            await forward_bytes(body, sink, CodedBytes if body.coded else bytes)
            return
        kind = await self._find_kind(body, sink)
        sink.ready()
        if kind == "sse":
            await self._forward_events(body, sink)
            return
        reading = self._open_reading(kind, sink)
        async for chunk in body:
            for text in reading.feed(chunk):
                if (wait := _put(text, sink, kind)) is not None:
                    await wait
        for text in reading.end():
            if (wait := _put(text, sink, kind)) is not None:
                await wait
        if reading.unfinished:
            raise IncompleteStreamError(self._url, "ended in the middle of a value, which is lost")

    def _stays_coded(self, sink: Sink) -> bool:
        response = self._response
        # Of what was read before there are no bytes in their coding any more.
        return not response.is_stream_consumed and sink.keep_coding(
            response.headers.get("content-encoding", "")
        )

    # What it is.

    async def _find_kind(self, body: ResponseBody, sink: Sink) -> Kind:
        """What the body is read as. For that its beginning may be waited for."""
        read_as, declared = sink.upstream.read_as, declared_kind(self._content_type)
        if read_as not in ("auto", "strict"):
            return cast(Kind, read_as)
        if declared == "sse" and sink.format != "text":
            return "sse"
        begin, seen = b"", None
        while declared != "binary" and seen is None:
            piece = await anext(body, b"")
            begin += piece
            seen = sniff(begin, final=not piece)
        body.unread(begin)
        kind: Kind | None
        if sink.format == "text":
            kind = None if "binary" in (declared, seen) and declared != "text" else "text"
        else:
            kind = choose_kind(declared, seen or "binary", strict=read_as == "strict")
        if kind is None:
            raise self._refusal(begin)
        if kind != declared and sink.format != "text":
            self._tell(kind)
        return kind

    def _refusal(self, begin: bytes) -> ContentTypeError:
        text = begin.decode("utf-8", "replace")
        log_excerpt(f"{self._url} said", text)
        hint = 'Stream(read_as=) says what it is, format="bytes" passes it on as it is'
        return ContentTypeError(self._url, self._content_type, text, hint)

    def _tell(self, kind: Kind) -> None:
        log.warning(
            "%(url)s sends what looks like %(what)s as %(content_type)r, and it is read as that; "
            "read_as=%(kind)r says that it is",
            {
                "url": self._url,
                "what": _NAMES[kind],
                "content_type": self._content_type[:80],
                "kind": kind,
            },
        )

    def _open_reading(self, kind: Kind, sink: Sink) -> Reading:
        # Text that nobody has called text must be some, and what it is called may be wrong.
        sure = declared_kind(self._content_type) != "unknown" or sink.upstream.read_as == "text"
        charset = self._response.charset_encoding or "utf-8"
        return open_reading(kind, sink.upstream.max_event_bytes, charset, strict=not sure)

    # Events.

    async def _forward_events(self, chunks: AsyncIterator[bytes], sink: Sink) -> None:
        decoder = EventStreamDecoder(max_event_bytes=sink.upstream.max_event_bytes)
        report = DropReport(self._url, decoder)
        place = Place(decoder, sink)
        try:
            async for chunk in chunks:
                for event in decoder.feed(chunk):
                    place.passed(event)
                    if (wait := _relay(event, sink)) is not None:
                        await wait
                report.look()
                if (wait := place.catch_up()) is not None:
                    await wait
            if decoder.has_more:  # one that was too large came last
                decoder.feed(b"")
        except EventTooLargeError:
            # Whoever comes back gets past it.
            if (wait := place.catch_up()) is not None:
                await wait
            raise
        finally:
            sink.note_dropped(decoder.dropped)
        if (error := incomplete(self._url, report.ended())) is not None:
            raise error


_NAMES: dict[Kind, str] = {"sse": "an event stream", "json": "JSON", "text": "text"}


def _was_asked(response: httpx.Response) -> bool:
    try:
        _ = response.request
    except RuntimeError:  # httpx's, for a response that nobody has asked for, as in tests
        return False
    return True


def _is_async(response: httpx.Response) -> bool:
    return response.is_stream_consumed or hasattr(response.stream, "__aiter__")


def _relay(event: ServerSentEvent, sink: Sink) -> Any:
    if sink.format == "sse":
        return sink.relay(event)
    return _put(event.data, sink, "json")


def _put(text: str, sink: Sink, kind: Kind) -> Any:
    if sink.format == "ndjson" and kind != "text":
        return sink.put(as_json(text))
    return put_text(text, sink)
