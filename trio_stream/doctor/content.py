"""Verdicts on the events: pings, `retry`, ids, and lines that say nothing."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

from ..client.connecting.last_event_id import can_be_sent
from .complaints import Finding, complain, fine, unknown
from .observation import Examination

__all__ = ["data", "ids", "lines", "pings", "resume", "retry"]

#: Seconds of silence that the most impatient proxies bear, and what pings of 15 s stay below.
_BORNE, _PING = 30.0, 16.0


def pings(seen: Examination) -> Finding | None:
    """How long it is silent, and what it says meanwhile."""
    main = seen.sent
    if main.status != 200 or main.answered is None:
        return None
    times = [main.answered, *(arrival.at for arrival in main.arrivals)]
    if main.end == "open":
        times.append(main.ended)
    silence = max((later - sooner for sooner, later in pairwise(times)), default=0.0)
    told = f"never silent for longer than {silence:.1f} s"
    distances = [later - sooner for (sooner, _), (later, _) in pairwise(main.reading.comments)]
    if len(main.reading.comments) > 1:
        told += f"; {len(main.reading.comments)} comments, {median(distances):.1f} s apart"
    elif main.reading.comments:
        told += "; one comment"
    if silence > _BORNE:
        return complain("pings", "long-silence", f"silent for {silence:.1f} s")
    if silence > _PING:
        return complain("pings", "few-pings", f"silent for {silence:.1f} s")
    if len(distances) > 3 and 0 < median(distances) < 1 and not main.reading.events:
        return complain("pings", "many-pings", told)
    if main.end == "open" and main.ended - main.answered < _PING and silence > main.ended / 2:
        return unknown("pings", f"{told}, which was as long as it was listened to: --seconds 20")
    return fine("pings", told)


def retry(seen: Examination) -> Finding | None:
    """What it says of when to come back."""
    reading = seen.sent.reading
    if not seen.sent.arrivals:
        return None
    if reading.ignored_retries:
        told = f"{reading.ignored_retries} retry lines are no number"
        return complain("retry", "ignored-retry", told)
    if not reading.retries and not seen.repeatable:
        return None  # nobody comes back to it
    if not reading.retries:
        return complain("retry", "no-retry", "none")
    last = reading.retries[-1]
    told = f"{last / 1000:g} s"
    return fine("retry", told) if 500 <= last <= 60_000 else complain("retry", "odd-retry", told)


def ids(seen: Examination) -> Finding | None:
    """Whether events have ids, by which a client can come back without missing any."""
    reading = seen.sent.reading
    if reading.ignored_ids:
        told = f"{reading.ignored_ids} id lines hold U+0000, and are ignored"
        return complain("ids", "bad-id", told)
    if not reading.events:
        return None
    given = [event.event.id for event in reading.events if event.event.id]
    if not all(map(can_be_sent, given)):
        return complain("ids", "bad-id", "there are ids that no HTTP header can carry")
    if not all(map(str.isascii, given)):
        return complain("ids", "foreign-id", "there are ids with more than ASCII in them")
    if not given and not seen.repeatable:
        return None
    if not given:
        return complain("ids", "no-ids", f"none with {_count(len(reading.events), 'event')}")
    return fine(
        "ids", f"{_count(len(set(given)), 'id')} with {_count(len(reading.events), 'event')}"
    )


def resume(seen: Examination) -> Finding | None:
    """Whether it goes on behind the event that `Last-Event-ID` names."""
    before, after = seen.sent, seen.resumed
    if after is None:
        if not any(event.event.id for event in before.reading.events):
            return None
        return unknown("resuming", "not tried: it takes a GET, an id that can be sent, and time")
    if after.status == 204:
        return fine("resuming", "204: there is no more")
    if after.status != 200:
        return complain("resuming", "resume-refused", f"with Last-Event-ID: {after.refusal}")
    first = next((timed.event.id for timed in after.reading.events if timed.event.id), None)
    if first is None:
        told = f"no event with an id in {after.ended:.1f} s after Last-Event-ID"
        return unknown("resuming", told)
    ids = [event.event.id for event in before.reading.events]
    expected = [id for id in ids[ids.index(seen.resumed_after) + 1 :] if id != seen.resumed_after]
    if first == seen.resumed_after:
        return complain("resuming", "repeated", "it begins with the event of Last-Event-ID")
    if not expected:
        return unknown("resuming", "it does not begin anew, but one event is too few to tell")
    if first == expected[0]:
        return fine("resuming", "it goes on behind Last-Event-ID")
    place = "at another place that was seen" if first in ids else "with what was not seen before"
    return complain("resuming", "not-resumed", f"after Last-Event-ID it begins {place}")


def lines(seen: Examination) -> Finding | None:
    """Whether each line is a field."""
    reading = seen.sent.reading
    if reading.stray:
        number, kind = reading.stray[0]
        kind_told = {"json": "JSON", "html": "HTML"}.get(kind, "text")
        count = _count(len(reading.stray), "line")
        told = f"{count} of no field, the first is line {number}, which looks like {kind_told}"
        return complain("lines", "no-field", told)
    if reading.unknown:
        names = ", ".join(dict.fromkeys(reading.unknown))
        told = f"{_count(len(reading.unknown), 'line')} of unknown fields: {names[:80]}"
        return complain("lines", "unknown-field", told)
    return fine("lines", "all are fields or comments") if seen.sent.arrivals else None


def data(seen: Examination) -> Finding | None:
    """Whether pages hear of each event."""
    reading = seen.sent.reading
    if reading.without_data:
        names = ", ".join(dict.fromkeys(reading.without_data))
        told = f"{_count(len(reading.without_data), 'event')} without data: {names[:80]}"
        return complain("events", "without-data", told)
    if seen.sent.status == 200 and not reading.events:
        return unknown("events", f"none in {seen.sent.ended:.1f} s")
    if not reading.events:
        return None
    return fine("events", _count(len(reading.events), "event"))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
