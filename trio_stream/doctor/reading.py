"""An event stream's bytes, read by the standard, and with an eye for all that it passes over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..codec import EventStreamDecoder, ServerSentEvent
from ..codec.media_type import sniff
from ..errors import EventTooLargeError

__all__ = ["Arrival", "Reading", "Timed", "read"]

_FIELDS = frozenset({"data", "event", "id", "retry"})

#: Characters of an event that are there at once on any line.
_SMALL = 2**14

#: What could be a field's name, as `DroppedInput.unknown_fields` has it.
_NAME = re.compile(r"[\w.-]{1,40}")


@dataclass(frozen=True, slots=True)
class Arrival:
    """Bytes that came together, at this time: how many, and what they stand for, uncompressed."""

    at: float
    size: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Timed:
    """An event, and when it was whole."""

    at: float
    event: ServerSentEvent


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What an event stream's bytes say.

    Attributes:
      events: as a browser dispatches them.
      comments: when each came, and its text.
      cut: when an arrival ended in the middle of an event, and how long it took to be whole.
        Without large ones, which take their time on a slow line.
      unfinished: whether the last event lacks its blank line.
      utf8: whether all is UTF-8.
      retries: what the lines that count say, in milliseconds.
      stray: the numbers of lines that are no field, from 1, and what they look like.
      unknown: names of fields that the standard does not know.
      without_data: names of events that have no data, so that no page ever hears of them.
      ignored_retries, ignored_ids: how many lines of these browsers ignore.
    """

    events: tuple[Timed, ...]
    comments: tuple[tuple[float, str], ...]
    cut: tuple[tuple[float, float], ...]
    unfinished: bool
    utf8: bool
    retries: tuple[int, ...]
    stray: tuple[tuple[int, str], ...]
    unknown: tuple[str, ...]
    without_data: tuple[str, ...]
    ignored_retries: int
    ignored_ids: int


def read(arrivals: Sequence[Arrival]) -> Reading:
    """Read what has arrived."""
    events: list[Timed] = []
    comments: list[tuple[float, str]] = []
    cut: list[tuple[float, float]] = []
    at = 0.0
    decoder = EventStreamDecoder(on_comment=lambda text: comments.append((at, text)))
    cut_at: float | None = None
    for arrival in arrivals:
        at = arrival.at
        whole_now = list(_feed(decoder, arrival.data))
        events += [Timed(at, event) for event in whole_now]
        unfinished = decoder.dropped.unfinished
        if cut_at is not None and (whole_now or not unfinished):
            if not whole_now or len(whole_now[0].data) < _SMALL:
                cut.append((cut_at, at - cut_at))
            cut_at = None
        if unfinished and cut_at is None:
            cut_at = at
    whole = b"".join(arrival.data for arrival in arrivals)
    lines = _Lines(_decode(whole))
    return Reading(
        events=tuple(events),
        comments=tuple(comments),
        cut=tuple(cut),
        unfinished=decoder.dropped.unfinished,
        utf8=_is_utf8(whole),
        retries=tuple(lines.retries),
        stray=tuple(lines.stray),
        unknown=tuple(lines.unknown),
        without_data=tuple(lines.without_data),
        ignored_retries=lines.ignored_retries,
        ignored_ids=lines.ignored_ids,
    )


def _feed(decoder: EventStreamDecoder, data: bytes) -> Iterator[ServerSentEvent]:
    more = True
    while more:
        try:
            yield from decoder.feed(data)
        except EventTooLargeError:
            pass  # nothing that was listened to is, unless nothing else was there
        data, more = b"", decoder.has_more


def _decode(whole: bytes) -> str:
    return whole.decode("utf-8", "replace").removeprefix("\ufeff")


def _is_utf8(whole: bytes) -> bool:
    try:
        whole.decode()
    except UnicodeDecodeError as exc:
        return exc.reason == "unexpected end of data"  # cut off within a character
    return True


@dataclass
class _Lines:
    """What is in the lines, apart from the events."""

    text: str
    retries: list[int] = field(default_factory=list)
    stray: list[tuple[int, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    without_data: list[str] = field(default_factory=list)
    ignored_retries: int = 0
    ignored_ids: int = 0

    def __post_init__(self) -> None:
        # What comes behind the last line end is no line.
        *lines, _ = re.split(r"\r\n|\r|\n", self.text)
        name, has_data = "", False
        for number, line in enumerate(lines, 1):
            if not line:
                if name and not has_data:
                    self.without_data.append(name)
                name, has_data = "", False
                continue
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            name = value if key == "event" else name
            has_data = has_data or key == "data"
            if key not in _FIELDS:
                self._no_field(number, key, line)
            self._field(key, value)

    def _field(self, key: str, value: str) -> None:
        if key == "retry":
            if value.isascii() and value.isdigit() and len(value) < 19:
                self.retries.append(int(value))
            else:
                self.ignored_retries += 1
        elif key == "id" and "\0" in value:
            self.ignored_ids += 1

    def _no_field(self, number: int, key: str, line: str) -> None:
        if not key:
            return  # a comment
        if _NAME.fullmatch(key):
            self.unknown.append(key)
        else:
            self.stray.append((number, sniff(line.encode(), final=True) or "text"))
