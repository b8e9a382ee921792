"""What can be wrong, and what to do about it: the table of docs/doctor.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["COMPLAINTS", "Complaint", "Finding", "Level", "complain", "fine", "unknown"]

#: "wrong" must be mended, "advice" is what could be better, and of what is "unknown" nothing was
#: seen in the time.
Level = Literal["fine", "unknown", "advice", "wrong"]


@dataclass(frozen=True, slots=True)
class Complaint:
    """One of the things that can be wrong: its name, how much it matters, and what to do."""

    code: str
    level: Level
    todo: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What one verdict says.

    Attributes:
      subject: what was looked at.
      level: see `Level`.
      seen: what there is, in words; no payload, no secret.
      complaint: what is wrong, if it is.
    """

    subject: str
    level: Level
    seen: str
    complaint: Complaint | None = None


def fine(subject: str, seen: str) -> Finding:
    return Finding(subject, "fine", seen)


def unknown(subject: str, seen: str) -> Finding:
    return Finding(subject, "unknown", seen)


def complain(subject: str, code: str, seen: str) -> Finding:
    complaint = COMPLAINTS[code]
    return Finding(subject, complaint.level, seen, complaint)


_WRONG = {
    "unreachable": "See that the server runs, and that name, port and certificate are right.",
    "no-answer": "Send the head at once, not with the first event: a page hears of `open` only "
    "then. What compresses or buffers on the way holds it back, too.",
    "refused": "Answer 200. A browser's EventSource never comes back after anything else.",
    "not-an-event-stream": "Send `Content-Type: text/event-stream`. Browsers refuse any other. "
    "Is this a page for errors, or for logging in?",
    "charset": "Leave `charset` out, or say utf-8: an event stream is always that, and Chromium "
    "refuses what says otherwise, be it utf8.",
    "not-utf-8": "Encode as UTF-8: clients show `\ufffd` for what is not.",
    "late-first-byte": "Send the head at once, before there is an event. If the server does, "
    "something on the way waits for more: see held-back.",
    "held-back": "Something collects. In the server: flush after each event. nginx: "
    "`X-Accel-Buffering: no` in the answer, `proxy_buffering off` or `proxy_http_version 1.1`. "
    "HAProxy: `option http-no-delay`. Others: see the page about proxies.",
    "compression-holds-back": "Compress where each event can be flushed, in the application, or "
    "not at all: `Cache-Control: no-transform` and `X-Accel-Buffering: no` in the answer, or "
    "without text/event-stream in what the proxy compresses.",
    "undecodable": "Send what `Content-Encoding` says, of what the request accepts. Two places "
    "that both compress, or one that only says so, make this.",
    "from-a-cache": "Send `Cache-Control: no-store`, and have the cache pass the stream by: "
    "clients get another client's events.",
    "fixed-length": "A stream has no `Content-Length`. Something has collected all of it, or the "
    "server makes it whole before it answers.",
    "long-silence": "Send a comment (`:` and a line end) each 15 seconds or less: proxies cut "
    "after 30 to 60 seconds of silence, and nobody notices a client that has left.",
    "ignored-retry": "`retry:` is a whole number of milliseconds, digits alone.",
    "bad-id": "Give ids that an HTTP header can carry: no control characters, at most 8,000 "
    "bytes. Others do not come back as Last-Event-ID.",
    "not-resumed": "Read the request's `Last-Event-ID`, and begin behind that event; or give no "
    "ids, which promise it.",
    "repeated": "Begin behind the event that `Last-Event-ID` names, not with it: it has arrived.",
    "resume-refused": "Answer a request with `Last-Event-ID` as one without, or with 204 if there "
    "is no more: a browser gives up after anything else.",
    "broken-end": "Something cut the connection: a time limit of a proxy (see what it took), a "
    "server that restarts, or a failure. If it is none, end the answer properly.",
    "no-field": "Each line is `data:`, `event:`, `id:`, `retry:` or a comment; what is not is "
    "ignored. Mostly it is an error's text, or data with line ends in it: each of its lines "
    "takes a `data:`.",
    "without-data": "Browsers do not dispatch an event without `data:`. Send at least an empty "
    "line of it.",
    "unfinished-event": "End each event with a blank line, the last one, too: without it no "
    "client sees it.",
    "later-than-beside": "What stands between the two addresses delays: see held-back.",
}

_ADVICE = {
    "in-lumps": "If the server sends events one by one, something collects them: see held-back. "
    "Times in the events (a number or an ISO date), or --beside, tell.",
    "nothing-at-first": "Send `retry:` or a comment at once: some proxies, of development mostly, "
    "pass the head on with the first byte, and only then does a page hear of `open`.",
    "no-more": "204 tells clients not to come back: right at the end of a stream, not before it.",
    "redirected": "Ask for the last address directly: each reconnect goes all the way, and "
    "Chromium never asks the first again.",
    "proxies-not-told": "Send `Cache-Control: no-store, no-transform` and `X-Accel-Buffering: no` "
    "for the proxies and caches that may come between.",
    "end-not-marked": "Speak HTTP/1.1 with chunks, or HTTP/2, all the way: a client cannot tell "
    "this end from a broken one.",
    "six-connections": "Browsers open six connections to a host over HTTP/1.1, in all tabs "
    "together: the seventh waits. Offer HTTP/2 over TLS, or share one stream among tabs.",
    "few-pings": "Send a comment each 15 seconds or less, so that proxies keep the stream and a "
    "client that has left is noticed.",
    "many-pings": "Pings each 8 to 15 seconds do; more often they keep phones awake.",
    "no-retry": "Send `retry:` with the milliseconds that you want clients to wait. By themselves "
    "they come after 3 (Chromium) or 5 seconds (Firefox), all at once after a restart.",
    "odd-retry": "Between half a second and a minute is what neither floods a server nor leaves "
    "a page without news.",
    "no-ids": "Give events an `id:`, and begin behind `Last-Event-ID`: what comes while a client "
    "is away is lost without.",
    "foreign-id": "Give ids of ASCII alone: of others clients on Node send back what is no UTF-8, "
    "or never come back.",
    "unknown-field": "The standard knows `data`, `event`, `id` and `retry`, in small letters and "
    "without a blank before the colon; all others are ignored.",
    "ends-soon": "A client comes back at once and asks again, which is polling. Tell it by an "
    "event that it may close, answer 204 when it comes back, or keep the stream open.",
}

#: All of them by their codes, those that are wrong first.
COMPLAINTS: dict[str, Complaint] = {
    **{code: Complaint(code, "wrong", todo) for code, todo in _WRONG.items()},
    **{code: Complaint(code, "advice", todo) for code, todo in _ADVICE.items()},
}
