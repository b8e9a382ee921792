"""What a failure before the first event is to a client: whose fault, and which status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard

import trio

from ...errors import (
    ConnectionLostError,
    InvalidRequestError,
    RemoteProtocolError,
    RunInProgressError,
    UpstreamStatusError,
)
from ..ends import ProducerSilent
from ..upstream.foreign import http_modules

__all__ = ["Blame", "blame", "is_error_status"]

#: Packages whose errors have a `status_code` that is this server's own answer, and no upstream's.
_SERVERS = frozenset({"fastapi", "litestar", "quart", "starlette", "werkzeug"})


@dataclass(frozen=True, slots=True)
class Blame:
    """Whose fault a failure is.

    Attributes:
      status: 502 or 504, an upstream's; 409, the client's, who asks for a second start; 500, the
        program's own.
      upstream_status: what the upstream has answered, if that was an error, 400 to 599.
      retry_after: its ``Retry-After``.
    """

    status: int
    upstream_status: int | None = None
    retry_after: str | None = None


def blame(error: BaseException) -> Blame:
    """Whose fault it is when a source fails.

    An upstream's is a 502, or a 504 when it took too long. SDKs wrap httpx's errors, so the whole
    chain of causes is asked; for an error status they make an error of their own that holds the
    response, or its status and headers. Anything else is the program's own fault: 500.
    """
    for cause in _causes(error):
        known = _blame_one(cause)
        if known is not None:
            return known
    return Blame(500)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _blame_one(error: BaseException) -> Blame | None:
    if isinstance(error, UpstreamStatusError):
        return _refused(error.status, error.retry_after)
    if isinstance(error, RunInProgressError):
        return Blame(409)
    if isinstance(error, ProducerSilent):
        return Blame(504)
    if isinstance(error, RemoteProtocolError | InvalidRequestError):
        return Blame(502)
    http = http_modules()
    timeouts = tuple(module.TimeoutException for module in http)
    if isinstance(error, ConnectionLostError):
        slow = isinstance(error.__cause__, (trio.TooSlowError, *timeouts))
        return Blame(504 if slow else 502)
    if isinstance(error, timeouts):
        return Blame(504)
    if (refused := _answer_in(error)) is not None:
        return refused
    failures = tuple(kind for module in http for kind in (module.HTTPError, module.InvalidURL))
    return Blame(502) if isinstance(error, failures) else None


def _answer_in(error: BaseException) -> Blame | None:
    """The upstream's answer that an SDK's error holds: its response, or status and headers."""
    responses = tuple(module.Response for module in http_modules())
    for name in ("response", "raw_response"):
        response = getattr(error, name, None)
        if isinstance(response, responses):  # of any status: an error may come in a 200
            return _refused(response.status_code, response.headers.get("retry-after"))
    status = getattr(error, "status_code", None)
    if not is_error_status(status) or _is_of_server(type(error)):
        return None
    return _refused(status, _retry_after(getattr(error, "headers", None)))


def _refused(status: int, retry_after: str | None) -> Blame:
    return Blame(502, status if is_error_status(status) else None, retry_after)


def is_error_status(status: object) -> TypeGuard[int]:
    """Whether this is the status of an answer that tells of an error, and has a body."""
    return isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599


def _is_of_server(kind: type) -> bool:
    return any(cls.__module__.partition(".")[0] in _SERVERS for cls in kind.__mro__)


def _retry_after(headers: object) -> str | None:
    if not isinstance(headers, Mapping):
        return None
    found = (v for k, v in headers.items() if isinstance(k, str) and k.lower() == "retry-after")
    value = next(found, None)
    return value if isinstance(value, str) and value.isprintable() else None
