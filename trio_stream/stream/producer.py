"""The producer: the source or callback, and every task of the stream's nursery."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from ..codec import ServerSentEvent
from .ends import failure_in
from .needs_asyncio import advise
from .outcome import Outcome
from .sending import encode
from .sink import StreamSink
from .source import is_awaited, open_result
from .state import StreamState

if TYPE_CHECKING:
    from .farewell import ErrorEvent

__all__ = ["produce"]

log: logging.Logger = logging.getLogger("trio_stream")


async def produce(state: StreamState) -> None:
    """Run the source or callback, and every task of the stream's nursery, to their end.

    What they fail with is the state's `failure`; only `trio.Cancelled` from outside is raised.
    """
    try:
        async with trio.open_nursery() as nursery:
            # A cancellation from outside reaches the producer by way of the watcher, which says
            # first how the stream ends.
            nursery.cancel_scope.shield = state.transport is not None
            state.tasks.open(nursery)
            if state.outcome is not None:  # closed before it was served
                nursery.cancel_scope.cancel()
            try:
                await _run_source(state)
            except BaseException:
                if state.outcome is None and not state.headers_out:
                    # Leaving the nursery is a checkpoint, and the writer must not use it to send a
                    # 200.
                    state.hold_headers()
                raise
    except BaseExceptionGroup as group:
        failure = failure_in(group, state.handle())
        if failure is not None:
            _fail(state, failure)
    if state.failure is None:
        # A nursery wraps `Cancelled` in a group; this raises it anew, as it was.
        await trio.lowlevel.checkpoint_if_cancelled()
    state.end(Outcome.COMPLETED)


def _fail(state: StreamState, failure: BaseException) -> None:
    advise(failure)
    error_event = state.options.ends.error_event
    # What was sent before goes out as a 200, whether or not the writer has had its turn.
    begun = state.headers_out or state.channel.queued_events
    if state.outcome is None and begun and error_event is not None:
        try:
            _push_error_event(state, error_event, failure)
        except Exception as error:  # the user's function may raise anything
            log.error("error_event= failed, so the client is told nothing", exc_info=error)
        except (KeyboardInterrupt, SystemExit) as error:  # the program is to end
            failure = error
    state.fail(failure)


def _push_error_event(state: StreamState, error_event: ErrorEvent, failure: BaseException) -> None:
    event = error_event if isinstance(error_event, ServerSentEvent) else error_event(failure)
    if event is not None:
        if not isinstance(event, ServerSentEvent):
            raise TypeError(f"error_event= gave a {type(event).__name__}, not a ServerSentEvent")
        state.channel.push(_encode_error_event(state, event))
        state.failure_told = event.data is not None


def _encode_error_event(state: StreamState, event: ServerSentEvent) -> bytes:
    # It is no item, for a function to make its name of.
    name = state.event if isinstance(state.event, str) else "message"
    try:
        return encode(state, event, name, None, None)
    except Exception:  # perhaps `ids` is what has failed: better without an id than not at all
        if state.options.ids is None:
            raise
        return state.format.encode(event, name, None, None)


async def _run_source(state: StreamState) -> None:
    if state.source is not None:
        source, state.source = state.source, None
        await source.run(StreamSink(state))
    elif state.callback is not None:
        result = state.callback(state.handle())
        if is_awaited(result):
            result = await result
        if result is not None:
            source = open_result(result)
            sink = StreamSink(state)
            sink.found(source)
            await source.run(sink)
    else:
        # Nobody else keeps a value-based stream's nursery open until there is a task in it.
        while not (state.tasks.had_one() or state.outcome is not None):
            await state.tasks.wait_for_change()
