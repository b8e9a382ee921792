"""`EventMap`: what a subscription makes of its topics' events, once for all that have the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

from ...checks import check_callable
from ...codec import ServerSentEvent
from ...errors import MapError
from ..contract import Record
from ..contract.event import TopicEvent
from ..contract.notices import Notice, shaped

__all__ = ["UNMAPPED", "EventMap", "MapFunction", "Mapped", "check_map"]

#: ``(event) -> event``: the one that it was given, or another, or None where there is none.
MapFunction = Callable[[TopicEvent], TopicEvent | ServerSentEvent | None]


#: The key of what the library tells in a topic itself, and no map is to see.
UNMAPPED = "$unmapped"


@dataclass(frozen=True, slots=True)
class Mapped:
    """What has become of some records.

    Attributes:
      records: those that there are, as they are sent.
      error: what has ended it, and None if nothing has.
      upto: the id up to which there was no error.
    """

    records: list[Record]
    error: MapError | None
    upto: int


@final
class EventMap:
    """``map=`` of a subscription. Those that are equal are one to the fan-out.

    Args:
      fn: what makes another event of an event, or leaves it out.
      place: the event with which a stream's client is told how far it is, where much was left out.
    """

    __slots__ = ("_fn", "_hash", "_place")

    def __init__(self, fn: MapFunction, place: Notice[[]]) -> None:
        self._fn = fn
        self._place = place
        self._hash = hash(fn)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EventMap) and self._fn == other._fn and self._place is other._place

    def __hash__(self) -> int:
        return self._hash

    def apply(self, record: Record) -> Record | None:
        """What is sent instead of a record, under the same id; None when that is nothing.

        Raises:
          MapError: the function raised, or gave what cannot be sent.
        """
        if record.key == UNMAPPED:
            return record
        event = TopicEvent(record.topic, record.event, record.but)
        try:
            made: Any = self._fn(event)
            if made is None or made is event:
                return None if made is None else record
            encoded = shaped("map", made, record.id or None)
        except Exception as exc:  # whatever a user's function raises is its subscribers' end alone
            raise MapError(record.topic, event.id or None) from exc
        assert encoded is not None
        return Record(record.id, record.topic, record.key, encoded.data, record.but)

    def apply_all(self, records: Sequence[Record]) -> Mapped:
        """What is sent instead of these, up to the first that the function fails with."""
        found: list[Record] = []
        for record in records:
            try:
                made = self.apply(record)
            except MapError as exc:
                return Mapped(found, exc, record.id - 1)
            if made is not None:
                found.append(made)
        return Mapped(found, None, records[-1].id if records else 0)

    def place_of(self, record: Record) -> Record | None:
        """What tells a client that it has seen all up to this record; None when it is not told.

        Raises:
          MapError: the user's function raised, or gave what cannot be sent.
        """
        try:
            event = shaped("place", self._place, record.id)
        except Exception as exc:  # likewise
            raise MapError(record.topic, str(record.id)) from exc
        if event is None:
            return None
        return Record(record.id, record.topic, record.key, event.data, record.but)


def check_map(fn: object) -> None:
    """`TypeError` for what cannot be run for many at once."""
    check_callable("map", fn, "takes an event and returns one, or None", takes=1, or_none=True)
    try:
        hash(fn)
    except TypeError as exc:
        raise TypeError(
            f"map must be hashable, as those that are equal are run once for all of their "
            f"subscribers, and a {type(fn).__name__} is not: use a function, or a frozen dataclass"
        ) from exc
