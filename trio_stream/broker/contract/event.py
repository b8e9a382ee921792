"""An event as somebody reads it who iterates a subscription."""

from __future__ import annotations

from typing import Any, final

from ...codec import EncodedEvent, EventStreamDecoder, ServerSentEvent

__all__ = ["TopicEvent"]


@final
class TopicEvent:
    """One event of a topic: where it was published, its id, and what it says.

    The log holds events in wire form; this one is taken apart when it is first asked.

    Attributes:
      topic: the name it was published to.
      encoded: its wire form, id included: ``stream.send`` takes it as it is.
      but: the id of the stream that it is not for, as its publisher said, or ``""``. Whoever
        iterates looks himself.
    """

    __slots__ = ("_decoded", "but", "encoded", "topic")

    def __init__(self, topic: str, encoded: EncodedEvent, but: str = "") -> None:
        self.topic: str = topic
        self.but: str = but
        self.encoded: EncodedEvent = encoded
        self._decoded: ServerSentEvent | None = None

    @property
    def id(self) -> str:
        """Its place in the broker's log, and what ``subscribe(after=...)`` takes.

        ``""`` for one that was published with ``keep=False``, and has no place there.
        """
        return self.encoded.id or ""

    @property
    def event(self) -> str:
        """Its name, ``"message"`` when it has none."""
        return self._decode().event or "message"

    @property
    def data(self) -> str:
        """What it says, as text."""
        text: str = self._decode().data
        return text

    def json(self) -> Any:
        """Parse the data as JSON; `ValueError` when it is not."""
        return self._decode().json()

    def _decode(self) -> ServerSentEvent:
        if self._decoded is None:
            data = self.encoded.data
            found = EventStreamDecoder(max_event_bytes=4 * len(data)).feed(data)
            self._decoded = found[0] if found else ServerSentEvent("", event="message")
        return self._decoded

    def __repr__(self) -> str:
        return f"<TopicEvent {self.topic!r} {self.encoded!r}>"
