"""The producer: the source or callback, and every task of the stream's nursery."""

from __future__ import annotations

import trio

from ..checks import call_with
from .ends import failure_in
from .failing import fail
from .outcome import Outcome
from .sink import StreamSink
from .source import is_awaited, open_result
from .state import StreamState

__all__ = ["produce"]

_WHAT = "a callback is called with the stream"
_HINT = (
    "Stream({name}()) streams what it gives by itself, functools.partial binds what else it takes"
)


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


async def _run_source(state: StreamState) -> None:
    if state.source is not None:
        source, state.source = state.source, None
        await source.run(StreamSink(state))
    elif state.callback is not None:
        result = call_with(state.callback, state.handle(), _WHAT, _HINT)
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
