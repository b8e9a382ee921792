"""The producer: the source or callback, and every task of the stream's nursery."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING

import outcome
import trio

from ..codec import ServerSentEvent
from .ends import failure_in
from .outcome import Outcome
from .sink import StreamSink
from .source import open_source
from .state import StreamState

if TYPE_CHECKING:
    from .options import ErrorEvent

__all__ = ["produce"]

log = logging.getLogger("trio_stream")


async def produce(stream: StreamState) -> None:
    """Run the source or callback, and every task of the stream's nursery, to their end.

    What they fail with is kept in `_failure`; only `trio.Cancelled` from outside is raised.
    """
    try:
        async with trio.open_nursery() as nursery:
            stream._nursery = nursery
            # A cancellation from outside reaches the producer by way of the watcher, which says
            # first how the stream ends.
            nursery.cancel_scope.shield = stream._transport is not None
            for function, args, name in stream._tasks or ():
                nursery.start_soon(function, *args, name=name)
            stream._tasks = None
            if stream._outcome is not None:  # closed before it was served
                nursery.cancel_scope.cancel()
            result = await outcome.acapture(_run_source, stream, nursery)
            failed = isinstance(result, outcome.Error) and stream._outcome is None
            if failed and not stream._headers_out and stream._headers_held is None:
                # Leaving the nursery is a checkpoint, and the writer must not use it to send a 200.
                stream._headers_held = trio.Event()
            result.unwrap()
    except BaseExceptionGroup as group:
        failure = failure_in(group, stream)
        if failure is not None:
            _fail(stream, failure)
    if stream._failure is None:
        # A nursery wraps `Cancelled` in a group; this raises it anew, as it was.
        await trio.lowlevel.checkpoint_if_cancelled()
    stream._end(Outcome.COMPLETED)


def _fail(stream: StreamState, failure: BaseException) -> None:
    stream._failure = failure
    if stream._outcome is None and stream._headers_out and stream._options.error_event is not None:
        result = outcome.capture(_push_error_event, stream, stream._options.error_event, failure)
        if isinstance(result, outcome.Error):
            log.error("error_event= failed, so the client is told nothing", exc_info=result.error)
    stream._end(Outcome.FAILED)


def _push_error_event(stream: StreamState, error_event: ErrorEvent, failure: BaseException) -> None:
    event = error_event if isinstance(error_event, ServerSentEvent) else error_event(failure)
    if event is not None:
        if not isinstance(event, ServerSentEvent):
            raise TypeError(f"error_event= gave a {type(event).__name__}, not a ServerSentEvent")
        stream._channel.push(stream._encode(event, None, None, None))


async def _run_source(stream: StreamState, nursery: trio.Nursery) -> None:
    if stream._source is not None:
        source, stream._source = stream._source, None
        await source.run(StreamSink(stream))
    elif stream._callback is not None:
        result = stream._callback(stream)
        if inspect.isawaitable(result):
            result = await result
        if inspect.isasyncgen(result) or inspect.isgenerator(result):
            await open_source(result).run(StreamSink(stream))
    else:
        await _wait_for_task(stream, nursery)


async def _wait_for_task(stream: StreamState, nursery: trio.Nursery) -> None:
    # Nobody else keeps a value-based stream's nursery open until there is a task in it.
    while not (stream._had_task or nursery.child_tasks or stream._outcome is not None):
        stream._task_added = trio.Event()
        await stream._task_added.wait()
