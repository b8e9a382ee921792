"""Verdicts on the answer's head: whether there is one, and what it says that it is."""

from __future__ import annotations

import re

from ..codec.media_type import declared_kind
from .complaints import Finding, complain, fine
from .observation import Examination, Observation

__all__ = [
    "charset",
    "content_type",
    "first_byte",
    "looks_like_events",
    "reached",
    "redirects",
    "version",
]

#: Seconds after which an answer's head, or its first byte, is late.
LATE = 2.0

_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s\";,]+)", re.IGNORECASE)


def reached(seen: Examination) -> Finding:
    """Whether there is an answer, and whether it is one that a browser stays with."""
    main = seen.main
    if main.failure:
        return complain("answer", "unreachable", f"no answer from {main.url}: {main.failure}")
    if main.answered is None:
        waited = f"{main.url} is connected, and has not answered for {main.ended:.1f} s"
        if seen.plain is not None and seen.plain.answered is not None:
            return complain(
                "answer",
                "compression-holds-back",
                f"{waited}; without compression it answers after {_ms(seen.plain.answered)}",
            )
        return complain("answer", "no-answer", waited)
    if main.status == 204:
        return complain("answer", "no-more", "204: the server says that there is no more")
    if main.status != 200:
        return complain("answer", "refused", _refusal(main))
    return fine("answer", f"200 from {main.url}")


def _refusal(main: Observation) -> str:
    told = [f"{main.url} answers {main.status}"]
    if main.status in (401, 403):
        told.append("who may read it is not who asked: -H, user:password@ in the URL")
    if main.header("retry-after"):
        told.append(f"Retry-After: {main.header('retry-after')[:40]}")
    return "; ".join(told)


def redirects(seen: Examination) -> Finding | None:
    """Whether the stream was where it was asked for."""
    if seen.main.redirects:
        return complain("address", "redirected", f"redirected to {', '.join(seen.main.redirects)}")
    return None


def looks_like_events(seen: Examination) -> bool:
    """Whether it says that it is an event stream, or has anything that only those have."""
    reading = seen.sent.reading
    return (
        seen.sent.status != 200
        or declared_kind(seen.sent.header("content-type")) == "sse"
        or bool(reading.events or reading.comments or reading.retries)
    )


def content_type(seen: Examination) -> Finding | None:
    """Whether a browser takes it for an event stream."""
    if seen.sent.status != 200:
        return None
    value = seen.sent.header("content-type")
    if declared_kind(value) == "sse":
        return fine("content type", value[:80])
    told = repr(value[:80]) if value else "none"
    if seen.sent.reading.events:
        told += ", though it looks like an event stream"
    return complain("content type", "not-an-event-stream", told)


def charset(seen: Examination) -> Finding | None:
    """Whether it is UTF-8, and says nothing else."""
    if seen.sent.status != 200:
        return None
    said = _CHARSET.search(seen.sent.header("content-type"))
    if said is not None and said[1].lower() != "utf-8":
        return complain("charset", "charset", f"the content type says {said[1][:40]}")
    if not seen.sent.reading.utf8:
        return complain("charset", "not-utf-8", "there are bytes that are no UTF-8")
    return fine("charset", "utf-8")


def first_byte(seen: Examination) -> Finding | None:
    """When the answer began."""
    main = seen.main
    if main.status != 200 or main.answered is None:
        return None
    if main.arrivals:
        body = f"the first byte of its body after {_ms(main.arrivals[0].at)}"
    else:
        body = f"no byte of its body in {main.ended - main.answered:.1f} s"
    told = f"the head after {_ms(main.answered)}, {body}"
    if main.answered > LATE:
        plain = None if seen.plain is None else seen.plain.answered
        if plain is not None and plain < main.answered / 2:
            told += f"; without compression the head comes after {_ms(plain)}"
            return complain("first byte", "compression-holds-back", told)
        return complain("first byte", "late-first-byte", told)
    if (main.arrivals[0].at if main.arrivals else main.ended) - main.answered > LATE:
        return complain("first byte", "nothing-at-first", told)
    return fine("first byte", told)


def version(seen: Examination) -> Finding | None:
    """Which HTTP it is: how many streams a browser can have of it."""
    version = seen.sent.http_version
    if not version:
        return None
    if version.startswith("HTTP/1"):
        return complain("version", "six-connections", version)
    return fine("version", f"{version}, so that all streams of a browser share a connection")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < LATE else f"{seconds:.1f} s"
