"""What is answered instead of a stream that somebody may not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from ...checks import check_text, shown
from .error_answer import TEXT, encoded_body, status_line
from .response_headers import Headers, RawHeaders, checked_headers, with_defaults

if TYPE_CHECKING:
    from ...transport.asgi import AsgiTransport, Scope

__all__ = ["FORBIDDEN", "Refusal"]

#: The redirects of which a client makes another request (RFC 9110, 15.4).
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@final
class Refusal:
    """An answer instead of a stream, for ``Stream(authorize=)``: a status, with what belongs to it.

    ``Refusal(401, headers={"www-authenticate": "Bearer"})``, ``Refusal(303, location="/login")``.

    Args:
      status: 400 to 599; or with a ``location`` 301, 302, 303, 307 or 308.
      body: `str` and UTF-8 `bytes` as text, anything else as JSON. None is a line with the status.
      location: where to ask instead, in ASCII.
      headers: additional or replacing response headers, a mapping or pairs.

    Raises:
      TypeError, ValueError: an argument that is none of these.
    """

    __slots__ = ("body", "headers", "status")

    body: bytes

    def __init__(
        self,
        status: int = 403,
        body: Any = None,
        *,
        location: str | None = None,
        headers: Headers | None = None,
    ) -> None:
        self.status: int = _checked_status(status, location)
        kind, self.body = (TEXT, status_line(status)) if body is None else encoded_body(body)
        chosen = checked_headers(headers)
        if location is not None:
            chosen += checked_headers({"location": _checked_location(location)})
        defaults = ((b"content-type", kind), (b"cache-control", b"no-store"))
        self.headers: RawHeaders = with_defaults(defaults, chosen)

    async def answer(self, transport: AsgiTransport, scope: Scope) -> None:
        """Refuse a request, before its stream has begun."""
        body = b"" if scope["method"] == "HEAD" else self.body
        await transport.answer(self.status, self.headers, body)


def _checked_status(status: Any, location: str | None) -> int:
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"status must be an int, such as 401 or 403, not {shown(status)}")
    if location is None and status in _REDIRECTS:
        raise ValueError(f"status {status} needs to say where to: Refusal({status}, location=...)")
    if location is not None and status not in _REDIRECTS:
        raise ValueError(f"status {shown(status)} is no redirect, which a location is for: use 303")
    if location is None and not 400 <= status <= 599:
        words = "use one from 400 to 599, or 303 with location="
        raise ValueError(f"status {shown(status)} does not refuse: {words}")
    return int(status)


def _checked_location(location: Any) -> str:
    check_text("location", location)
    if not location.isascii() or not location or " " in location:
        raise ValueError("location must be a URL in ASCII: quote what is in it")
    return str(location)


#: For who is refused without a word of ``authorize``.
FORBIDDEN = Refusal(403)
