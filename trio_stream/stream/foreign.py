"""The errors of the HTTP clients, and what they mean for a stream's own client."""

from __future__ import annotations

import sys
from typing import Any

import httpx

from ..errors import UpstreamStatusError

__all__ = ["failure_status", "http_modules"]


def http_modules() -> list[Any]:
    """httpx and, where the program has imported it, httpx2."""
    # httpx2 is not ours to import: only a program that has imported it can hold its responses.
    httpx2 = sys.modules.get("httpx2")
    return [httpx] if httpx2 is None else [httpx, httpx2]


def failure_status(error: BaseException) -> tuple[int, str | None]:
    """What to answer, before the headers, when a source fails: status and ``Retry-After``.

    An upstream's fault is a 502, or a 504 when it took too long; SDKs wrap httpx's errors, so the
    whole chain of causes is asked. Anything else is the program's own fault: 500.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UpstreamStatusError):
            return 502, cause.retry_after
        for module in http_modules():
            if isinstance(cause, module.TimeoutException):
                return 504, None
            if isinstance(cause, module.HTTPStatusError):
                return 502, cause.response.headers.get("retry-after")
            if isinstance(cause, module.HTTPError):
                return 502, None
        cause = cause.__cause__
    return 500, None
