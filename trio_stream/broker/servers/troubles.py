"""What is wrong with the server that an engine needs: said once, and once that it is over."""

from __future__ import annotations

import logging
from typing import final

import trio

from ...errors import BrokerUnavailableError

__all__ = ["WRITING", "ServerRefusedError", "Troubles", "UnreachableError"]

log: logging.Logger = logging.getLogger("trio_stream")

#: What does not work when the server answers, and takes nothing.
WRITING = "writing"


class UnreachableError(BrokerUnavailableError):
    """There is no connection, or nothing came over it: what was asked may have been done."""


class ServerRefusedError(BrokerUnavailableError):
    """The server is there, and has said no."""

    @property
    def passes(self) -> bool:
        """Whether it will do it after a while, without anybody's doing."""
        raise NotImplementedError

    @property
    def is_for_all(self) -> bool:
        """Whether it refuses all that is written now, and not this alone."""
        raise NotImplementedError


@final
class Troubles:
    """What does not work now, by what it is, and why.

    One outage is met in many places and in many tries. That the server cannot be reached is a
    warning once, whatever keeps it away meanwhile; what it refuses is one for each reason.

    Args:
      server: its name, for the log.

    Attributes:
      server: likewise.
    """

    def __init__(self, server: str) -> None:
        self.server: str = server
        self._now: dict[str, str] = {}
        self._told: set[str] = set()
        self._lost = False
        self._since = 0.0

    def begin(self, what: str, why: object) -> None:
        """This does not work."""
        if not self._now:
            self._since = trio.current_time()
        self._now[what] = reason = str(why)
        if reason in self._told:
            return
        self._told.add(reason)
        facts = {"engine": self.server.lower(), "error": reason}
        if isinstance(why, ServerRefusedError):
            log.warning("%(error)s", facts)
        else:
            log.log(logging.INFO if self._lost else logging.WARNING, "%(error)s", facts)
            self._lost = True

    def end(self, what: str) -> None:
        """This works."""
        if self._now.pop(what, None) is not None and not self._now:
            self._told.clear()
            self._lost = False
            seconds = trio.current_time() - self._since
            facts = {"engine": self.server.lower(), "seconds": seconds}
            log.warning(f"{self.server} works again, after %(seconds).1f s", facts)

    def reason(self, what: str) -> str:
        """Why this does not work, or, as far as that is not known, anything; ``""`` without any."""
        return self._now.get(what) or next(iter(self._now.values()), "")
