"""Whose the streams of a Trio run are, and who is let in no more for a while."""

from __future__ import annotations

import uuid
from math import inf
from typing import Protocol, final

import trio

from ...checks import check_kind, shown
from ..outcome import Outcome

__all__ = ["Principals", "check_principal", "current_principals"]

#: The longest principal, in bytes of UTF-8 and in bits: a URL, a UUID.
_MAX_BYTES, _MAX_BITS = 1024, 128


def check_principal(value: object, name: str = "principal") -> str:
    """The text that somebody is known by; else `TypeError` or `ValueError`, which do not tell it.

    A number is its decimal text: the same user is 17 in the database and "17" in a token.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a str or an int, not {value}")
    check_kind(name, value, (str, int), "a str or an int")
    if isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise ValueError(f"{name} has at most {_MAX_BITS} bits as an int, not {shown(value)}")
        return str(int(value))
    text = str.__str__(value)  # of an Enum's member, too, whose `str` is its name
    if not text:
        raise ValueError(f"{name} cannot be an empty string: None is nobody")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name} cannot hold half a surrogate pair") from None
    if size > _MAX_BYTES:
        raise ValueError(f"{name} is at most {_MAX_BYTES} bytes of UTF-8, not {size}")
    return text


class Ended(Protocol):
    """A stream, as it is seen here."""

    @property
    def principal(self) -> str | None:
        """Whose it is; not another's once it has joined."""

    def end(self, outcome: Outcome, /) -> None:
        """End it for this cause, unless it has ended."""


@final
class Principals:
    """The open streams of one Trio run that have a principal; got by `current_principals`.

    Memory: about 300 bytes for each principal with a stream, and for each that is refused.

    Attributes:
      name: of this run, so that it knows what it has told others itself.
    """

    def __init__(self) -> None:
        self.name: str = uuid.uuid4().hex
        self._streams: dict[str, dict[Ended, None]] = {}
        self._refused: dict[str, float] = {}

    def join(self, stream: Ended) -> None:
        """A stream has opened."""
        if stream.principal is not None:
            self._streams.setdefault(stream.principal, {})[stream] = None

    def leave(self, stream: Ended) -> None:
        """It is over."""
        if stream.principal is not None:
            streams = self._streams[stream.principal]
            del streams[stream]
            if not streams:
                del self._streams[stream.principal]

    def disconnect(self, principal: str, refuse_for: float) -> None:
        """End all streams of this principal, and let none open for so many seconds."""
        now = trio.current_time()
        self._refused = {who: until for who, until in self._refused.items() if until > now}
        until = now + refuse_for
        if until > max(now, self._refused.get(principal, now)):
            self._refused[principal] = until
        for stream in list(self._streams.get(principal, ())):
            stream.end(Outcome.REVOKED)

    def is_refused(self, principal: str) -> bool:
        """Whether no stream of this principal's may open now."""
        return trio.current_time() < self._refused.get(principal, -inf)


_principals: trio.lowlevel.RunVar[Principals] = trio.lowlevel.RunVar("trio_stream_principals")


def current_principals() -> Principals:
    """Those of this Trio run, made when first asked for."""
    try:
        return _principals.get()
    except LookupError:
        principals = Principals()
        _principals.set(principals)
        return principals
