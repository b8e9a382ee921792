"""A connection to a server that is there again when it was lost, whichever engine's it is."""

from __future__ import annotations

import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import trio

from ...errors import BrokerUnavailableError
from ..contract.health import BrokerHealth
from .troubles import Troubles, UnreachableError

__all__ = ["ServerLink", "health_of"]

WireT = TypeVar("WireT")

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds before the second attempt to connect, doubled up to the second number.
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0


class ServerLink(ABC, Generic[WireT]):
    """One connection, made again whenever it is lost.

    Args:
      what: it is for, when troubles are told.
      troubles: is told when there is no connection, and when there is one again.

    Attributes:
      wire: the connection, while it is of use.
      connects: how many connections there were.
      down_since: when the last one was lost, on Trio's clock; None while there is one.
    """

    def __init__(self, what: str, troubles: Troubles) -> None:
        self._what = what
        self._troubles = troubles
        self._up = trio.Event()
        self._started: Callable[[], None]
        self.wire: WireT | None = None
        self.connects: int = 0
        self.down_since: float | None = None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Keep it up, until cancelled. Raises what the first attempt fails with."""
        self._started = task_status.started
        server = self._troubles.server
        wait = _FIRST_WAIT
        while True:
            before = self.connects
            failure = await self._session()
            if failure is None and self.connects == before:
                failure = UnreachableError(f"{server} hung up")
            if failure is not None and not self.connects:
                raise failure
            if self.connects > before:
                wait = _FIRST_WAIT
            tried_again = self.connects == before
            level = logging.DEBUG if tried_again else logging.INFO
            facts = {"engine": server.lower(), "error": failure or "it was closed"}
            log.log(level, f"no connection to {server}: %(error)s", facts)
            if failure is not None:  # else it is mostly there again at once
                self._troubles.begin(self._what, failure)
            await trio.sleep(random.uniform(wait / 2, wait))
            wait = min(wait * 2, _LONGEST_WAIT)

    @abstractmethod
    async def _session(self) -> BrokerUnavailableError | None:
        """One connection, from its making to its loss; returns why it was not made, or given up.

        It calls `opened` and `_lost`.
        """

    def opened(self, wire: WireT) -> None:
        """The new connection is of use."""
        self.wire = wire
        self.connects += 1
        self.down_since = None
        self._up.set()
        self._troubles.end(self._what)
        if self.connects == 1:
            self._started()

    def _lost(self) -> None:
        """There is no connection any more, or there was none."""
        self.wire = None
        if self.down_since is None:
            self.down_since = trio.current_time()
        if self._up.is_set():
            self._up = trio.Event()

    @property
    def is_up(self) -> bool:
        """Whether there is a connection now, as far as is known."""
        return self._up.is_set()

    async def wait_up(self) -> None:
        """Wait until there is a connection."""
        while not self._up.is_set():
            await self._up.wait()

    def missing(self) -> UnreachableError:
        """For who would need a connection, and there is none."""
        reason = self._troubles.reason(self._what)
        return UnreachableError(reason or f"there is no connection to {self._troubles.server}")


def health_of(troubles: Troubles, *links: ServerLink[Any]) -> BrokerHealth:
    """Of a server: it is there while all connections to it are."""
    down = [link.down_since for link in links if link.down_since is not None]
    trouble = troubles.reason("")
    if not down:
        return BrokerHealth(reachable=True, trouble=trouble)
    seconds = trio.current_time() - min(down)
    return BrokerHealth(
        False, seconds, trouble or f"the connection to {troubles.server} was closed"
    )
