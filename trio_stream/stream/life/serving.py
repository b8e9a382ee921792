"""From an ASGI call to a running stream: what is refused, and which transport is used."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import trio

from ...checks import check_scope
from ...transport.base import ClientGone
from ...transport.compressed import CompressedTransport
from ...transport.hypercorn import choose_transport
from ..answers.compression import coding_for
from ..core.state import StreamState
from ..ending.ended import note_end
from ..outcome import Outcome
from ..registry import current_registry
from .admission import Admission
from .lifetime import Lifetime

if TYPE_CHECKING:
    from ...transport.asgi import Receive, Scope, Send

__all__ = ["answer", "last_event_id"]


async def answer(state: StreamState, scope: Scope, receive: Receive, send: Send) -> Lifetime | None:
    """What is to run as the answer to a request; None: it was answered without a stream.

    Returned and not run here, which would be a coroutine of 330 bytes more in each idle stream.
    """
    _take_up(state)
    admission = Admission(state)
    try:
        _check_scope(scope)
        state.scope = scope
        patience = state.options.timing.stall_timeout
        transport, connection = choose_transport(scope, receive, send, patience)
        refuse = await admission.ask(scope, transport)
        if refuse is None and scope["method"] != "HEAD":
            coding = coding_for(scope, state.options.codings)
            way = transport if coding is None else CompressedTransport(transport, coding)
            return Lifetime(state, admission, way, connection)
    except ClientGone:
        await _give_up(state, admission, Outcome.DISCONNECTED)
        return None
    except trio.Cancelled:
        await _give_up(state, admission, Outcome.SHUTDOWN)
        raise
    except BaseException:
        await _give_up(state, admission, Outcome.FAILED)
        raise
    try:
        if refuse is not None:
            await _answer(state, Outcome.REFUSED, refuse(transport, scope))
        else:
            # "The HEAD method is identical to GET except that the server MUST NOT send content"
            # (RFC 9110, 9.3.2): the headers are known without running the producer.
            headers = transport.answer(state.options.status, state.options.headers)
            await _answer(state, Outcome.ANSWERED, headers)
    finally:
        admission.release()
    return None


def _take_up(state: StreamState) -> None:
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "trio_stream runs on Trio: start the server with hypercorn --worker-class trio"
        )
    state.use_once("request")


def _check_scope(scope: Scope) -> None:
    if scope["type"] != "http":
        raise RuntimeError(
            f"a Stream answers HTTP requests, not a {scope['type']} scope"
            + (": an app that serves many is made by @stream_app" * (scope["type"] == "lifespan"))
        )


async def _answer(state: StreamState, outcome: Outcome, answer: Awaitable[None]) -> None:
    """Answer without a stream: whoever sends into it is told that it has ended."""
    state.end(outcome)
    try:
        await answer
    except ClientGone:
        state.lose(Outcome.DISCONNECTED)
    finally:
        await _finish_unrun(state)


async def _give_up(state: StreamState, admission: Admission, outcome: Outcome) -> None:
    """It ends before it is known whether it may begin."""
    admission.release()
    if outcome is Outcome.DISCONNECTED:
        state.lose(outcome)
    else:
        state.end(outcome)
    await _finish_unrun(state)


async def _finish_unrun(state: StreamState) -> None:
    """What is due at the end of a stream of which nothing has run."""
    try:
        await state.close_unrun()
    finally:
        note_end(state, next(current_registry().numbers))


def last_event_id(scope: Scope) -> str | None:
    """The id of the last event that a client has received, from its request's ASGI scope, or None.

    What `Stream.last_event_id` is, for who needs it before there is a stream::

        Stream(broker.subscribe("news", after=last_event_id(request.scope)))

    It is the ``Last-Event-ID`` header, which a reconnecting EventSource sends by itself; without
    one, the query parameter ``last_event_id`` or ``lastEventId``, for clients that cannot set
    headers. It comes from the client: any text, of any length.
    """
    check_scope(scope)
    for name, value in scope["headers"]:
        if name.lower() == b"last-event-id":
            header: str = _text_of(value)
            return header
    query: dict[str, list[str]] = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    for name in ("last_event_id", "lastEventId"):
        if name in query:
            return query[name][0]
    return None


def _text_of(value: bytes) -> str:
    """A ``Last-Event-ID`` as the client meant it.

    "encoded as UTF-8", says the HTML standard of this one header; clients on Node encode it as they
    do all others, in Latin-1.
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
