"""What is wrong with Redis: said once, and once that it is over."""

from __future__ import annotations

import logging
from typing import final

import trio

from .wire import RefusedError

__all__ = ["WRITING", "Troubles"]

log: logging.Logger = logging.getLogger("trio_stream")

#: What does not work when Redis answers, and takes nothing.
WRITING = "writing"


@final
class Troubles:
    """What does not work now, by what it is, and why.

    One outage is met in many places and in many tries. That Redis cannot be reached is a warning
    once, whatever keeps it away meanwhile; what it refuses is one for each reason.
    """

    def __init__(self) -> None:
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
        if isinstance(why, RefusedError):
            log.warning("%s", reason)
        else:
            log.log(logging.INFO if self._lost else logging.WARNING, "%s", reason)
            self._lost = True

    def end(self, what: str) -> None:
        """This works."""
        if self._now.pop(what, None) is not None and not self._now:
            self._told.clear()
            self._lost = False
            seconds = trio.current_time() - self._since
            log.warning("Redis works again, after %.1f s", seconds)

    def reason(self, what: str) -> str:
        """Why this does not work, or, as far as that is not known, anything; ``""`` without any."""
        return self._now.get(what) or next(iter(self._now.values()), "")
