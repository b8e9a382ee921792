"""Verdicts on what holds back: whether each event comes by itself, at once."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from .complaints import Finding, complain, fine, unknown
from .observation import Examination, Observation
from .times import Lateness, apart, behind, lateness, lumps

__all__ = ["beside", "buffering", "compression"]

#: Seconds that an event may be late without anybody's noticing.
_AT_ONCE = 0.1

#: Seconds of spread in the times of events that are no chance.
_SPREAD = 0.25

#: Seconds that something waits for more to come, at most: mostly it is 40 or 200 milliseconds.
_EVEN = 0.6


def buffering(seen: Examination) -> Finding | None:
    """Whether something collects what the server sends. Without compression, if it is there."""
    main = seen.sent
    if main.coding:
        return None
    if main.status != 200 or main.answered is None:
        return None
    if signs := _signs(main, is_local=seen.is_local):
        return complain("buffering", "held-back", "; ".join(signs))
    if not main.reading.events and len(main.reading.comments) < 2:
        return unknown("buffering", "nothing came to tell it by")
    if told := lumps(main):
        other = 0.0 if seen.again is None else apart(main, seen.again)
        if other > _SPREAD:
            told += f"; over another connection the same events come {other:.1f} s apart from these"
            return complain("buffering", "held-back", told)
        return complain("buffering", "in-lumps", told)
    told = f"{len(main.arrivals)} arrivals, "
    if waits := [wait for _, wait in main.reading.cut]:
        told += f"{len(waits)} end in an event, its rest comes within {max(waits) * 1000:.0f} ms"
    else:
        told += "each of whole events"
    if late := lateness(main):
        told += f"; by their times ({late.field}) events are {late.usual * 1000:.0f} ms old"
        told += f", {late.spread * 1000:.0f} ms at most between the quickest and the latest"
    return fine("buffering", told)


def compression(seen: Examination) -> Finding | None:
    """Whether what compresses holds events back."""
    main, plain = seen.main, seen.plain
    if not main.coding or main.end == "undecodable":
        return None
    if _is_empty(main) and (plain is None or _is_empty(plain)):
        return unknown("compression", f"{_ratio(main)}: nothing came to tell it by")
    if plain is None or plain.status != 200:
        if signs := _signs(main, is_local=seen.is_local):
            return complain("compression", "compression-holds-back", "; ".join(signs))
        return fine("compression", f"{_ratio(main)}; nothing is held back")
    if late := behind(main, plain):
        if late.usual > _AT_ONCE or late.most > 10 * _AT_ONCE:
            told = f"events come {late.usual:.1f} s later than without, {late.most:.1f} s at most"
            return complain("compression", "compression-holds-back", f"{_ratio(main)}; {told}")
    elif _is_empty(main) and not _is_empty(plain):
        told = f"nothing can be read in {main.ended - (main.answered or 0.0):.1f} s, and without "
        told += "it something can"
        return complain("compression", "compression-holds-back", f"{main.coding}; {told}")
    if (signs := _signs(main, is_local=seen.is_local)) and not _signs(plain, seen.is_local):
        return complain("compression", "compression-holds-back", "; ".join(signs))
    return fine("compression", f"{_ratio(main)}; nothing is held back")


def beside(seen: Examination) -> Finding | None:
    """How much later events are than over the other address that was given."""
    other = seen.beside
    if other is None:
        return None
    if other.status != 200:
        return unknown("beside", f"{other.url}: {other.refusal}")
    late = behind(seen.main, other)
    if late is None:
        if _is_empty(seen.main) and not _is_empty(other):
            told = f"nothing came, and something from {other.url}"
            return complain("beside", "later-than-beside", told)
        return unknown("beside", f"no event is the same at {other.url}, and there only once")
    told = f"{late.events} of the same events, {max(late.usual, 0.0) * 1000:.0f} ms later than "
    told += f"at {other.url}, {max(late.most, 0.0) * 1000:.0f} ms at most"
    if late.usual > _AT_ONCE or late.most > 10 * _AT_ONCE:
        return complain("beside", "later-than-beside", told)
    return fine("beside", told)


def _is_empty(seen: Observation) -> bool:
    return not seen.reading.events and not seen.reading.comments


def _ratio(main: Observation) -> str:
    size = sum(arrival.size for arrival in main.arrivals)
    stands_for = sum(len(arrival.data) for arrival in main.arrivals)
    return f"{main.coding}, {size} bytes for {stands_for}"


def _signs(seen: Observation, is_local: bool) -> list[str]:
    """What shows that something collects, in words."""
    signs = [*_cut_up(seen), *_pings_together(seen), *_all_at_the_end(seen)]
    if late := lateness(seen):
        signs += _late(late, is_local=is_local)
    return signs


def _late(late: Lateness, is_local: bool) -> list[str]:
    by = f"by their times ({late.field})"
    if late.together > _AT_ONCE / 2 + late.resolution:
        return [f"{by} events come together that were made {late.together:.1f} s apart"]
    if late.spread > _SPREAD + late.resolution:
        return [f"{by} some are {late.spread:.1f} s later than others"]
    # What waits for more to come waits equally long each time; a time that was another's, as of
    # when something was measured, is not as even, or is longer ago.
    is_even = _AT_ONCE < late.usual < _EVEN and late.spread < _AT_ONCE
    if is_local and is_even and not late.resolution:
        return [f"{by} each is {late.usual * 1000:.0f} ms late"]
    return []


def _cut_up(seen: Observation) -> list[str]:
    waits = [wait for _, wait in seen.reading.cut if wait > _AT_ONCE]
    if len(waits) < 2 and not any(wait > 10 * _AT_ONCE for wait in waits):
        return []
    return [f"{len(waits)} times half an event came, and the rest up to {max(waits):.1f} s later"]


def _pings_together(seen: Observation) -> list[str]:
    # In the first, comments may be what pads the beginning for old browsers.
    later = [comment for comment in seen.reading.comments if comment[0] > seen.arrivals[0].at]
    together = max(Counter(later).values(), default=0)
    return [f"{together} pings came together"] if together > 1 else []


def _all_at_the_end(seen: Observation) -> list[str]:
    times = [timed.at for timed in seen.reading.events]
    if len(times) < 2 or seen.end != "proper":
        return []
    came = [times[0] - (seen.answered or 0.0), *(later - at for at, later in pairwise(times))]
    if times[-1] - times[0] > _AT_ONCE or max(times[0], *came) < 10 * _AT_ONCE:
        return []
    if seen.ended - times[0] > _AT_ONCE:
        return []
    return [
        f"all {len(times)} events came together, {times[0]:.1f} s after the request, at the end"
    ]
