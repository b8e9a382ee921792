"""Trio's autojump clock beside worker threads, which take real time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf

import trio
import trio.testing

from ..stream.source.blocking import thread_wait

__all__ = ["real_time", "run_threads_in_real_time"]


@dataclass
class _Hold:
    """How many hold the clock back, and how it went before the first of them came."""

    holders: int = 0
    rate: float = 0.0
    threshold: float = inf


_hold: trio.lowlevel.RunVar[_Hold] = trio.lowlevel.RunVar("trio_stream_clock_hold")


@contextmanager
def real_time() -> Iterator[None]:
    """Let Trio's mock clock run in real time, without jumps, inside the block.

    An autojump clock jumps when every task waits, and a task that waits for a worker thread, a
    process or a socket is one that waits: the clock would run through every timeout before the
    thread has done its first line. Put this around such a wait::

        with real_time():
            rows = await trio.to_thread.run_sync(read_rows)

    A stream of a blocking iterable does so by itself once `connect` has been called in this Trio
    run. The time in which its thread waits for room is not the thread's: there the clock jumps as
    ever.

    With any other clock it does nothing. May be nested, and entered by several tasks at once.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, trio.testing.MockClock):
        yield
        return
    hold = _current_hold()
    if not hold.holders:
        hold.rate, hold.threshold = clock.rate, clock.autojump_threshold
        clock.rate, clock.autojump_threshold = 1.0, inf
    hold.holders += 1
    try:
        yield
    finally:
        hold.holders -= 1
        if not hold.holders:
            clock.rate, clock.autojump_threshold = hold.rate, hold.threshold


def _current_hold() -> _Hold:
    try:
        return _hold.get()
    except LookupError:
        _hold.set(_Hold())
        return _hold.get()


def run_threads_in_real_time() -> None:
    """Enter `real_time` around every wait for a blocking iterable's thread, in this Trio run."""
    thread_wait.set(real_time)
