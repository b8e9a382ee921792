"""How a stream meets its server's shutdown: drained, told farewell, or cut short."""

from __future__ import annotations

import logging
import math
import random
from typing import TYPE_CHECKING

import trio

from ..codec import encode_retry
from . import timers
from .outcome import Outcome
from .registry import current_registry
from .writer import DEFAULT_RETRY

if TYPE_CHECKING:
    from ..transport.base import ServerConnection
    from .lifetime import Lifetime

__all__ = ["FAREWELL_WINDOW", "begin", "cut_short", "join_worker", "log_failure", "push_farewell"]

log = logging.getLogger("trio_stream")

#: Seconds for the last bytes when the server cancels the ASGI call, which is its last resort.
_CUT_SHORT = 0.5

#: Milliseconds over which a shutdown spreads the clients' return, evenly, after their own `retry`.
#: Ten seconds make ten thousand clients a thousand a second, which one worker takes in its stride.
FAREWELL_WINDOW = 10_000


def join_worker(stream: Lifetime, connection: ServerConnection) -> None:
    stream._connection = connection
    graceful_timeout, drain_timeout = connection.graceful_timeout, stream._options.drain_timeout
    if drain_timeout > graceful_timeout:
        current_registry().warn_once(
            "drain_timeout=%g is longer than Hypercorn's graceful_timeout=%g: the server will "
            "cut streams off before that. Start it with --graceful-timeout %d",
            drain_timeout,
            graceful_timeout,
            math.ceil(drain_timeout) + 1,
        )
    current_registry().join_worker(stream, connection.context)


def begin(stream: Lifetime) -> None:
    """Called by the registry when the server begins to shut down."""
    assert stream._connection is not None
    now = trio.current_time()
    # A stuck client must not hold the server longer than the server is willing to wait.
    stream._stall_limit = min(
        stream._stall_limit, max(stream._connection.graceful_timeout - 0.5, 0)
    )
    stream._drained_at = now + stream._options.drain_timeout
    if stream._draining is not None:
        stream._draining.set()
    if stream._options.drain_timeout == 0:
        stream._end(Outcome.SHUTDOWN)
    current_registry().reschedule(stream, timers.next_check(stream, now))


def cut_short(stream: Lifetime) -> None:
    """The ASGI call is being cancelled: what is queued gets half a second to go out.

    Also called at the stream's own end, when nothing is being written any longer.
    """
    stream._end(Outcome.SHUTDOWN)
    if stream._writing is not None:
        assert stream._transport is not None
        now = trio.current_time()
        stuck_since = stream._transport.stuck_since
        stuck = stuck_since is not None and now - stuck_since > _CUT_SHORT
        stream._writing.deadline = now if stuck else now + _CUT_SHORT
        current_registry().reschedule(stream, stream._writing.deadline)


def log_failure(stream: Lifetime) -> None:
    """A failure that cannot be raised, because the call's `trio.Cancelled` has to be."""
    if stream._failure is not None:
        log.error("a stream failed while its call was cancelled", exc_info=stream._failure)


def push_farewell(stream: Lifetime) -> None:
    """Tell the client when to come back: each a different time, or all would come at once."""
    if stream._outcome is Outcome.SHUTDOWN and stream._options.format.has_fields:
        base = DEFAULT_RETRY if stream._retry is None else stream._retry
        stream._channel.push(encode_retry(base + random.randrange(FAREWELL_WINDOW)))
