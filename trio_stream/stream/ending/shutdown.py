"""How a stream meets its server's shutdown: drained, told farewell, or cut short."""

from __future__ import annotations

import math

import trio

from ..core.state import StreamState
from ..options.timing import Timing
from ..outcome import Outcome
from ..registry import current_registry
from . import timers

__all__ = ["begin", "check_drain", "cut_short"]

#: Seconds for the last bytes when the server cancels the ASGI call, which is its last resort.
_LAST_BYTES = 1.0

#: And for each other stream of the process: a crowd is cut short in one instant, and all its last
#: bytes have to be written first. In half a second 2,700 of 4,000 got theirs, so all of them do.
_LAST_BYTES_OF_OTHERS = 0.002

#: Seconds before a server's last resort in which it wants nobody to be stuck any more.
_BEFORE_THE_LAST = 0.5


def check_drain(timing: Timing, graceful_timeout: float) -> None:
    """Report a misconfiguration at once, and not when it cuts streams off."""
    drain = timing.drain_over + timing.drain_timeout
    if drain > graceful_timeout:
        what = f"drain_timeout={timing.drain_timeout:g} is"
        if timing.drain_over:
            what = (
                f"drain_over={timing.drain_over:g} and drain_timeout={timing.drain_timeout:g} are"
            )
        current_registry().warn_once(
            "%(what)s longer than Hypercorn's graceful_timeout=%(graceful_timeout)g: the server "
            "will cut streams off before that. Start it with --graceful-timeout %(needed)d",
            {
                "what": what,
                "graceful_timeout": graceful_timeout,
                "needed": math.ceil(drain) + 1,
            },
        )


def begin(state: StreamState, share: float) -> None:
    """The server begins to shut down, and ends so many of its streams before this one."""
    now = trio.current_time()
    state.shut_down(now, share)
    _limit_stall(state, now)
    if now >= state.turn_at:
        take_turn(state, now)
    state.look_again(timers.next_check(state, now))


def take_turn(state: StreamState, now: float) -> None:
    """It is this stream's turn to end."""
    state.drain(now)
    _limit_stall(state, now)
    if state.options.timing.drain_timeout == 0:
        state.end(Outcome.SHUTDOWN)


def _limit_stall(state: StreamState, now: float) -> None:
    """A stuck client must not hold the server longer than the server is willing to wait."""
    assert state.connection is not None
    left = state.shutdown_at + state.connection.graceful_timeout - _BEFORE_THE_LAST - now
    state.stall_limit = min(state.stall_limit, max(left, 0))


def cut_short(state: StreamState) -> None:
    """The ASGI call is being cancelled: what is queued gets a second, and more in a crowd.

    Also called at the stream's own end, when nothing is being written any longer.
    """
    state.end(Outcome.SHUTDOWN)
    if state.draining is not None and state.outcome is Outcome.SHUTDOWN:
        state.draining.set()
    if state.writing is not None:
        assert state.transport is not None
        now = trio.current_time()
        stuck_since = state.transport.stuck_since
        stuck = stuck_since is not None and now - stuck_since > _BEFORE_THE_LAST
        limit = _LAST_BYTES + _LAST_BYTES_OF_OTHERS * len(current_registry())
        state.writing.deadline = now if stuck else now + limit
        state.look_again(state.writing.deadline)
