"""What an `EventSource` is given, checked there and not when it connects."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..checks import (
    check_callable,
    check_flag,
    check_kind,
    check_seconds,
    check_text,
)
from ..codec.readings import check_read_as
from ..stream.upstream.foreign import http_modules
from .connecting.last_event_id import check_last_event_id
from .connecting.reconnect import ReconnectPolicy

__all__ = ["check_manner", "check_place", "check_request", "check_times"]

#: RFC 9110, 9.1: a method is a token.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def check_request(url: object, method: object, content: object, headers: object) -> None:
    """Refuse what no request can be made of. No value is told: each may hold a secret."""
    urls = tuple(module.URL for module in http_modules())
    check_kind("url", url, (str, *urls), "a str, or a URL of httpx")
    check_text("method", method)
    if not (isinstance(method, str) and _TOKEN.fullmatch(method)):
        raise ValueError("method must be one word, such as 'GET'")
    check_kind("content", content, (str, bytes), "str, bytes or None", or_none=True)
    if isinstance(content, str):
        check_text("content", content)
    if isinstance(headers, Mapping):
        for name, value in headers.items():
            check_kind("a name in headers", name, (str, bytes), "a str")
            check_kind("a value in headers", value, (str, bytes), "a str")
    else:
        what = "returns a mapping of str, or such a mapping"
        check_callable("headers", headers, what, takes=0, or_none=True, awaited=True)


def check_place(last_event_id: str | None, read_as: str) -> None:
    """Refuse what no event can have had as its id, and what no answer can be read as."""
    check_last_event_id(last_event_id)
    check_read_as(read_as)


def check_manner(reconnect: object, next_request: object, policy: object, observer: object) -> None:
    """Refuse what nobody can keep to: how it reconnects, whom it tells."""
    check_flag("reconnect", reconnect, or_none=True)
    what = "takes a StreamRequest and the last event, and returns a StreamRequest or None"
    check_callable("next_request", next_request, what, takes=2, or_none=True, awaited=True)
    check_kind("policy", policy, ReconnectPolicy, "a ReconnectPolicy", or_none=True)
    check_callable("observer", observer, "takes what has happened", takes=1, or_none=True)


def check_times(idle_timeout: object, answer_timeout: object) -> None:
    """Refuse what is no time to wait."""
    check_seconds("idle_timeout", idle_timeout, "None waits for ever", or_none=True)
    what = "None is as long as idle_timeout"
    check_seconds("answer_timeout", answer_timeout, what, or_none=True)
