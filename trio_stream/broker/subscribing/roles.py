"""What a subscription is told by others: who is present while it lives, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ...codec import EncodedEvent
from ..contract.records import Record

__all__ = ["Ending", "Visit"]


class Visit(Protocol):
    """That somebody is present while a subscription is streamed or iterated, as it is seen here."""

    #: Whether it has begun, and has not ended.
    begun: bool

    @property
    def name(self) -> str | None:
        """Who; None for nobody in particular."""

    async def begin(self) -> None:
        """The subscription is used."""

    def end(self) -> None:
        """It is used no longer; also when it never was."""

    def end_soon(self) -> None:
        """It was dropped, by the garbage collector perhaps: in whatever thread."""

    def missed(self, had: int) -> Sequence[EncodedEvent]:
        """What was told while its stream was not at the head, having had what is up to this id."""


class Ending(Protocol):
    """How a subscription ends that is of one run, whose topic holds marks besides its events."""

    def shape(self, record: Record) -> EncodedEvent | None:
        """What a stream is sent of a record; None when that is nothing."""

    def is_last(self, record: Record) -> bool:
        """Whether nothing is to be delivered after it."""
