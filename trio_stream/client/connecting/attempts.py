"""The attempts of an event source: their count, what an observer is told, and whether to go on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

import trio

from ...checks import refuse_coroutine
from ...codec import DroppedInput
from ...errors import ConnectionLostError, TrioStreamError, UpstreamStatusError
from ...privacy import shown_text, shown_url
from ..tally import sources
from .reconnect import ReconnectPolicy, read_retry_after

__all__ = ["AttemptEnded", "AttemptOpened", "Attempts", "Observer", "as_lost", "describe"]

log: logging.Logger = logging.getLogger("trio_stream")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOpened:
    """The server has answered an attempt to connect, and its answer is an event stream.

    Attributes:
      number: which attempt of this event source it is, from 1.
      url: where the answer came from, after redirects, without credentials, query and fragment.
      last_event_id: what was sent as ``Last-Event-ID``, None if nothing was.
      seconds: how long it took.
    """

    number: int
    url: str
    last_event_id: str | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """An attempt to connect has failed, or the stream that it opened has ended.

    Attributes:
      number: which attempt of this event source it was, from 1.
      url: where the answer came from, after redirects; where it was to go when there was none.
        Without credentials, query and fragment.
      opened: whether there was an event stream.
      error: why it ended; None for a proper end, or when the program itself ended it.
      events: how many events it brought.
      seconds: how long it lasted, from its beginning.
      failures: how many attempts in a row have failed, this one included; 0 if it has not.
      delay: seconds until the next attempt; None when none is planned.
      dropped: what came and was in no event.
    """

    number: int
    url: str
    opened: bool
    error: Exception | None
    events: int
    seconds: float
    failures: int
    delay: float | None
    dropped: DroppedInput = field(default_factory=DroppedInput)


#: Called with each record, in the task that receives. What it raises goes to that task.
Observer = Callable[[AttemptOpened | AttemptEnded], object]


class Attempts:
    """Keeps count of attempts to connect, and decides after each whether and when to make another.

    An attempt has failed when it ended with an error, or without a single byte of body: a server
    that accepts connections and drops them is no healthier than one that refuses them.
    """

    def __init__(
        self, url: str, *, repeat: bool, policy: ReconnectPolicy, observer: Observer | None
    ) -> None:
        self._url = shown_url(url)
        self.repeat = repeat
        self._policy = policy
        self._observer = observer
        self._number = 0
        self._failures = 0
        self._opened = False
        self._began_at = -inf
        self._delay: float | None = None
        #: How many events the current one has brought.
        self.events: int = 0
        #: When the next may begin, by Trio's clock.
        self.next_at: float = -inf

    def begin(self, url: str) -> None:
        self._number += 1
        sources.begin(self._number)
        self.events = 0
        self._opened = False
        self._url = shown_url(url)
        self._began_at = trio.current_time()

    def opened(self, url: str, last_event_id: str | None) -> None:
        self._opened = True
        self._url = shown_url(url)
        if self._observer is not None:
            record = AttemptOpened(
                number=self._number,
                url=self._url,
                last_event_id=last_event_id,
                seconds=trio.current_time() - self._began_at,
            )
            refuse_coroutine("observer", self._observer(record))

    def is_alive(self) -> None:
        """The server has sent something, if only half an event."""
        self._failures = 0

    def ended(
        self, error: Exception | None, *, had_bytes: bool, retry: int | None
    ) -> Exception | None:
        """The attempt has come to an end of its own: what to raise, or None to make another."""
        if error is not None or not had_bytes:
            self._failures += 1
            sources.fail()
        retry_after = read_retry_after(getattr(error, "retry_after", None))
        end = self._end(error, retry_after)
        if end is None:
            self._delay = self._policy.wait(self._failures, retry, retry_after)
            self.next_at = trio.current_time() + self._delay
            sources.delays.add(self._delay)
            self._log(error, self._delay)
        else:
            self._delay = None
        return end

    def stopped(self) -> None:
        """The program has ended the attempt; another, if it wants one, may begin at once."""
        self._delay = None
        self.next_at = trio.current_time()

    def tell(self, error: Exception | None, dropped: DroppedInput) -> None:
        """Tell the observer of the end, last of all: it may raise."""
        if self._observer is not None:
            record = AttemptEnded(
                number=self._number,
                url=self._url,
                opened=self._opened,
                error=error,
                events=self.events,
                seconds=trio.current_time() - self._began_at,
                failures=self._failures,
                delay=self._delay,
                dropped=dropped if self._opened else DroppedInput(),
            )
            refuse_coroutine("observer", self._observer(record))

    def _end(self, error: Exception | None, retry_after: float) -> Exception | None:
        if not self.repeat:
            return trio.EndOfChannel() if error is None else self._lost(error)
        if isinstance(error, TrioStreamError):
            temporary = isinstance(error, UpstreamStatusError) and _may_pass(error.status)
            if not temporary or retry_after > self._policy.max_delay:
                return error
        limit = self._policy.max_failures
        if limit is not None and self._failures >= limit:
            return self._lost(error)
        return None

    def _lost(self, error: Exception | None) -> TrioStreamError:
        return as_lost(error, self._url, self._failures)

    def _log(self, error: Exception | None, delay: float) -> None:
        level = logging.INFO if error is None else logging.WARNING
        reason = describe(error)
        log.log(
            level,
            "event source %(url)s: %(error)s; connecting again in %(delay).3g s",
            {"url": self._url, "error": reason, "delay": delay, "failures": self._failures},
        )


def _may_pass(status: int) -> bool:
    """Whether the same request may get another answer later."""
    return status == 429 or status >= 500


def as_lost(error: Exception | None, url: str, failures: int) -> TrioStreamError:
    """The error to raise: the project's own as they are, others as a `ConnectionLostError`."""
    if isinstance(error, TrioStreamError):
        return error
    lost = ConnectionLostError(url, max(1, failures), describe(error))
    lost.__cause__ = error
    return lost


def describe(error: Exception | None) -> str:
    if error is None:
        return "the stream ended"
    if isinstance(error, TrioStreamError):
        return str(error)  # which names who answered, and what
    # Many errors of httpx are raised without a word.
    return shown_text(f"{type(error).__name__}: {error}".removesuffix(": "))
