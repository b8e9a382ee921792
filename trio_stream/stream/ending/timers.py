"""What a stream does as time goes by: pings, stalls, deadlines, a word about stuck producers.

Called by the registry; nothing here waits, and nothing here is called when an event is sent.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from math import inf

import trio

from ...transport.base import LOOKS
from ..core.clocked import SHIELDED
from ..core.state import StreamState
from ..ends import StreamBroken
from ..options.pings import ask_ping_event
from ..outcome import LOST, Outcome
from ..writing.sending import write_express
from .silence import LISTENS, check_silence, silent_at

__all__ = ["check", "ends_by_itself", "expire", "expiry", "first_check", "next_check"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds in which a task has had a turn, though the process had just been stopped for hours.
_TURN = 1.0

#: Seconds after which the wall clock is asked anew: it may have been set.
_CLOCK_SET = 60.0


def check(state: StreamState, now: float) -> float:
    """Do what is due; returns when something may next be due."""
    if now >= state.drained_at:
        state.end(Outcome.SHUTDOWN)
    if now >= expiry(state, now):
        state.end(Outcome.EXPIRED)
    check_silence(state, now)
    if state.held_until is not None and now >= state.held_until:
        state.release_headers()
    transport = state.transport
    assert transport is not None
    transport.look()
    stuck_since = transport.stuck_since
    if stuck_since is not None and now - stuck_since >= state.stall_limit:
        state.lose(Outcome.STALLED)
    elif state.writing is not None and now >= state.writing.deadline:
        # Hypercorn shields its writes: only closing the connection ends one that is stuck.
        transport.drop()
    elif state.ping_after is not None and transport.is_gone():
        state.lose(Outcome.DISCONNECTED)
    elif stuck_since is None and state.outcome is None:
        _ping(state, now)
    _warn_of_shield(state, now)
    return next_check(state, now)


def first_check(state: StreamState) -> float:
    """When something may be due for the first time, the first write being one that can be seen."""
    now = state.opened_at
    assert state.transport is not None
    looks = state.stall_limit / LOOKS if state.transport.sees_progress else inf
    return min(next_check(state, now), now + looks)


def next_check(state: StreamState, now: float) -> float:
    """When something may next be due.

    A write that begins right after this is stuck ``stall_timeout`` later at the earliest, so it has
    to announce itself only where it can be seen what the client takes of it.
    """
    transport = state.transport
    assert transport is not None
    stuck_since, ping = transport.stuck_since, state.ping_after
    stalled = now + state.stall_limit
    if stuck_since is not None:
        stalled = stuck_since + state.stall_limit
        if transport.sees_progress:
            stalled = min(stalled, now + state.stall_limit / LOOKS)
    if state.outcome is not None:
        shielded, held_at = state.ended_at + SHIELDED, state.tasks.held_at
        if shielded <= now and held_at is not None:
            shielded = held_at + _TURN
        cut = inf if state.writing is None else state.writing.deadline
        if state.outcome in LOST:
            # A server that does not let its own write be ended may be stuck in it for ever.
            stalled = max(stalled, now + 1)
        return min(stalled, cut if cut > now else inf, shielded if shielded > now else inf)
    silent = inf
    if ping is not None and stuck_since is None:
        silent = transport.last_write + ping
        if silent <= now:  # it has just been pinged, or there is nothing to ping with
            silent = now + ping
    held = inf if state.held_until is None else state.held_until
    due = min(held, state.turn_at, state.drained_at, state.recheck_at, expiry(state, now))
    return min(stalled, silent, silent_at(state), due)


def _ping(state: StreamState, now: float) -> None:
    transport = state.transport
    assert transport is not None
    # The sum that `next_check` made: a difference may be rounded to a bit less than was waited.
    if state.ping_after is None or now < transport.last_write + state.ping_after:
        return
    ping = None if state.held_until is not None else _ping_bytes(state)
    if ping is None or state.outcome is not None:
        return
    with suppress(StreamBroken):  # the ping is what found that the client has gone
        if not (state.express and write_express(state, ping, len(ping), events=0)):
            state.channel.push(ping)


def _ping_bytes(state: StreamState) -> bytes | None:
    timing = state.options.timing
    if timing.ping_event is not None:
        try:
            event = ask_ping_event(timing.ping_event, state.handle(), state.format, state.facts)
        except (KeyboardInterrupt, SystemExit) as error:  # raised by the stream's call: not here
            state.fail(error)
            return None
        if event is not None:
            return event
    return timing.ping_bytes


async def expire(state: StreamState) -> None:
    """End an entered stream, which the registry does not look at, when its time is over."""
    while state.outcome is None:
        now = trio.current_time()
        left = expiry(state, now) - now
        if left <= 0:
            state.end(Outcome.EXPIRED)
        check_silence(state, now)
        # And look again: the wall clock may have been set.
        await trio.sleep(max(min(left, silent_at(state) - now, _look_after(state)), 0))


def _look_after(state: StreamState) -> float:
    idle = state.options.timing.idle_timeout
    return _CLOCK_SET if idle is None else min(_CLOCK_SET, idle / LISTENS)


def ends_by_itself(state: StreamState) -> bool:
    """Whether there is a time at which a stream is to end, whatever its producer does."""
    return state.options.timing.listens or expiry(state, state.opened_at) is not inf


def expiry(state: StreamState, now: float) -> float:
    """When the stream expires. The wall clock is asked anew each time, because it may be set."""
    expires_at = state.options.timing.expires_at
    if expires_at is None or state.outcome is not None:
        return state.deadline
    return min(state.deadline, now + (expires_at - time.time()))


def _warn_of_shield(state: StreamState, now: float) -> None:
    tasks, nursery = state.tasks, state.tasks.nursery
    if nursery is None or now < state.ended_at + SHIELDED:
        return
    if nursery not in nursery.parent_task.child_nurseries:
        tasks.held_at = inf  # all its tasks have ended; it is the client who takes his time
    if tasks.held_at is None:
        # It may not have been asked yet: of a process that was stopped, as by the lid of a laptop,
        # all tasks have their turns now, and this one is the first.
        tasks.held_at = now
    if now < tasks.held_at + _TURN:
        return
    tasks.held_at = inf
    names = [task.name for task in nursery.child_tasks] + [nursery.parent_task.name]
    log.warning(
        "a stream that ended (%(outcome)s) %(seconds)g s ago is still held open by a task that "
        "does not let itself be cancelled: %(tasks)s",
        {
            "outcome": str(state.outcome),
            "seconds": round(now - state.ended_at, 1),
            "tasks": ", ".join(names),
            **state.facts(),
        },
    )
