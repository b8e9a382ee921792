"""One event to many streams, without a broker: as fast as a topic's, to each that has room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import trio

from ...checks import check_in_its_run, shown
from ...codec import EncodedEvent, unwrap
from ...transport.offering import MANY, MOST_FRAMED, offer
from ..core.state import StreamState
from .sending import encode, send_at_once

__all__ = ["NotSent", "send_to_all"]


@dataclass(frozen=True, slots=True)
class NotSent:
    """The streams that an event did not get into: what `Stream.send_to_all_nowait` returns.

    Attributes:
      full: those that have no room for it now; whether they are to miss it or to end, you say.
      ended: those that have ended before it, or whose client this has found to be gone.
    """

    full: list[Any]
    ended: list[Any]


def send_to_all(states: Iterable[Any], event: EncodedEvent) -> NotSent:
    """Send it to the streams of these; `Stream.send_to_all_nowait` tells more."""
    if not isinstance(event, EncodedEvent):
        raise TypeError(f"what goes to many is encoded once: encode(value), not {shown(event)}")
    each_once: tuple[StreamState, ...] = tuple(dict.fromkeys(states))
    for state in each_once:
        if type(state) is not StreamState:
            raise TypeError(f"an event goes to Streams, not to {shown(state)}")
        if state.format.name != event.format:
            unwrap(event, state.format.name)
    if not trio.lowlevel.in_trio_run() and any(
        state.used and state.outcome is None for state in each_once
    ):
        check_in_its_run("Stream.send_to_all_nowait")
    full: list[Any] = []
    ended: list[Any] = []
    framed = 0 < len(event.data) <= MOST_FRAMED
    for at in range(0, len(each_once), MANY):
        turn: Sequence[StreamState] = each_once[at : at + MANY]
        if framed:
            turn = _write_to_all(turn, event, ended)
        for state in turn:
            try:
                send_at_once(state, event, encode(state, event, None, None, None))
            except trio.WouldBlock:
                full.append(state.handle())
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                ended.append(state.handle())
    return NotSent(full, ended)


def _write_to_all(
    turn: Sequence[StreamState], event: EncodedEvent, ended: list[Any]
) -> list[StreamState]:
    """Write to those whose sockets may be written to now; returns the others."""
    frame = event.frame
    ready, senders, others = [], [], []
    for state in turn:
        if (send := state.sender(frame)) is not None:
            ready.append(state)
            senders.append(send)
        else:
            others.append(state)
    if ready:
        offered = offer(senders, frame)
        now = trio.current_time()
        for state, left in zip(ready, offered, strict=True):
            if left < 0:
                state.found_gone()
                ended.append(state.handle())
            else:
                state.sent(event, left, 1, now)
    return others
