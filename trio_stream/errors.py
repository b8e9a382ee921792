"""The errors that trio_stream names itself, by who is at fault.

::

    TrioStreamError
    ├── RemoteProtocolError         the peer broke the wire format
    │   └── EventTooLargeError      it sent more than this side agreed to hold
    └── UpstreamStatusError         the upstream of a proxied stream answered with an error

Misuse by the caller stays what Python calls it: `TypeError`, `ValueError`, `RuntimeError`, with a
message that says what to write instead. The ends of a stream keep Trio's names:
`trio.ClosedResourceError` (you closed it), `trio.BrokenResourceError` (the client left or stalled).
"""

from __future__ import annotations

from typing import Literal

__all__ = ["EventTooLargeError", "RemoteProtocolError", "TrioStreamError", "UpstreamStatusError"]


class TrioStreamError(Exception):
    """The base of every error that trio_stream names itself."""


class RemoteProtocolError(TrioStreamError):
    """The peer broke the wire format: nothing that the caller did, nor can mend by trying again."""


class EventTooLargeError(RemoteProtocolError):
    """The peer sent a line or an event larger than the decoder was told to hold.

    Attributes:
      what: which of the two was too large, ``"line"`` or ``"event"``.
      limit: the bound that it passed, in bytes.
    """

    def __init__(self, what: Literal["line", "event"], limit: int) -> None:
        super().__init__(f"the peer sent {_ARTICLE[what]} {what} of more than {limit} bytes")
        self.what: Literal["line", "event"] = what
        self.limit = limit

    def __reduce__(self) -> tuple[type[EventTooLargeError], tuple[str, int]]:
        return (type(self), (self.what, self.limit))


_ARTICLE = {"line": "a", "event": "an"}


class UpstreamStatusError(TrioStreamError):
    """The upstream of a proxied stream answered with an error status, which is its own fault.

    Attributes:
      url: what was asked.
      status: the status it answered, 400 or more.
      retry_after: its ``Retry-After`` header as it was, or None.
    """

    def __init__(self, url: str, status: int, retry_after: str | None = None) -> None:
        super().__init__(f"the upstream {url} answered {status}")
        self.url = url
        self.status = status
        self.retry_after = retry_after
