"""`SourceRun`: a source that is being run, in this process."""

from __future__ import annotations

from typing import Any, Protocol, final

from ..contract import Entry
from ..contract.entries import body_of, check_published

__all__ = ["SourceRun"]


class Holder(Protocol):
    """Who runs a source, as it is seen here."""

    async def watched(self) -> list[str]:
        """See `SourceRun.watched`."""

    async def publish(self, entry: Entry, /) -> int:
        """Store it, if this process still is who runs the source."""


@final
class SourceRun:
    """What a source on demand sends its events into; its function's one argument.

    Attributes:
      topic: what is watched: the name that somebody has subscribed to, or the source's pattern.
    """

    __slots__ = ("_holder", "topic")

    def __init__(self, holder: Holder, topic: str) -> None:
        self._holder = holder
        self.topic: str = topic

    async def send(
        self, data: Any, *, event: str | None = None, key: str = "", topic: str | None = None
    ) -> str:
        """Publish one event, as `Broker.publish` does; returns its id.

        Args:
          data, event, key: as for `Broker.publish`.
          topic: where; None is the one that is watched, if that is no pattern.

        Raises what that does, and `LeaseLostError` when another process has taken this one for dead
        and runs the source by now; nothing is stored then.
        """
        name = check_published(self.topic if topic is None else topic, key)
        return str(await self._holder.publish(Entry(name, body_of(data, event), key)))

    async def watched(self) -> list[str]:
        """The names and patterns that somebody watches now, in any process."""
        return await self._holder.watched()
