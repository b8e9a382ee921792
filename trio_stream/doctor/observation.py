"""What was seen of one answer: its head, its bytes as they arrived, and its end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from .reading import Arrival, Reading, read

__all__ = ["End", "Examination", "Observation"]

#: How the listening ended: it went on when nobody listened any longer ("open"), by its proper end,
#: by a break, or with bytes that are not in their content coding.
End = Literal["open", "proper", "broken", "undecodable"]


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One request, and what came of it. Times are seconds since the request went out.

    Attributes:
      url: what answered, after redirects, without credentials, query and fragment.
      started: when the request went out, by Trio's clock.
      began: the same by the clock on the wall, in seconds since 1970.
      failure: why there was no answer, ``""`` if there was.
      redirects: where redirects led, without queries.
      answered: when the head was there; None if it never was.
      arrivals: the body, as it came.
      ended: when the listening ended.
      reason: of a broken end, or of bytes that are in no coding.
    """

    url: str
    started: float
    began: float
    failure: str = ""
    redirects: tuple[str, ...] = ()
    answered: float | None = None
    status: int = 0
    http_version: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    end: End = "open"
    reason: str = ""
    ended: float = 0.0

    def header(self, name: str) -> str:
        """All values of a header, ``""`` if there is none."""
        return ", ".join(value for found, value in self.headers if found == name)

    @property
    def refusal(self) -> str:
        """What came instead of a 200, in words."""
        return self.failure or (f"status {self.status}" if self.status else "no answer")

    @property
    def coding(self) -> str:
        """What the body is compressed by; ``""`` for nothing."""
        codings = [name.strip().lower() for name in self.header("content-encoding").split(",")]
        return ", ".join(name for name in codings if name not in ("", "identity", "none"))

    @cached_property
    def reading(self) -> Reading:
        return read(self.arrivals)


@dataclass(frozen=True, kw_only=True)
class Examination:
    """All that was seen of a stream.

    Attributes:
      main: what a browser would see.
      is_local: whether it is this machine's, so that there is one clock.
      plain: the same asked for without compression, where that was of interest.
      again: what a second connection brought, where events came in lumps over the first.
      beside: what another address of the same stream brought meanwhile, if one was given.
      resumed: what came for the `Last-Event-ID` that is ``resumed_after``.
      repeatable: whether the request could be made a second time.
    """

    main: Observation
    is_local: bool = False
    plain: Observation | None = None
    again: Observation | None = None
    beside: Observation | None = None
    resumed: Observation | None = None
    resumed_after: str = ""
    repeatable: bool = True

    @property
    def sent(self) -> Observation:
        """What the server sends, as near as can be seen: without compression on the way."""
        if self.plain is not None and self.plain.status == 200:
            return self.plain
        return self.main
