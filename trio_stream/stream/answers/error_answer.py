"""What is answered instead of a stream that fails before anything was sent."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, final

from ...checks import check_callable, naming, shown
from ...codec.jsonable import to_json, to_utf8
from .refusals import Blame, is_error_status
from .response_headers import Headers, RawHeaders, checked_headers, with_defaults

__all__ = [
    "TEXT",
    "ErrorAnswer",
    "ErrorAnswerOption",
    "answer_with",
    "check_error_answer",
    "encoded_body",
    "response_to",
    "status_line",
]

#: Content types.
TEXT, _JSON = b"text/plain; charset=utf-8", b"application/json"


@final
class ErrorAnswer:
    """An error status, with a body, for ``Stream(error_answer=)``.

    ``ErrorAnswer()`` passes an upstream's status on, so that an SDK behind a gateway raises what it
    would raise in front of it. An upstream's ``Retry-After`` goes along in any case, and nothing
    else of it.

    Args:
      status: 400 to 599. None is the upstream's own where it has refused with an error, and else
        what is answered without: 502, 504 or, for the program's own fault, 500.
      body: `str` and UTF-8 `bytes` as text, anything else as JSON. None is a line with the status.
      headers: additional or replacing response headers, a mapping or pairs.

    Raises:
      TypeError: a status that is no int, headers of another type, a body that has no JSON form.
      ValueError: a status below 400 or over 599, or a header that the server owns.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(
        self, status: int | None = None, body: Any = None, *, headers: Headers | None = None
    ) -> None:
        self.status: int | None = None if status is None else _checked_status(status)
        kind: bytes
        self.body: bytes | None
        kind, self.body = (TEXT, None) if body is None else encoded_body(body)
        defaults = ((b"content-type", kind), (b"cache-control", b"no-store"))
        self.headers: RawHeaders = with_defaults(defaults, checked_headers(headers))


ErrorAnswerOption = ErrorAnswer | Callable[[BaseException], ErrorAnswer | None]


def response_to(known: Blame, answer: ErrorAnswer) -> tuple[int, RawHeaders, bytes]:
    """Status, headers and body of the answer to a failure."""
    status = answer.status or known.upstream_status or known.status
    headers = answer.headers
    if known.retry_after is not None and all(name != b"retry-after" for name, _ in headers):
        headers += ((b"retry-after", known.retry_after.encode("latin-1", "replace")),)
    return status, headers, status_line(status) if answer.body is None else answer.body


def check_error_answer(value: object) -> None:
    """What ``error_answer=`` may be, besides None; else `TypeError`."""
    if not isinstance(value, ErrorAnswer):
        what = "takes the exception, or an ErrorAnswer"
        check_callable("error_answer", value, what, takes=1, or_none=True)


def answer_with(option: ErrorAnswerOption | None, failure: BaseException) -> ErrorAnswer | None:
    """The answer that was chosen, or None.

    Raises:
      Exception: whatever the function that was given raises.
      TypeError: it gives what is no answer.
    """
    if option is None or isinstance(option, ErrorAnswer):
        return option
    answer = option(failure)
    if not (answer is None or isinstance(answer, ErrorAnswer)):
        raise TypeError(f"error_answer= gave a {type(answer).__name__}, not an ErrorAnswer")
    return answer


def _checked_status(status: Any) -> int:
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(
            f"status must be an int from 400 to 599, or None for the upstream's own, "
            f"not {shown(status)}"
        )
    if not is_error_status(status):
        raise ValueError(
            f"status {shown(status)} is no error's: use one from 400 to 599, or None for the "
            "upstream's own; no_reconnect answers 204"
        )
    return int(status)


def encoded_body(body: Any) -> tuple[bytes, bytes]:
    """An answer's content type and bytes; else a `TypeError` or `ValueError`."""
    with naming("body"):
        if isinstance(body, str):
            return TEXT, to_utf8(body)
        if isinstance(body, bytes | bytearray | memoryview):
            return TEXT, bytes(body)
        return _JSON, to_json(body)


def status_line(status: int) -> bytes:
    """``429 Too Many Requests``; some APIs' statuses have no phrase."""
    known = status in HTTPStatus.__members__.values()
    return (f"{status} {HTTPStatus(status).phrase}\n" if known else f"{status}\n").encode()
