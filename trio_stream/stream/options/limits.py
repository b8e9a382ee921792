"""How many streams may be open at once, and what the one too many is told."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

from ...checks import (
    check_callable,
    check_choice,
    check_count,
    check_scope,
    check_seconds,
    refuse_coroutine,
)
from ...codec import encode_retry
from ..answers.clients import is_event_source

if TYPE_CHECKING:
    from ...transport.asgi import AsgiTransport, Scope

__all__ = ["LimitStatistics", "StreamLimits", "client_address"]


def client_address(scope: Scope) -> Hashable:
    """The default key: the client's IP address, or None where the server knows of none.

    Behind a proxy that is the proxy's, the same for all: give ``key=`` there.
    """
    check_scope(scope)
    client = scope.get("client")
    return client[0] if client else None


@dataclass(frozen=True, slots=True)
class LimitStatistics:
    """What a `StreamLimits` has admitted and refused."""

    #: Streams open now.
    open: int
    #: Keys with an open stream now.
    keys: int
    #: Requests refused since the start.
    refused: int
    #: Principals with an open stream now.
    principals: int = 0


@final
class StreamLimits:
    """Admits so many streams at once; shared by all streams that are given it as ``limits=``.

    Args:
      total: streams open at once, or None for no limit.
      per_key: streams open at once for one key, or None for no limit. Browsers open at most six
        over HTTP/1.1 anyway.
      per_principal: streams open at once for one principal, of `Stream` or of ``authorize``, or
        None for no limit. Those without one are not counted.
      key: ``(scope) -> key``: whose stream it is. The client's address when not given.
      refuse: ``"status"`` answers 503 with ``Retry-After``. An EventSource never comes back after a
        status other than 200, so ``"retry"`` answers an EventSource 200, a ``retry:`` and the end
        of the stream. It answers all others the status: they would take that for a whole answer.
      retry_after: seconds until the refused may come back; each is told a time between this and
        its double, so that they don't all come back at once.

    Raises:
      TypeError, ValueError: an option of the wrong type, or out of its range.
    """

    __slots__ = (
        "_key",
        "_of_principal",
        "_open",
        "_per_key",
        "_per_principal",
        "_refuse",
        "_refused",
        "_retry_after",
        "_total",
    )

    def __init__(
        self,
        *,
        total: int | None = None,
        per_key: int | None = None,
        per_principal: int | None = None,
        key: Callable[[Scope], Hashable] = client_address,
        refuse: Literal["status", "retry"] = "status",
        retry_after: float = 5.0,
    ) -> None:
        check_callable("key", key, "takes the scope and returns whose stream it is", takes=1)
        check_seconds("retry_after", retry_after, "a client waits up to twice as long")
        self.total = total
        self.per_key = per_key
        self.per_principal = per_principal
        self.refuse = refuse
        self._key = key
        self._retry_after = retry_after
        self._open: Counter[Hashable] = Counter()
        self._of_principal: Counter[Hashable] = Counter()
        self._refused = 0

    @property
    def total(self) -> int | None:
        """Streams open at once, or None; may be set at any time, and ends none that is open."""
        return self._total

    @total.setter
    def total(self, limit: int | None) -> None:
        check_count("total", limit, "None means no limit", or_none=True)
        self._total = limit

    @property
    def per_key(self) -> int | None:
        """Streams open at once for one key, or None; may be set likewise."""
        return self._per_key

    @per_key.setter
    def per_key(self, limit: int | None) -> None:
        check_count("per_key", limit, "None means no limit", or_none=True)
        self._per_key = limit

    @property
    def per_principal(self) -> int | None:
        """Streams open at once for one principal, or None; may be set likewise."""
        return self._per_principal

    @per_principal.setter
    def per_principal(self, limit: int | None) -> None:
        check_count("per_principal", limit, "None means no limit", or_none=True)
        self._per_principal = limit

    @property
    def refuse(self) -> Literal["status", "retry"]:
        """How the one too many is answered; may be set likewise."""
        return self._refuse

    @refuse.setter
    def refuse(self, how: Literal["status", "retry"]) -> None:
        check_choice("refuse", how, ("status", "retry"))
        self._refuse: Literal["status", "retry"] = how

    def admit(self, scope: Scope) -> Callable[[], None] | None:
        """Count a stream in; returns what counts it out again, or None when it is one too many."""
        key = self._key(scope)
        refuse_coroutine("key", key)
        if (self._total is not None and self._open.total() >= self._total) or (
            self._per_key is not None and self._open[key] >= self._per_key
        ):
            self._refused += 1
            return None
        return _count_in(self._open, key)

    def admit_principal(
        self, principal: str, *, is_open: bool = False
    ) -> Callable[[], None] | None:
        """Count an admitted stream in once more, when it is known whose it is; returns likewise.

        Args:
          is_open: it is open already, and counts even if it is one too many.
        """
        limit = self._per_principal
        if limit is not None and self._of_principal[principal] >= limit and not is_open:
            self._refused += 1
            return None
        return _count_in(self._of_principal, principal)

    async def answer(self, transport: AsgiTransport, scope: Scope) -> None:
        """Refuse a request, before its stream has begun."""
        seconds = random.uniform(self._retry_after, 2 * self._retry_after)
        if self.refuse == "retry" and is_event_source(scope):
            kind = (b"content-type", b"text/event-stream; charset=utf-8")
            cache = (b"cache-control", b"no-store, no-transform")
            # A line and no block: see `encode_retry`.
            await transport.answer(200, (kind, cache), encode_retry(int(seconds * 1000)))
        else:
            kind = (b"content-type", b"text/plain; charset=utf-8")
            cache = (b"cache-control", b"no-store")
            retry_after = (b"retry-after", str(math.ceil(seconds)).encode())
            text = b"503 Service Unavailable\n"
            await transport.answer(503, (kind, cache, retry_after), text)

    def statistics(self) -> LimitStatistics:
        """Counters, for logs and metrics; a snapshot."""
        return LimitStatistics(
            open=self._open.total(),
            keys=len(+self._open),
            refused=self._refused,
            principals=len(+self._of_principal),
        )


def _count_in(counter: Counter[Hashable], key: Hashable) -> Callable[[], None]:
    """Count one more; returns what counts it out again."""
    counter[key] += 1

    def release() -> None:
        counter[key] -= 1
        if not counter[key]:
            del counter[key]

    return release
