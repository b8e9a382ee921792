"""The writer: the one task that takes from a stream's channel and hands bytes to the transport."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import trio

from ...codec import Uncompressed, join_events
from ...transport.base import LARGE, ClientGone
from ..answers.error_answer import ErrorAnswer, answer_with, response_to
from ..answers.refusals import blame
from ..core.state import StreamState
from .primer import primer_of

if TYPE_CHECKING:
    from ...transport.base import Headers, Transport

__all__ = ["begin_response", "write_response"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds that a page has to read what came last before the response is broken off. Browsers, Node
#: and Bun throw away what has arrived for a `fetch` and was not read when the break comes.
_TO_BE_READ = 0.25


async def write_response(state: StreamState, transport: Transport) -> bool:
    """Send headers, primer, and all that comes through the channel, then the end.

    Returns True when the response has ended. False when there is nothing to write and the
    transport is direct: single events then go past the writer, and a writer's task that waits would
    be a tenth of an idle stream's memory. It is called again when something is queued.

    Raises:
      ClientGone: the client has gone.
    """
    try:
        return await _write_on(state, transport)
    except ClientGone:
        raise
    except Exception as error:  # noqa: BLE001  # the server's `send`, or a middleware's, failed
        _note_fault(state, error)
        return True


async def begin_response(state: StreamState, transport: Transport) -> bool:
    """Begin a response where nothing has to be waited for, so that it takes no task to do that.

    False, and nothing done, where it does: then it is for `write_response` to begin.

    Raises:
      ClientGone: the client has gone.
    """
    if not transport.begins_at_once or state.waits_to_begin():
        return False
    state.held_until = None
    try:
        headers = _headers(state)
        await transport.begin(state.options.status, headers, partial(_first_bytes, state))
    except ClientGone:
        raise
    except Exception as error:  # noqa: BLE001  # likewise
        state.delivered = True
        _note_fault(state, error)
    return True


def _first_bytes(state: StreamState) -> bytes:
    """What follows the headers at once."""
    state.headers_out = True
    primer = primer_of(state, default_retry=True)
    data = join_events(state.channel.take())
    state.note_written(primer)
    state.note_written(data)
    return primer + data if primer else data


def _note_fault(state: StreamState, error: Exception) -> None:
    """Have it raised by the stream's call in the end, and not in a group from this task."""
    if state.failure is None:
        state.fail(error)
    else:  # that is what is raised
        state.answered = False
        log.error(
            "the client of a failed stream could not be told",
            {"error": error, **state.facts()},
            exc_info=error,
        )


async def _write_on(state: StreamState, transport: Transport) -> bool:
    channel = state.channel
    state.expect_write()
    if not state.headers_out and await _answer_instead(state, transport):
        return True
    if not state.headers_out:
        await _begin(state, transport)
    while not channel.is_finished:
        if state.options.timing.flush_every is not None:
            await _gather(state, transport, state.options.timing.flush_every)
        # All that is there, mostly, in one write: this is where the speed comes from.
        data = join_events(channel.take())
        # Also nothing, where an event went past the writer and the kernel has not taken all of it.
        # What waits below a transport that is not direct is somebody else's to send.
        if data or (transport.direct and transport.stuck_since is not None):
            state.note_written(data)
            state.expect_write()
            await transport.write(data)
        elif channel.is_finished:
            break  # what there was had no length, and its end has been said
        elif channel.queued_events:
            continue  # a large event of a sender's has been let in, and comes alone
        elif transport.direct and not channel.was_full:
            return False
        else:
            await channel.wait()
    state.expect_write()
    await (transport.finish() if state.ends_properly() else _break_off(state, transport))
    return True


async def _break_off(state: StreamState, transport: Transport) -> None:
    """End it as what is not whole, a moment after the last that its client is to read."""
    if transport.direct and transport.stuck_since is not None:
        await transport.write(b"")
    wait = transport.last_write + _TO_BE_READ - trio.current_time()
    if wait > 0:
        state.delivered = True  # who leaves now has heard all of it
        await trio.sleep(wait)
    await transport.abort()


async def _gather(state: StreamState, transport: Transport, flush_every: float) -> None:
    """Have events wait for each other, until it is time for a write or there are no more."""
    with trio.CancelScope(deadline=transport.last_write + flush_every):
        await state.channel.wait_closed()
    # Who waits for this moment to add what is newest then has its turn before.
    await trio.lowlevel.checkpoint()


async def _answer_instead(state: StreamState, transport: Transport) -> bool:
    """Wait until the headers may go out; answer without a stream if it has ended before."""
    if state.held_until is None and state.tasks.had_one():
        # A task that fails at its first step is to be told by a status: one turn for the task, one
        # for whoever waits for it.
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
    while state.held_until is not None and not state.channel.queued_events:
        await state.channel.wait()
    state.held_until = None
    if state.channel.queued_events:
        return False
    if state.failure is not None:
        await _write_failure(state, transport, state.failure)
        return True
    if state.no_content:
        # "HTTP 204 No Content": an EventSource stays away for good, as its upstream wants it to.
        headers = [pair for pair in state.options.headers if pair[0] != b"content-type"]
        await transport.start(204, tuple(headers))
        await transport.finish()
    return state.no_content


async def _begin(state: StreamState, transport: Transport) -> None:
    state.headers_out = True
    await transport.start(state.options.status, _headers(state))
    # With these, proxies and browsers know at once that the stream is open.
    primer = primer_of(state, default_retry=True)
    data = join_events(state.channel.take())
    state.note_written(primer)
    state.note_written(data)
    if primer and (len(data) > LARGE or type(data) is Uncompressed):  # to join them would copy it
        await transport.write(primer)
        primer = b""
    await transport.write(primer + data if primer else data)


def _headers(state: StreamState) -> Headers:
    """The response's headers: a source's content type for one that nobody has chosen."""
    headers = state.options.headers_of(state.id)
    if state.coding is not None:
        headers = (*headers, (b"content-encoding", state.coding.encode()))
    if state.content_type is None or state.options.chose_content_type:
        return headers
    others = (pair for pair in headers if pair[0] != b"content-type")
    return ((b"content-type", state.content_type.encode("latin-1", "replace")), *others)


async def _write_failure(state: StreamState, transport: Transport, failure: BaseException) -> None:
    """Answer with an error status: nothing has been sent, so the client can be told."""
    known = blame(failure)
    try:
        answer = answer_with(state.options.ends.error_answer, failure)
    except Exception as error:  # the user's function may raise anything
        status = known.status
        log.error(
            "error_answer= failed: the client is answered %(status)d",
            {"status": status, "error": error, **state.facts()},
            exc_info=error,
        )
        answer = None
    status, headers, body = response_to(known, answer or ErrorAnswer(known.status))
    if known.status != 500:
        facts = {"status": status, "error": repr(failure), **state.facts()}
        if known.status == 409:  # what the client has asked for, and nobody's failure
            log.info("answered %(status)d: %(error)s", facts)
        else:
            log.error("answered %(status)d, because the stream's upstream failed: %(error)s", facts)
        state.answered = True
    await transport.start(status, headers)
    await transport.write(body)
    await transport.finish()
