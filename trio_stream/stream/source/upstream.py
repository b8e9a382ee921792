"""Upstream HTTP responses, proxied: httpx and httpx2 alike.

An upstream event stream is decoded and passed on event by event, so that pings, ids and reconnects
are this stream's own business; NDJSON goes line by line, anything else chunk by chunk as text.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec

from ...codec import EventStreamDecoder, ServerSentEvent
from ...errors import EventTooLargeError, UpstreamStatusError
from ...privacy import log_excerpt, shown_url
from ..body import ResponseBody, read_excerpt
from ..foreign import close_response, http_modules
from .bytestream import forward_bytes, forward_text
from .contract import Sink, close_within

__all__ = ["UpstreamSource", "is_response"]

#: The longest NDJSON line, as for the decoder of event streams: an upstream must not fill memory.
MAX_LINE_BYTES = 16 * 2**20


def is_response(source: object) -> bool:
    """Whether ``source`` is a response of httpx or, where it is installed, of httpx2."""
    return any(isinstance(source, module.Response) for module in http_modules())


class UpstreamSource:
    """A streaming response; its head is checked before the stream's own headers go out."""

    holds_headers = True

    def __init__(self, response: httpx.Response) -> None:
        if not _is_async(response):
            raise TypeError(
                "Stream needs a response of an async client: use httpx.AsyncClient "
                "and client.send(request, stream=True)"
            )
        self._response = response
        self._body: ResponseBody | None = None

    async def run(self, sink: Sink) -> None:
        response = self._response
        try:
            if not response.is_success:  # a redirect that was not followed is no stream either
                raise await self._status_error()
            if response.status_code == 204:
                sink.no_content()
                return
            self._body = ResponseBody(response, any_coding=True)
            sink.ready()
            await _forward(_media_type(response), response.charset_encoding, self._body, sink)
        finally:
            await (close_response(response) if self._body is None else self._body.aclose())

    async def aclose(self) -> None:
        await close_within(self._response, f"the response of {shown_url(str(self._response.url))}")

    def close_unawaited(self) -> bool:
        return self._response.is_closed

    async def _status_error(self) -> UpstreamStatusError:
        """The error for an upstream's error page, whose text is never shown to a client."""
        response = self._response
        retry_after = response.headers.get("retry-after")
        body = await read_excerpt(response)
        error = UpstreamStatusError(str(response.url), response.status_code, retry_after, body)
        log_excerpt(f"{error.url} said", body)
        return error


def _is_async(response: httpx.Response) -> bool:
    return response.is_stream_consumed or hasattr(response.stream, "__aiter__")


def _media_type(response: httpx.Response) -> str:
    content_type: str = response.headers.get("content-type", "")
    return content_type.partition(";")[0].strip().lower()


async def _forward(
    media_type: str, charset: str | None, chunks: AsyncIterator[bytes], sink: Sink
) -> None:
    if sink.format == "bytes":
        await forward_bytes(chunks, sink)
    elif media_type == "text/event-stream" and sink.format != "text":
        await _forward_events(chunks, sink)
    elif media_type in {"application/x-ndjson", "application/jsonl", "application/ndjson"}:
        await _forward_lines(chunks, sink)
    else:
        await forward_text(chunks, sink, charset or "utf-8")


async def _forward_events(chunks: AsyncIterator[bytes], sink: Sink) -> None:
    decoder = EventStreamDecoder()
    retry: int | None = None
    sent_id: str | int | None = None
    async for chunk in chunks:
        events = decoder.feed(chunk)
        for event in events:
            sent_id = event.id
            retry = event.retry if event.retry is not None else retry
            if (wait := _relay(event, sink)) is not None:
                await wait
        # A block without data is no event, but its id and retry are in force all the same.
        if decoder.retry != retry or decoder.last_event_id != sent_id:
            retry, sent_id = decoder.retry, decoder.last_event_id
            if sink.format == "sse" and (
                wait := sink.relay(ServerSentEvent(id=sent_id, retry=retry))
            ):
                await wait


def _relay(event: ServerSentEvent, sink: Sink) -> Any:
    if sink.format == "sse":
        return sink.relay(event)
    return sink.put(_as_json(event.data))


async def _forward_lines(chunks: AsyncIterator[bytes], sink: Sink) -> None:
    rest: list[bytes] = []  # joined once a line is whole: repeated concatenation would be O(n^2)
    size = 0
    async for chunk in chunks:
        first, *lines = chunk.split(b"\n")
        rest.append(first)
        size += len(first)
        for line in lines:
            if (wait := _put_line(b"".join(rest), sink)) is not None:
                await wait
            rest, size = [line], len(line)
        if size > MAX_LINE_BYTES:
            raise EventTooLargeError("line", MAX_LINE_BYTES)
    if (wait := _put_line(b"".join(rest), sink)) is not None:
        await wait


def _put_line(line: bytes, sink: Sink) -> Any:
    text = line.decode("utf-8", "replace").strip()
    if not text:
        return None
    return sink.put(_as_json(text) if sink.format == "ndjson" else text)


def _as_json(text: str) -> Any:
    """Text that is JSON already is passed on as it is, where a JSON value is wanted."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
