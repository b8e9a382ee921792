"""The bounded channel between a stream's producers and its writer.

It behaves as `trio.open_memory_channel` does (`send_nowait`, the errors, first come first served),
with two differences that a stream needs and Trio's channel does not have:

* it is bounded in events *and* in bytes, because 256 events may be 4 kB or 4 GB;
* the receiver takes everything that is there at once, because one write of 256 events costs the
  server as much as one write of one event. Taking them one at a time from Trio's channel costs
  0.5 us an event, which is half of all that a streamed event costs here.

Memory: at most ``max_bytes``, or one event if that is larger, plus 8 bytes of list for each event.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, final

import trio
from outcome import Error, Value

from ...codec import Uncompressed
from ...transport.base import LARGE

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EventChannel"]


@final
class EventChannel:
    """Many senders, one receiver; carries an event each: wire-form bytes, or a plain line of text.

    Args:
      max_events: how many events may wait.
      max_bytes: how many bytes may wait; one larger event is always let in when nothing waits.
    """

    __slots__ = (
        "_at_close",
        "_chunks",
        "_closed",
        "_ebb",
        "_max_bytes",
        "_max_events",
        "_peak",
        "_senders",
        "_taken",
        "_wake",
        "apart",
        "closed_with",
        "queued_bytes",
        "was_full",
    )

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._chunks: list[bytes | str] = []
        self._senders: deque[tuple[trio.lowlevel.Task, bytes | str]] | None = None
        self._wake: Callable[[], None] | None = None
        self._at_close: Callable[[], None] | None = None
        self._ebb: Callable[[], None] | None = None
        self._closed = False
        #: What a send after the end raises; made anew for every raise, so that tracebacks
        #: of different tasks are not chained onto one object.
        self.closed_with: Callable[[], Exception] = trio.ClosedResourceError
        self.queued_bytes: int = 0
        #: Whether somebody waited to send when the last events were taken: more will come.
        self.was_full: bool = False
        #: Whether there may be any that are not to be compressed: each of those is taken alone.
        self.apart: bool = False
        self._taken = 0
        self._peak = 0

    @property
    def queued_events(self) -> int:
        """How many events wait in the channel, senders that wait for room not counted."""
        return len(self._chunks)

    @property
    def waiting_senders(self) -> int:
        """How many senders wait for room."""
        return 0 if self._senders is None else len(self._senders)

    @property
    def total_events(self) -> int:
        """How many events have been let in."""
        return self._taken + len(self._chunks)

    @property
    def peak_events(self) -> int:
        """The most events that ever waited."""
        return max(self._peak, len(self._chunks))

    @property
    def is_finished(self) -> bool:
        """True when it is closed and everything has been taken."""
        return self._closed and not self._chunks

    def offer(self, chunk: bytes | str) -> int:
        """Add an event if there is room for it; returns how many wait then, 0 if it was not added.

        Everything that is sent passes here, so counting is left to `take`, once for many events.
        """
        if self._closed:
            raise self.closed_with()
        queued = len(self._chunks)
        if self._senders or not (
            queued == 0
            or (queued < self._max_events and self.queued_bytes + len(chunk) <= self._max_bytes)
        ):
            return 0
        self._chunks.append(chunk)
        self.queued_bytes += len(chunk)
        if self._wake is not None:
            self.wake()
        return queued + 1

    def send_nowait(self, chunk: bytes | str) -> None:
        """Add an event, or raise `trio.WouldBlock` when there is no room for it."""
        if not self.offer(chunk):
            raise trio.WouldBlock

    async def wait_for_room(self, chunk: bytes | str) -> None:
        """Queue behind the other senders until ``chunk`` has been added.

        For callers that have tried `send_nowait`. `trio.Cancelled` means that it was not added.
        """
        if self._senders is None:
            self._senders = deque()
        senders = self._senders
        entry = (trio.lowlevel.current_task(), chunk)
        senders.append(entry)

        def abort(_: object) -> trio.lowlevel.Abort:
            senders.remove(entry)
            # A smaller event may have waited behind this one for nothing but its turn.
            self._admit()
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def push(self, chunk: bytes | str) -> None:
        """Add a block of the library's own, whatever the bounds, even after `close`.

        For the few bytes a stream adds itself: a ping, a farewell, an error event.
        """
        self._taken -= 1  # not an event
        if type(chunk) is Uncompressed:  # a farewell of the user's
            self.apart = True
        self._chunks.append(chunk)
        self.queued_bytes += len(chunk)
        self.wake()

    def note_sent(self, count: int = 1) -> None:
        """Count events that never waited here: written past an idle channel, or part of another."""
        self._taken += count

    async def receive(self) -> list[bytes | str]:
        """Take all that waits: at least one event, unless `wake` was called.

        A checkpoint only when it waits; the write that follows is one.

        Raises:
          trio.EndOfChannel: the channel is closed and everything has been taken.
        """
        # Senders may wait though nothing is queued: those that `take` has left for the next time.
        if not self._chunks and not self._senders and not self._closed:
            await self.wait()
        if self.is_finished:
            raise trio.EndOfChannel
        return self.take() or self.take()  # a large event of a sender's comes alone

    async def wait(self) -> None:
        """Wait until something is there to take, or the channel is closed, or `wake` is called."""
        task = trio.lowlevel.current_task()
        self._wake = partial(trio.lowlevel.reschedule, task, Value(None))

        def abort(_: object) -> trio.lowlevel.Abort:
            self._wake = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def wait_closed(self) -> None:
        """Wait until the channel is closed, whatever is sent meanwhile."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._at_close = partial(
            trio.lowlevel.reschedule, trio.lowlevel.current_task(), Value(None)
        )

        def abort(_: object) -> trio.lowlevel.Abort:
            self._at_close = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def wait_for_ebb(self, size: int) -> None:
        """Wait until no more bytes than these wait, or it is closed; for one task at a time.

        For who could send more, and has it where it takes no memory meanwhile.
        """
        while self.queued_bytes > size and not self._closed:
            task = trio.lowlevel.current_task()
            self._ebb = partial(trio.lowlevel.reschedule, task, Value(None))
            await trio.lowlevel.wait_task_rescheduled(self._miss_ebb)

    def _miss_ebb(self, _: object) -> trio.lowlevel.Abort:
        self._ebb = None
        return trio.lowlevel.Abort.SUCCEEDED

    def when_ready(self, callback: Callable[[], None]) -> None:
        """Call back, once, when something is there to take, or the channel is closed.

        For a receiver that is not waiting: a task that does not exist needs no memory.
        """
        if self._chunks or self._closed:
            callback()
        else:
            self._wake = callback

    def take(self) -> list[bytes | str]:
        """Take all that waits, which may be nothing, and as much again of waiting senders'.

        Their events go along at once: left in the channel, the first would be a write of its own.
        A `LARGE` event comes alone, because it would be copied to be joined with others; so does
        what is not to be compressed.
        """
        chunks = self._take_queued()
        self.was_full = bool(self._senders)
        if self.was_full:
            self._admit()
            if not (self._holds_large or self.apart) and (
                len(chunks) != 1 or len(chunks[0]) <= LARGE
            ):
                chunks += self._take_queued()
        return chunks

    @property
    def _holds_large(self) -> bool:
        return self.queued_bytes > LARGE and max(map(len, self._chunks)) > LARGE

    def _take_queued(self) -> list[bytes | str]:
        chunks, self._chunks = self._chunks, []
        size, self.queued_bytes = self.queued_bytes, 0
        self._peak = max(self._peak, len(chunks))
        if (size > LARGE or self.apart) and len(chunks) > 1:
            alone = next((n for n, chunk in enumerate(chunks) if _is_alone(chunk)), len(chunks))
            chunks, self._chunks = chunks[: alone or 1], chunks[alone or 1 :]
            self.queued_bytes = sum(map(len, self._chunks))
        self._taken += len(chunks)
        if self._ebb is not None:
            self._tell_ebb()
        return chunks

    def _tell_ebb(self) -> None:
        ebb, self._ebb = self._ebb, None
        if ebb is not None:
            ebb()

    def wake(self) -> None:
        """Make `wait` return, or call back, though nothing may be there."""
        wake = self._wake
        if wake is not None:
            self._wake = None
            wake()

    def close(self) -> None:
        """No more sends: waiting ones raise ``closed_with``; what waits may still be received."""
        self._closed = True
        senders, self._senders = self._senders, None
        for task, _ in senders or ():
            trio.lowlevel.reschedule(task, Error(self.closed_with()))
        at_close, self._at_close = self._at_close, None
        if at_close is not None:
            at_close()
        self._tell_ebb()
        self.wake()

    def discard(self) -> int:
        """Drop what waits, because nobody will take it; returns how many events that was."""
        self._taken += (count := len(self._chunks))
        self._chunks = []
        self.queued_bytes = 0
        self._tell_ebb()
        return count

    def _admit(self) -> None:
        """Let waiting senders in, first come first served, as far as there is room."""
        senders, self._senders = self._senders, None
        while senders:
            task, chunk = senders[0]
            if not self.offer(chunk):
                break
            senders.popleft()
            trio.lowlevel.reschedule(task, Value(None))
        self._senders = senders


def _is_alone(chunk: bytes | str) -> bool:
    """Whether it is not joined with others: it would be copied, or compressed with them."""
    return len(chunk) > LARGE or type(chunk) is Uncompressed
