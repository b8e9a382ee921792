"""What a command does until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Awaitable, Callable

import trio

__all__ = ["until_interrupted"]


async def until_interrupted(act: Callable[[], Awaitable[object]]) -> bool:
    """Do this; whether Ctrl-C has ended it: cancelled it, as a `KeyboardInterrupt` hits anywhere.

    That may be within httpcore's generators, which it leaves unclosed.
    """
    with trio.CancelScope() as scope:
        if threading.current_thread() is threading.main_thread():  # no other is interrupted
            trio.lowlevel.spawn_system_task(_cancel_when_interrupted, scope)
        await act()
    return scope.cancelled_caught


async def _cancel_when_interrupted(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        await anext(signals)
    scope.cancel()  # a second one is Python's again: whatever hangs, it ends
