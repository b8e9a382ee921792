"""What has arrived over an event source's connections: read as it is to be, and waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..codec import DroppedInput, EventStreamDecoder, ServerSentEvent
from ..codec.media_type import Kind
from ..codec.readings import Reading, open_reading
from ..stream.source.dropping import DropReport

__all__ = ["Incoming"]


class Incoming:
    """The events that wait, and the place that the stream has come to.

    Args:
      max_event_bytes, max_line_bytes, last_event_id, on_comment: see `EventSource`.

    Attributes:
      decoder: of event streams; what it knows outlives the connections.
      events: what has arrived and waits.
      last_event: the last that has arrived.
      dropped: what the last connection has brought that is in no event.
    """

    def __init__(
        self,
        *,
        max_event_bytes: int,
        max_line_bytes: int | None,
        last_event_id: str | None,
        on_comment: Callable[[str], None] | None,
    ) -> None:
        self.decoder: EventStreamDecoder = EventStreamDecoder(
            max_event_bytes=max_event_bytes,
            max_line_bytes=max_line_bytes,
            last_event_id=last_event_id,
            on_comment=on_comment,
        )
        self.events: deque[ServerSentEvent] = deque()
        self.last_event: ServerSentEvent | None = None
        self.dropped: DroppedInput = DroppedInput()
        self._max_bytes = max_event_bytes if max_line_bytes is None else max_line_bytes
        self._reading: Reading | None = None
        self._report: DropReport | None = None
        # The id in force before the first event that waits.
        self._last_event_id = last_event_id

    @property
    def last_event_id(self) -> str | None:
        """The id in force after the last event that was received."""
        return self._last_event_id if self.events else self.decoder.last_event_id

    @property
    def has_more(self) -> bool:
        """Whether something that has arrived is not read yet: `take` nothing to read it."""
        return self.decoder.has_more if self._reading is None else self._reading.has_more

    def open(self, kind: Kind, url: str) -> None:
        """There is a new connection, and what it brings is of this kind."""
        self.decoder.reset()
        self.dropped = DroppedInput()
        self._reading = None if kind == "sse" else open_reading(kind, self._max_bytes)
        self._report = DropReport(url, self.decoder)

    def take(self, piece: bytes) -> None:
        """Read the next bytes; there are no events waiting.

        Raises:
          EventTooLargeError: there is one that is too large. Reading can go on behind it.
        """
        self._last_event_id = self.decoder.last_event_id
        if self._reading is not None:
            self._add(self._reading.feed(piece))
            return
        try:
            self.events.extend(self.decoder.feed(piece))
        finally:
            if self._report is not None:
                self._report.look()
        if self.events:
            self.last_event = self.events[-1]

    def _add(self, texts: list[str]) -> None:
        place = self.decoder.last_event_id
        self.events.extend(ServerSentEvent(text, event="message", id=place) for text in texts)
        if self.events:
            self.last_event = self.events[-1]

    def end(self) -> None:
        """The body has ended properly; that may complete an event."""
        if self._reading is not None:
            self._add(self._reading.end())

    def close(self, *, properly: bool) -> None:
        """The connection has ended: find out what was dropped."""
        if self._report is None:
            return
        if self._reading is not None:
            self.dropped = DroppedInput(unfinished=self._reading.unfinished)
        elif properly:
            self.dropped = self._report.ended()
        else:
            self.dropped = self.decoder.dropped
        self._report = None

    def pop(self) -> ServerSentEvent:
        """The first event that waits."""
        event = self.events.popleft()
        self._last_event_id = event.id
        return event

    def discard(self) -> None:
        """Forget what waits; who comes back begins with it."""
        self.close(properly=False)  # before the place is another than that of what has come
        self.decoder.last_event_id = self.last_event_id
        self.events.clear()
