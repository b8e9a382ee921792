"""When things happen to a stream, and who looks at its clocks."""

from __future__ import annotations

from math import inf

import trio

from ...transport.base import LOOKS
from ..apart import about, ping_after
from ..options.options import StreamOptions
from ..registry import Watched, current_registry
from .channel import EventChannel
from .express import Express

__all__ = ["SHIELDED", "Clocked"]

#: Seconds after which a producer that does not let itself be cancelled is named in the log.
SHIELDED = 5.0


class Clocked(Express):
    """The part of a stream's state that is times, all on Trio's clock.

    Args:
      options: among them the times that were asked for.
    """

    __slots__ = (
        "clock",
        "deadline",
        "drained_at",
        "draining",
        "ended_at",
        "heard",
        "held_until",
        "opened_at",
        "options",
        "ping_after",
        "quiet_since",
        "recheck_at",
        "shutdown_at",
        "stall_limit",
        "turn_at",
        "watched",
    )

    def __init__(self, options: StreamOptions) -> None:
        super().__init__(EventChannel(options.buffer, options.buffer_bytes))
        self.options: StreamOptions = options
        self.watched: Watched | None = None
        self.clock: trio.abc.Clock | None = None
        self.opened_at: float = inf
        self.deadline: float = inf
        self.recheck_at: float = inf  # when `authorize` is asked again
        self.ended_at: float = inf
        self.held_until: float | None = None  # not None while the headers wait
        self.stall_limit: float = options.timing.stall_timeout
        self.ping_after: float | None = ping_after(options.timing.ping)

        # Up to when its producer was heard, at the last look, and how many events had come then.
        self.quiet_since: float = inf
        self.heard: int = 0

        # When the server began to shut down, when it is this stream's turn to end, when its
        # producer's time after that is over, and what tells the producer of its turn.
        self.shutdown_at: float = inf
        self.turn_at: float = inf
        self.drained_at: float = inf
        self.draining: trio.Event | None = None

    def start_clocks(self) -> None:
        """It begins now."""
        self.clock = trio.lowlevel.current_clock()
        self.opened_at = self.quiet_since = trio.current_time()
        max_duration = self.options.timing.max_duration
        if max_duration is not None:
            self.deadline = self.opened_at + about(max_duration)

    def note_end(self) -> None:
        """It ends now, if it has begun."""
        if self.opened_at is not inf:
            self.ended_at = trio.current_time()
            self.look_again(self.ended_at + SHIELDED)

    def watch(self, watched: Watched, when: float) -> None:
        """Have the registry look at it, at ``when`` for the first time, until `unwatch`."""
        self.watched = watched
        current_registry().add(watched, when)

    def unwatch(self) -> None:
        """It is over."""
        watched, self.watched = self.watched, None
        if watched is not None:
            current_registry().discard(watched)

    def look_again(self, when: float) -> None:
        """Have the registry look at it at ``when`` already."""
        if self.watched is not None:
            current_registry().reschedule(self.watched, when)

    def expect_write(self) -> None:
        """A write begins: the registry is to look soon whether the client takes anything of it."""
        if self.transport is not None and self.transport.sees_progress:
            self.look_again(trio.current_time() + self.stall_limit / LOOKS)

    def shut_down(self, now: float, share: float) -> None:
        """The server shuts down, and ``share`` of all its streams end before this one."""
        self.shutdown_at = now
        self.turn_at = now + self.options.timing.drain_over * share

    def drain(self, now: float) -> None:
        """It is this stream's turn: so long the producer may go on."""
        self.turn_at = inf
        self.drained_at = now + self.options.timing.drain_timeout
        if self.draining is not None:
            self.draining.set()

    def drain_event(self, *, over: bool) -> trio.Event:
        """What is set when the server shuts down, also if it is ``over`` by then."""
        if self.draining is None:
            self.draining = trio.Event()
            if self.drained_at is not inf or over:
                self.draining.set()
        return self.draining
