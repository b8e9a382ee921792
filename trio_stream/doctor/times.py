"""How late events are: by the times that they hold, and beside another connection."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median

import msgspec

from ..codec import ServerSentEvent
from .observation import Observation

__all__ = ["Behind", "Lateness", "apart", "behind", "lateness", "lumps"]

#: Times further from now than this, in seconds, are of something else.
_NOW = 3600.0

#: Events that are needed before their times mean anything.
_ENOUGH = 3

#: Arrivals of several events, with so many seconds of rest between, that are lumps.
_LUMPS, _REST = 3, 0.5

#: What a number is in seconds, if it is a time.
_UNITS = (1.0, 1e-3, 1e-6, 1e-9)

_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late events are by the times in them, in seconds.

    Attributes:
      field: where the times are.
      ages: of all events that have it.
      usual: the median, if both clocks are right.
      spread: how much later the latest is than the quickest, whatever the clocks say.
      together: how far apart in time events are mostly that come together, where several do.
      resolution: of the times: 1 if all are whole seconds, so that a spread of one is no delay.
    """

    field: str
    ages: tuple[float, ...]
    usual: float
    spread: float
    together: float
    resolution: float


@dataclass(frozen=True, slots=True)
class Behind:
    """How much later the same events came over one connection than over another, in seconds."""

    events: int
    usual: float
    most: float


def lateness(seen: Observation) -> Lateness | None:
    """By the times that the events hold; None where they hold none."""
    times: dict[str, list[tuple[float, float]]] = {}
    for timed in seen.reading.events:
        arrived = seen.began + timed.at
        for field, sent in _times(timed.event, arrived):
            times.setdefault(field, []).append((sent, arrived))
    ready = seen.began + (seen.answered or 0.0)
    for field, found in times.items():
        offset = min(arrived - sent for sent, arrived in found)
        # What is older than the connection was kept for it, and is late for no fault.
        live = [(sent, arrived) for sent, arrived in found if sent + offset >= ready]
        is_steady = all(sooner <= later for (sooner, _), (later, _) in pairwise(found))
        if len(live) >= _ENOUGH and is_steady and len({sent for sent, _ in found}) > _ENOUGH:
            ages = [arrived - sent for sent, arrived in live]
            return Lateness(
                field,
                ages=tuple(arrived - sent for sent, arrived in found),
                usual=median(ages),
                spread=max(ages) - min(ages),
                together=_together(live),
                resolution=float(all(sent == int(sent) for sent, _ in found)),
            )
    return None


def _together(live: list[tuple[float, float]]) -> float:
    arrivals: dict[float, list[float]] = {}
    for sent, arrived in live:
        arrivals.setdefault(arrived, []).append(sent)
    spans = [sent[-1] - sent[0] for sent in arrivals.values() if len(sent) > 1]
    return median(spans) if len(spans) >= _LUMPS else 0.0


def behind(seen: Observation, other: Observation) -> Behind | None:
    """How much later than over the other connection events came; None if none is the same.

    A stream may be one for all, or be made anew for each request: so the times are taken both
    from one clock and from each request, and the smaller difference counts.
    """
    absolute, relative = _differences(seen, other)
    chosen = min(filter(None, (absolute, relative)), key=lambda by: abs(median(by)), default=[])
    return Behind(len(chosen), median(chosen), max(chosen)) if chosen else None


def apart(seen: Observation, other: Observation) -> float:
    """How far apart the same events came over two connections, mostly; 0 if none is the same."""
    found = [list(map(abs, by)) for by in _differences(seen, other) if by]
    return min(map(median, found), default=0.0)


def lumps(seen: Observation) -> str:
    """Events that come several at a time, with a rest between; ``""`` if they do not."""
    came = Counter(timed.at for timed in seen.reading.events)
    # What was kept comes together at first.
    later = [at for at in came if at > seen.arrivals[0].at]
    alone = sum(came[at] == 1 for at in later)
    if len(later) < _LUMPS or alone > len(later) / 10:
        return ""
    rest = median(after - at for at, after in pairwise(later))
    if rest < _REST:
        return ""
    return f"{median(came[at] for at in later):.0f} events at a time, {rest:.1f} s apart"


def _differences(seen: Observation, other: Observation) -> tuple[list[float], list[float]]:
    """How much later each event came than over the other: by the clock, and since each request."""
    ours, theirs = _alone(seen), _alone(other)
    ready = max(seen.started + (seen.answered or 0.0), other.started + (other.answered or 0.0))
    absolute, relative = [], []
    for key, at in ours.items():
        if key in theirs:
            relative.append(at - theirs[key])
            by_clock = (seen.started + at, other.started + theirs[key])
            if min(by_clock) > ready:
                absolute.append(by_clock[0] - by_clock[1])
    return absolute, relative


def _alone(seen: Observation) -> dict[tuple[str, str, str | None], float]:
    """When each event came that is there once."""
    times: dict[tuple[str, str, str | None], list[float]] = {}
    for timed in seen.reading.events:
        event = timed.event
        times.setdefault((str(event.event), event.data, event.id), []).append(timed.at)
    return {key: found[0] for key, found in times.items() if len(found) == 1}


def _times(event: ServerSentEvent, now: float) -> Iterator[tuple[str, float]]:
    """What in an event can be the time when it was made, in seconds since 1970."""
    if event.id and (found := re.fullmatch(r"(\d{13})(?:-\d+)?", event.id)):
        yield from _near("its id", float(found[1]), now)
    try:
        data = msgspec.json.decode(event.data)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return
    if isinstance(data, dict):
        for name, value in data.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield from _near(name[:40], value, now)
            elif isinstance(value, str) and _DATE.match(value):
                yield from _near(name[:40], _seconds(value), now)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        yield from _near("its data", data, now)


def _near(field: str, number: float, now: float) -> Iterator[tuple[str, float]]:
    for unit in _UNITS:
        if abs(number * unit - now) < _NOW:
            yield field, number * unit


def _seconds(text: str) -> float:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
