"""How a connection comes into the log: what is looked at, and written down, before it is used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol, final

import trio

from ...errors import BrokerUnavailableError
from ..servers.troubles import WRITING, Troubles
from . import scripts
from .keys import Keys
from .link import Link
from .script import Script
from .wire import RefusedError, Wire

__all__ = ["Entrance"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds before what was refused is tried again.
_PAUSE = 1.0


class _Callable(Protocol):
    async def call(self, script: Script, keys: list[str], *args: Any) -> Any: ...


@final
class Entrance:
    """The greeting of connections.

    After a restart of Redis a new range of ids is begun, and what was lost is told, before anything
    is published. That has to be written down; while Redis refuses to write, what it has can be read
    all the same, if it is all that this process knows of.

    Args:
      options: in which all brokers of a prefix have to agree.
      entered: is told the newest id of the log, and the one before its first.

    Attributes:
      known: the newest id that this process knows, acknowledged or read.
    """

    def __init__(
        self,
        keys: Keys,
        options: Mapping[str, object],
        troubles: Troubles,
        entered: Callable[[int, int], None],
    ) -> None:
        self._keys = [keys.log, keys.live, keys.cuts]
        self._options = " ".join(f"{name}={value}" for name, value in options.items())
        self._troubles = troubles
        self._entered = entered
        self._opened = False
        self._refused = trio.Event()
        self.known: int = 0

    async def greet(self, wire: Wire, *, live: bool) -> str:
        """The first thing on every connection; returns the run of Redis.

        ``live``: it is for what is new, which is not waited for at a replica.
        """
        run, raw_last, raw_base, well, options = await wire.call(
            scripts.LOOK, self._keys, self.known
        )
        last, base = int(raw_last), int(raw_base)
        agrees = self._opened or options.decode() == self._options
        if not self._opened:  # what reading needs is said now, and not when it is too late
            await wire.request(b"XREAD", b"COUNT", 1, b"STREAMS", self._keys[1], b"$")
            if last and not agrees:
                self._tell_difference(options.decode())
        if not (well and agrees):
            try:
                return await self.enter(wire)
            except RefusedError as exc:
                if not self._can_read(exc, last) or (live and exc.code == "READONLY"):
                    raise
                self._troubles.begin(WRITING, exc)
                if not well:
                    self._refused.set()
        self._come_in(last, base)
        return str(run.decode())

    async def enter(self, there: _Callable) -> str:
        """Begin a new range of ids, if Redis has restarted; returns the run of Redis."""
        run, last, base = await there.call(scripts.ENTER, self._keys, self.known, self._options)
        self._refused = trio.Event()
        self._troubles.end(WRITING)
        self._come_in(int(last), int(base))
        return str(run.decode())

    async def enter_when_it_may(self, link: Link) -> None:
        """Until cancelled: make up for what was refused to the greeting."""
        while True:
            await self._refused.wait()
            await trio.sleep(_PAUSE)
            try:
                if self._refused.is_set():
                    await self.enter(link)
            except BrokerUnavailableError as exc:
                log.debug(
                    "a restart of Redis cannot be written down yet: %(error)s",
                    {"engine": "redis", "error": exc},
                )

    def _come_in(self, last: int, base: int) -> None:
        self._opened = True
        self.known = max(self.known, last)
        self._entered(last, base)

    def _can_read(self, exc: RefusedError, last: int) -> bool:
        """Whether what is there may be read, though nothing can be written.

        What this process knows, and Redis does not, has to be told as lost before. A replica is
        better than nothing, but no place to open a broker at.
        """
        known = exc.is_for_all and 0 < last >= self.known
        return known and (self._opened or exc.code != "READONLY")

    def _tell_difference(self, options: str) -> None:
        theirs, ours = (
            dict(pair.split("=", 1) for pair in text.split()) for text in (options, self._options)
        )
        differing = [
            f"{name}={theirs.get(name)} (here {ours.get(name)})"
            for name in theirs | ours
            if ours.get(name) != theirs.get(name)
        ]
        log.warning(
            "the broker that was opened on this prefix last has other options: %(options)s; all "
            "of them need the same, or what one keeps the other deletes",
            {"engine": "redis", "options": ", ".join(differing)},
        )
