"""The errors that trio_stream names itself, by who is at fault.

::

    TrioStreamError
    ├── RemoteProtocolError         the peer broke the wire format
    │   ├── EventTooLargeError      it sent more than this side agreed to hold
    │   ├── IncompleteStreamError   its stream ended, though properly, before what it held did
    │   ├── ContentTypeError        what it sent is not of a kind that was asked for
    │   └── RedirectError           its redirects lead nowhere
    ├── UpstreamStatusError         a server that was asked for a stream answered with an error
    ├── InvalidRequestError         a request cannot be sent as it is; it is a ValueError, too
    ├── GapError                    a topic's history no longer reaches back to the cursor
    ├── MapError                    a subscription's own function failed with an event
    ├── RunFailedError              a resumable producer did not come to its end
    ├── RunInProgressError          a resumable producer runs, and is not to be started twice
    ├── BrokerError                 a broker's engine failed
    │   ├── BrokerUnavailableError  its server cannot be reached, or answers with errors
    │   ├── BrokerInUseError        its file is another process's
    │   ├── BrokerStorageError      its file cannot be written, or holds something else
    │   └── LeaseLostError          another process has the lease that this one wrote under
    └── ConnectionLostError         an event source has no connection, and may not try again

Misuse by the caller stays what Python calls it: `TypeError`, `ValueError`, `RuntimeError`, with a
message that says what to write instead. The ends of a stream keep Trio's names:
`trio.ClosedResourceError` (you closed it), `trio.BrokenResourceError` (the client left or stalled).

Each URL in a message or an attribute is without its credentials, query and fragment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .privacy import shown_url

__all__ = [
    "BrokerError",
    "BrokerInUseError",
    "BrokerStorageError",
    "BrokerUnavailableError",
    "ConnectionLostError",
    "ContentTypeError",
    "EventTooLargeError",
    "GapError",
    "IncompleteStreamError",
    "InvalidRequestError",
    "LeaseLostError",
    "MapError",
    "RedirectError",
    "RemoteProtocolError",
    "RunFailedError",
    "RunInProgressError",
    "TrioStreamError",
    "UpstreamStatusError",
]


class TrioStreamError(Exception):
    """The base of every error that trio_stream names itself."""


class RemoteProtocolError(TrioStreamError):
    """The peer broke the wire format: nothing that the caller did, nor can mend by trying again."""


class EventTooLargeError(RemoteProtocolError):
    """The peer sent a line or an event larger than the decoder was told to hold.

    Attributes:
      what: which of the two was too large, ``"line"`` or ``"event"``.
      limit: the bound that it passed, in bytes.
      last_event_id: the id in force, that of the event itself if it came before what was too
        large: who goes on from it gets past the event.
    """

    def __init__(
        self, what: Literal["line", "event"], limit: int, last_event_id: str | None = None
    ) -> None:
        super().__init__(f"the peer sent {_ARTICLE[what]} {what} of more than {limit} bytes")
        self.what: Literal["line", "event"] = what
        self.limit = limit
        self.last_event_id = last_event_id

    def __reduce__(self) -> tuple[type[EventTooLargeError], tuple[str, int, str | None]]:
        return (type(self), (self.what, self.limit, self.last_event_id))


_ARTICLE = {"line": "a", "event": "an"}


class IncompleteStreamError(RemoteProtocolError):
    """A stream ended as if it were complete, but what came last was not.

    In the middle of an event or a value, or with lines that are no event, such as an error as JSON.

    Attributes:
      url: what was asked, as `UpstreamStatusError.url` is.
    """

    def __init__(self, url: str, reason: str) -> None:
        self.url: str = shown_url(url)
        super().__init__(f"{self.url} {reason}")
        self.reason = reason

    def __reduce__(self) -> tuple[type[IncompleteStreamError], tuple[str, str]]:
        return (type(self), (self.url, self.reason))


class ContentTypeError(RemoteProtocolError):
    """A server's answer is of another kind than what was asked for: an event stream, mostly.

    Attributes:
      url: what was asked, after redirects, as `UpstreamStatusError.url` is.
      content_type: its ``Content-Type`` header as it was, ``""`` when there was none.
      body: the beginning of what it said, where it was read. Never shown to a client of a proxy.
    """

    def __init__(
        self,
        url: str,
        content_type: str,
        body: str = "",
        hint: str = "an event stream is 'text/event-stream'",
    ) -> None:
        self.url: str = shown_url(url)
        what = f"answered with {content_type[:80]!r}" if content_type else "named no content type"
        super().__init__(f"{self.url} {what}; {hint}")
        self.content_type = content_type
        self.body = body
        self.hint = hint

    def __reduce__(self) -> tuple[type[ContentTypeError], tuple[str, str, str, str]]:
        return (type(self), (self.url, self.content_type, self.body, self.hint))


class RedirectError(RemoteProtocolError):
    """The server's redirects go in a circle, never end, or lead to what is no HTTP address.

    Attributes:
      urls: the addresses in the order in which they were met, the one first asked for included,
        as `UpstreamStatusError.url` is.
    """

    def __init__(self, urls: Sequence[str], reason: str) -> None:
        self.urls: tuple[str, ...] = tuple(map(shown_url, urls))
        # A circle of many addresses is told by its first round.
        shown = [*self.urls[:5], "..."] if len(urls) > 6 else self.urls
        super().__init__(f"{reason}: {' -> '.join(shown)}")
        self.reason = reason

    def __reduce__(self) -> tuple[type[RedirectError], tuple[Sequence[str], str]]:
        return (type(self), (self.urls, self.reason))


class UpstreamStatusError(TrioStreamError):
    """A server that was asked for a stream answered with another status, which is its own word.

    Attributes:
      url: what was asked, without credentials, query and fragment.
      status: the status it answered.
      retry_after: its ``Retry-After`` header as it was, or None.
      body: the beginning of what it said, where it was read. Never shown to a client of a proxy.
    """

    def __init__(
        self, url: str, status: int, retry_after: str | None = None, body: str = ""
    ) -> None:
        self.url: str = shown_url(url)
        super().__init__(f"{self.url} answered {status}")
        self.status = status
        self.retry_after = retry_after
        self.body = body

    def __reduce__(self) -> tuple[type[UpstreamStatusError], tuple[str, int, str | None, str]]:
        return (type(self), (self.url, self.status, self.retry_after, self.body))


class InvalidRequestError(TrioStreamError, ValueError):
    """A request cannot be sent as it is: its URL or a header, which are the program's own."""


class GapError(TrioStreamError):
    """Events that a subscription should have given are gone: trimmed, lost, or never known here.

    The subscription is not broken: its next ``__anext__`` goes on with the oldest event there is.

    Attributes:
      topics: the names and patterns that were subscribed to.
      after: the id that was to be resumed from, or None when what a client sent is no id.
      next: the id of the first event behind it, or None when nothing is kept there.
      missing: how many events of these topics came after it and are gone, or None where that is
        not known: a process counts the newest thousand or two of each topic, as far as it has seen
        them come itself.
    """

    def __init__(
        self,
        topics: Sequence[str],
        after: str | None,
        next: str | None,
        missing: int | None = None,
    ) -> None:
        place = "an unknown id" if after is None else f"id {after}"
        lost = "" if missing is None else f": {missing} missing"
        super().__init__(f"the history of {', '.join(topics)} does not reach back to {place}{lost}")
        self.topics: tuple[str, ...] = tuple(topics)
        self.after = after
        self.next = next
        self.missing = missing

    def __reduce__(
        self,
    ) -> tuple[type[GapError], tuple[Sequence[str], str | None, str | None, int | None]]:
        return (type(self), (self.topics, self.after, self.next, self.missing))


class MapError(TrioStreamError):
    """What a subscription was given as ``map=`` raised, or returned what cannot be sent.

    Its ``__cause__`` says what that was. Streams and iterators with this ``map`` end with it, and
    nobody else.

    Attributes:
      topic: where the event was published.
      id: the event's, or None where it was published with ``keep=False``.
    """

    def __init__(self, topic: str, id: str | None) -> None:
        event = "an event" if id is None else f"the event {id}"
        super().__init__(f"map= failed with {event} of {topic}")
        self.topic = topic
        self.id = id

    def __reduce__(self) -> tuple[type[MapError], tuple[str, str | None]]:
        return (type(self), (self.topic, self.id))


class RunFailedError(TrioStreamError):
    """A resumable run ended, and its producer has not returned.

    Attributes:
      key: as given to `Broker.resumable`.
      reason: ``"failed"``, it raised, and the log of its process says what; ``"stopped"``,
        ``"abandoned"`` or ``"lost"``.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"the run {key} ended early: {reason}")
        self.key = key
        self.reason = reason

    def __reduce__(self) -> tuple[type[RunFailedError], tuple[str, str]]:
        return (type(self), (self.key, self.reason))


class RunInProgressError(TrioStreamError):
    """A resumable run was to be started that runs already: ``resumable(if_running="refuse")``.

    Attributes:
      key: as given to `Broker.resumable`.
    """

    def __init__(self, key: str) -> None:
        super().__init__(f"the run {key} is in progress; ask for it with its last id, to watch it")
        self.key = key

    def __reduce__(self) -> tuple[type[RunInProgressError], tuple[str]]:
        return (type(self), (self.key,))


class BrokerError(TrioStreamError):
    """A broker's engine failed. An event whose publishing raised this may be stored, or not."""


class BrokerUnavailableError(BrokerError):
    """The broker's server cannot be reached, or answers with errors: trying again may help."""


class BrokerInUseError(BrokerError):
    """Another process, or another broker of this one, has the file open."""


class LeaseLostError(BrokerError):
    """Whoever publishes this has been taken for dead, and another may be in its place.

    When publishing raises it, nothing was stored.

    Attributes:
      name: of the lease; of a resumable producer, its topic's.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"the lease of {name} has lapsed, or is another's")
        self.name = name

    def __reduce__(self) -> tuple[type[LeaseLostError], tuple[str]]:
        return (type(self), (self.name,))


class BrokerStorageError(BrokerError):
    """The broker's file cannot be read or written: full, read-only, damaged, or not a broker's.

    When publishing raises it, nothing was stored.
    """


class ConnectionLostError(TrioStreamError):
    """An event source has no connection and may not, or may no longer, try to get one.

    The reason is its ``__cause__``: an error of the HTTP client's, or `trio.TooSlowError` when the
    server said nothing for too long.

    Attributes:
      url: what was asked, as `UpstreamStatusError.url` is.
      failures: how many attempts in a row have failed.
    """

    def __init__(self, url: str, failures: int, reason: str) -> None:
        times = "" if failures == 1 else f" after {failures} failures in a row"
        self.url: str = shown_url(url)
        super().__init__(f"no connection to {self.url}{times}: {reason}")
        self.failures = failures
        self.reason = reason

    def __reduce__(self) -> tuple[type[ConnectionLostError], tuple[str, int, str]]:
        return (type(self), (self.url, self.failures, self.reason))
