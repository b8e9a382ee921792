"""How a stream meets its server's shutdown: drained, told farewell, or cut short."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import trio

from . import timers
from .outcome import Outcome
from .registry import current_registry
from .state import StreamState

if TYPE_CHECKING:
    from ..transport.base import ServerConnection

__all__ = ["begin", "check_drain_timeout", "cut_short", "log_failure"]

log = logging.getLogger("trio_stream")

#: Seconds for the last bytes when the server cancels the ASGI call, which is its last resort.
_CUT_SHORT = 0.5


def check_drain_timeout(stream: StreamState, connection: ServerConnection) -> None:
    """Report a misconfiguration at once, and not when it cuts streams off."""
    graceful_timeout, drain_timeout = connection.graceful_timeout, stream._options.drain_timeout
    if drain_timeout > graceful_timeout:
        current_registry().warn_once(
            "drain_timeout=%g is longer than Hypercorn's graceful_timeout=%g: the server will "
            "cut streams off before that. Start it with --graceful-timeout %d",
            drain_timeout,
            graceful_timeout,
            math.ceil(drain_timeout) + 1,
        )


def begin(stream: StreamState) -> None:
    """Called by the registry when the server begins to shut down."""
    assert stream._connection is not None
    now = trio.current_time()
    # A stuck client must not hold the server longer than the server is willing to wait.
    stream._stall_limit = min(
        stream._stall_limit, max(stream._connection.graceful_timeout - _CUT_SHORT, 0)
    )
    stream._drained_at = now + stream._options.drain_timeout
    if stream._draining is not None:
        stream._draining.set()
    if stream._options.drain_timeout == 0:
        stream._end(Outcome.SHUTDOWN)
    current_registry().reschedule(stream, timers.next_check(stream, now))


def cut_short(stream: StreamState) -> None:
    """The ASGI call is being cancelled: what is queued gets half a second to go out.

    Also called at the stream's own end, when nothing is being written any longer.
    """
    stream._end(Outcome.SHUTDOWN)
    if stream._draining is not None and stream._outcome is Outcome.SHUTDOWN:
        stream._draining.set()
    if stream._writing is not None:
        assert stream._transport is not None
        now = trio.current_time()
        stuck_since = stream._transport.stuck_since
        stuck = stuck_since is not None and now - stuck_since > _CUT_SHORT
        stream._writing.deadline = now if stuck else now + _CUT_SHORT
        current_registry().reschedule(stream, stream._writing.deadline)


def log_failure(stream: StreamState) -> None:
    """A failure that cannot be raised, because the call's `trio.Cancelled` has to be."""
    if stream._failure is not None:
        log.error("a stream failed while its call was cancelled", exc_info=stream._failure)
