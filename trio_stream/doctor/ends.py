"""Verdicts on how the answer ended."""

from __future__ import annotations

from .complaints import Finding, complain, fine
from .observation import Examination, Observation

__all__ = ["coding", "end", "last_event"]

#: Seconds after which proxies and servers cut by themselves, and how near to them is no chance.
_LIMITS = (5, 10, 12, 15, 30, 50, 60, 90, 100, 120, 180, 300)
_NEAR = 0.6


def end(seen: Examination) -> Finding | None:
    """Whether it ended, and so that a client can tell."""
    main = seen.main
    if main.status != 200 or main.end == "undecodable":
        return None
    if not _is_marked(main) and main.end != "broken":
        how = "is still open" if main.end == "open" else "ends with its connection"
        told = f"{main.http_version} without chunks {how}, {_when(main)}"
        return complain("end", "end-not-marked", told)
    if main.end == "open":
        return fine("end", f"still open after {main.ended:.1f} s")
    if main.end == "broken":
        return complain("end", "broken-end", f"{_when(main)}: {main.reason}")
    no_more = seen.resumed is not None and seen.resumed.status == 204
    if main.reading.unfinished or no_more or not seen.repeatable:
        return fine("end", f"a proper end, {_when(main)}")
    return complain("end", "ends-soon", f"a proper end, {_when(main)}")


def last_event(seen: Examination) -> Finding | None:
    """Whether the last event has its blank line."""
    main = seen.main
    if main.end == "proper" and main.reading.unfinished:
        return complain("last event", "unfinished-event", "the last event is not finished")
    return None


def coding(seen: Examination) -> Finding | None:
    """Whether the body is in the coding that it says."""
    if seen.main.end == "undecodable":
        return complain("coding", "undecodable", seen.main.reason)
    return None


def _is_marked(main: Observation) -> bool:
    """Whether a break would have looked different."""
    return bool(
        main.http_version.startswith(("HTTP/2", "HTTP/3"))
        or "chunked" in main.header("transfer-encoding").lower()
        or main.header("content-length")
    )


def _when(main: Observation) -> str:
    told = f"after {main.ended:.1f} s"
    last = max([main.answered or 0.0, *(arrival.at for arrival in main.arrivals)])
    for limit in _LIMITS:
        if abs(main.ended - last - limit) < _NEAR:
            return f"{told}, {limit} s after the last byte, which is a time limit's way"
        if min(abs(main.ended - limit), abs(last - limit)) < _NEAR / 2 and main.end == "broken":
            return f"{told}, which is a time limit's way: of {limit} s, whatever flows"
    return told
