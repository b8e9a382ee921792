"""What kind of client asks: an EventSource, or one that reads the response for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...transport.asgi import Scope

__all__ = ["is_event_source", "list_header", "names_what_it_accepts", "read_headers"]


def is_event_source(scope: Scope) -> bool:
    """Whether a request is an EventSource's, which comes back by itself after a proper end.

    The HTML standard has it GET, accept ``text/event-stream`` alone, and set the cache mode
    ``no-store``, which makes the Fetch standard add ``Cache-Control: no-cache``. Browsers do that,
    and so do the libraries that stand in for an EventSource. Those that read a response with
    `fetch`, or with an HTTP client, differ in at least one of the three.
    """
    return (
        scope["method"] == "GET"
        and _values(scope, b"accept") == {b"text/event-stream"}
        and b"no-cache" in _values(scope, b"cache-control")
    )


def names_what_it_accepts(scope: Scope) -> bool:
    """Whether a request has an ``Accept``, as every `fetch` and nearly every HTTP client gives it.

    One without is a program's that was written by hand, for which an end is an end.
    """
    return bool(_values(scope, b"accept"))


def _values(scope: Scope, name: bytes) -> set[bytes]:
    """The members of a list header, without parameters, in lower case."""
    listed = list_header(scope, name).split(b",")
    members = (member.partition(b";")[0].strip().lower() for member in listed)
    return {member for member in members if member}


def list_header(scope: Scope, name: bytes) -> bytes:
    """All lines of a header that holds a list, as one (RFC 9110, 5.3)."""
    return b",".join(value for key, value in scope["headers"] if key.lower() == name)


def read_headers(scope: Scope) -> dict[str, str]:
    """A request's headers as text, by their names in lower case; of a name's lines the last."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
