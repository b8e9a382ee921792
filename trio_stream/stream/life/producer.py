"""The producer: the source or callback, and every task of the stream's nursery."""

from __future__ import annotations

from typing import Any

import trio

from ..core.state import StreamState
from ..ends import failure_in
from ..outcome import Outcome
from ..source import is_awaited, open_result
from ..writing.failing import fail
from ..writing.sink import StreamSink

__all__ = ["produce"]


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
                # What there is to wait for itself, and not a function that waits for it: that would
                # be 240 bytes in each idle stream.
                result = _start(state)
                if is_awaited(result):
                    result = await result
                if result is not None:
                    await _run_result(state, result)
            except BaseException:
                if state.outcome is None and not state.headers_out:
                    # Leaving the nursery is a checkpoint, and the writer must not use it to send a
                    # 200.
                    state.hold_headers()
                raise
    except BaseExceptionGroup as group:
        _fail(state, group)
    if state.failure is None:
        # A nursery wraps `Cancelled` in a group; this raises it anew, as it was.
        await trio.lowlevel.checkpoint_if_cancelled()
    state.end(Outcome.COMPLETED)


def _fail(state: StreamState, group: BaseExceptionGroup) -> None:
    # By a function of its own: its name for the failure, whose traceback holds the frames that it
    # went through, would else be a circle.
    failure = failure_in(group, state.handle())
    if failure is not None:
        fail(state, failure)


def _start(state: StreamState) -> Any:
    """What the callback returns, or what is awaited for the source, or for the first task."""
    if state.source is not None:
        source, state.source = state.source, None
        return source.run(StreamSink(state))
    if state.callback is not None:
        return state.callback(state.handle())
    return _wait_for_task(state)


async def _run_result(state: StreamState, result: Any) -> None:
    """Stream what the callback has returned, or what came of awaiting that."""
    source = open_result(result)
    sink = StreamSink(state)
    sink.found(source)
    await source.run(sink)


async def _wait_for_task(state: StreamState) -> None:
    """Nobody else keeps a value-based stream's nursery open until there is a task in it."""
    while not (state.tasks.had_one() or state.outcome is not None):
        await state.tasks.wait_for_change()
