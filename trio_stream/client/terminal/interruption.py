"""How the commands run what they do: until Ctrl-C, and without a log."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Awaitable, Callable

import trio

__all__ = ["run_until_interrupted"]


def run_until_interrupted(act: Callable[[], Awaitable[object]]) -> bool:
    """Run this in Trio; whether Ctrl-C has ended it, once all is closed."""
    # The screen says what the log would say.
    logging.getLogger("trio_stream").addHandler(logging.NullHandler())
    return trio.run(_until_interrupted, act)


async def _until_interrupted(act: Callable[[], Awaitable[object]]) -> bool:
    """Have Ctrl-C cancel it, as a `KeyboardInterrupt` hits anywhere.

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
