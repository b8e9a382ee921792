"""What a stream does as time goes by: pings, stalls, deadlines, a word about stuck producers.

Called by the registry; nothing here waits, and nothing here is called when an event is sent.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from math import inf

from .ends import StreamBroken
from .outcome import LOST, Outcome
from .state import SHIELDED, StreamState

__all__ = ["check", "next_check"]

log = logging.getLogger("trio_stream")


def check(stream: StreamState, now: float) -> float:
    """Do what is due; returns when something may next be due."""
    if now >= stream._drained_at:
        stream._end(Outcome.SHUTDOWN)
    if now >= _expiry(stream, now):
        stream._end(Outcome.EXPIRED)
    transport = stream._transport
    assert transport is not None
    stuck_since = transport.stuck_since
    if stuck_since is not None and now - stuck_since >= stream._stall_limit:
        stream._lose(Outcome.STALLED)
    elif stream._writing is not None and now >= stream._writing.deadline:
        # Hypercorn shields its writes: only closing the connection ends one that is stuck.
        transport.drop()
    elif stream._options.ping is not None and transport.is_gone():
        stream._lose(Outcome.DISCONNECTED)
    elif stuck_since is None and stream._outcome is None:
        _ping(stream, now - transport.last_write)
    _warn_of_shield(stream, now)
    return next_check(stream, now)


def next_check(stream: StreamState, now: float) -> float:
    """When something may next be due.

    A write that begins right after this is stuck ``stall_timeout`` later at the earliest, so no
    write has to announce itself.
    """
    transport = stream._transport
    assert transport is not None
    stuck_since, options = transport.stuck_since, stream._options
    stalled = (now if stuck_since is None else stuck_since) + stream._stall_limit
    if stream._outcome is not None:
        shielded = stream._ended_at + SHIELDED
        cut = inf if stream._writing is None else stream._writing.deadline
        if stream._outcome in LOST:
            # A server that does not let its own write be ended may be stuck in it for ever.
            stalled = max(stalled, now + 1)
        return min(stalled, cut if cut > now else inf, shielded if shielded > now else inf)
    silent = inf
    if options.ping is not None and stuck_since is None:
        silent = transport.last_write + options.ping
        if silent <= now:  # it has just been pinged, or its format knows no ping
            silent = now + options.ping
    return min(stalled, silent, stream._drained_at, _expiry(stream, now))


def _ping(stream: StreamState, silence: float) -> None:
    options = stream._options
    if options.ping is None or silence < options.ping:
        return
    stream._release_headers()  # held back for a slow awaitable, but no longer than this
    ping = options.format.ping
    if ping is None or not stream._headers_out:
        return
    with suppress(StreamBroken):  # the ping is what found that the client has gone
        if not (stream._express and stream._write_express(ping, len(ping), events=0)):
            stream._channel.push(ping)


def _expiry(stream: StreamState, now: float) -> float:
    """When the stream expires. The wall clock is asked anew each time, because it may be set."""
    expires_at = stream._options.expires_at
    if expires_at is None or stream._outcome is not None:
        return stream._deadline
    return min(stream._deadline, now + (expires_at - time.time()))


def _warn_of_shield(stream: StreamState, now: float) -> None:
    nursery = stream._nursery
    if nursery is None or not 0 <= now - stream._ended_at - SHIELDED < 1:
        return
    if nursery not in nursery.parent_task.child_nurseries:
        return  # all its tasks have ended; it is the client who takes his time
    names = [task.name for task in nursery.child_tasks] + [nursery.parent_task.name]
    log.warning(
        "a stream that ended (%s) %g s ago is still held open by a task that does not let itself "
        "be cancelled: %s",
        stream._outcome,
        SHIELDED,
        ", ".join(names),
    )
