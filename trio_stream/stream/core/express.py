"""What an event touches that goes past the channel, straight to the connection."""

from __future__ import annotations

from collections.abc import Callable

from ...codec import EncodedEvent
from ...codec.groups import SharedEvent
from ...transport.base import Transport
from ...transport.compressed import CompressedTransport
from .channel import EventChannel

__all__ = ["Express"]


class Express:
    """The part of a stream's state that each event touches, together in memory.

    `broker.fanout.Follower` tells why.

    Args:
      channel: what waits.
    """

    __slots__ = ("channel", "express", "expressed", "retry_due", "transport", "written")

    #: The transport, if what it writes is compressed, and it is to be sent what many are. The slot
    #: is the heir's: those above fill what is fetched for an event that is not compressed.
    compressed: CompressedTransport | None

    def __init__(self, channel: EventChannel) -> None:
        self.channel: EventChannel = channel
        self.transport: Transport | None = None
        #: Whether an event may go past the channel: the transport is direct, the writer rests, and
        #: nothing is queued.
        self.express: bool = False
        #: Whether a new `retry` is to go with the next event.
        self.retry_due: bool = False
        #: Events that went past the channel, and bytes that were written any way.
        self.expressed: int = 0
        self.written: int = 0
        self.compressed = None  # type: ignore[misc]  # as said above

    @property
    def events(self) -> int:
        """How many the producer has sent so far, whichever way they went."""
        return self.channel.total_events + self.expressed

    def note_bytes(self, size: int) -> bool:
        """So many are written next. Returns whether they are the first ones."""
        are_first = size > 0 and not self.written
        self.written += size
        return are_first

    def sender(self, frame: bytes) -> Callable[[bytes], int] | None:
        """See `source.contract.Offered`."""
        transport = self.transport
        if transport is None or not self.express or self.retry_due:
            return None
        return transport.sender(frame)

    def sent(self, event: EncodedEvent, left: int, count: int, now: float) -> None:
        """See `source.contract.Offered`."""
        transport = self.transport
        assert transport is not None
        transport.last_write = now
        self.written += len(event.data)
        self.expressed += count
        if left:  # as in `note_express`; else it is not stuck
            transport.keep_rest(event.frame, left)
            self.channel.wake()

    # The same of what is compressed for many.

    def shared_sender(self, event: SharedEvent) -> Callable[[bytes], int] | None:
        """See `source.contract.Offered`."""
        compressed = self.compressed
        # Whether the client can read on with this event's ``wire`` is seen here, not asked: over
        # HTTP/2, where nothing else is done for each client, two calls would be a twentieth.
        if (
            compressed is None
            or compressed.read is not event.before
            or not self.express
            or self.retry_due
        ):
            return None
        return compressed.inner.sender(event.wire.frame)

    def sent_shared(self, event: SharedEvent, left: int, count: int, now: float) -> None:
        """See `source.contract.Offered`."""
        compressed = self.compressed
        assert compressed is not None
        compressed.read = event.after
        inner = compressed.inner
        inner.last_write = now
        self.written += event.size
        self.expressed += count
        if left:
            inner.keep_rest(event.wire.frame, left)
            self.channel.wake()

    def write_shared(self, event: SharedEvent, count: int) -> bool:
        """See `source.contract.Offered`."""
        compressed = self.compressed
        if compressed is None or not self.express or self.retry_due:
            return False
        if not compressed.write_shared(event):
            return False
        self.note_express(event.size, count)
        return True

    def note_express(self, size: int, events: int) -> None:
        """This has been written past the channel."""
        transport = self.transport
        assert transport is not None
        self.written += size
        self.expressed += events
        if transport.stuck_since is not None:
            self.channel.wake()  # for the writer to send the rest
