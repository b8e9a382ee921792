"""What the fan-out sees of a subscription at the head of its topics, and of its stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, Self

from ...codec import EncodedEvent
from ...codec.groups import SharedEvent
from ...errors import MapError
from ..contract.topics import Selection
from .mapping import EventMap

__all__ = ["NOWHERE", "Follower", "Offered", "Taker"]


class Offered(Protocol):
    """What is used here of a stream's `Express`; its documentation holds."""

    def sender(self, frame: bytes, /) -> Callable[[bytes], int] | None: ...
    def sent(self, event: EncodedEvent, left: int, count: int, now: float, /) -> None: ...
    def share(self) -> str | None: ...
    def shared_sender(self, event: SharedEvent, /) -> Callable[[bytes], int] | None: ...
    def sent_shared(self, event: SharedEvent, left: int, count: int, now: float, /) -> None: ...
    def write_shared(self, event: SharedEvent, count: int, /) -> bool: ...


class Taker(Protocol):
    """What is used here of a stream's `Sink`; its documentation holds."""

    def put_nowait(self, event: EncodedEvent, /) -> bool: ...
    def add_events(self, count: int, /) -> None: ...
    def found_gone(self) -> object: ...
    @property
    def express(self) -> Offered: ...


class Follower(ABC):
    """A subscription at the head of its topics, as it is seen here.

    Args:
      seen: the id up to which it has everything, or infinity while it does not follow.
      selection: what it wants.
      sink: where it takes events, at once or not at all.

    Attributes:
      stream: the id of its stream, if that has one.
      view: what it is sent instead of its topics' events, or None: it is sent those.
      coding: the content coding in which it is sent what is compressed for many, or None.
    """

    # First in memory, as a base's slots come before those of its heirs. Of thousands of clients
    # none is in the processor's cache when an event comes, and each line of it that need not be
    # fetched counts: this here, in `Express` and in `Progress` saves a twentieth of `topic-500`.
    __slots__ = ("seen", "selection", "sink", "stream", "view")

    coding: str | None  # its heirs have the slot, because of that

    def __init__(self, seen: float, selection: Selection, sink: Taker) -> None:
        self.seen: float = seen
        self.selection: Selection = selection
        self.sink: Taker = sink
        self.stream: str | None = None
        self.view: EventMap | None = None
        self.coding = None  # type: ignore[misc]  # as said above

    @abstractmethod
    def fail(self, error: MapError) -> None:
        """What comes next could not be made for it, and it follows no longer."""

    @abstractmethod
    def fall_behind(self, cursor: int) -> None:
        """It could not take the event after ``cursor``, and follows no longer."""

    @abstractmethod
    def end(self) -> None:
        """Its client has gone, and it follows no longer."""


class _Nowhere:
    """An iterator's: it is told that there is something, and takes it from the log itself."""

    @property
    def express(self) -> Self:
        return self

    def put_nowait(self, event: EncodedEvent) -> bool:
        return False

    def found_gone(self) -> None:
        raise AssertionError("nobody is there")

    def sender(self, frame: bytes) -> None:
        return None

    def sent(self, event: EncodedEvent, left: int, count: int, now: float) -> None:
        raise AssertionError("there is no sender")

    def share(self) -> None:
        return None

    def shared_sender(self, event: SharedEvent) -> None:
        return None

    def sent_shared(self, event: SharedEvent, left: int, count: int, now: float) -> None:
        raise AssertionError("there is no sender")

    def write_shared(self, event: SharedEvent, count: int) -> bool:
        return False

    def add_events(self, count: int) -> None:
        raise AssertionError("nothing is taken here")


NOWHERE = _Nowhere()
