"""A connection to Redis that is there again when it was lost."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, final

import trio
from coredis.connection import Location

from ...errors import BrokerUnavailableError
from ..health import BrokerHealth
from ..troubles import WRITING, Troubles
from ..unwrapped import unwrapped
from .places import NewWire
from .script import Script
from .wire import PATIENCE, RefusedError, UnreachableError, Wire

__all__ = ["Link", "health_of"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds before the second attempt to connect, doubled up to the third number.
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0


@final
class Link:
    """One connection, made again whenever it is lost, and requests on it.

    Args:
      what: it is for, when troubles are told.
      connect: makes a connection.
      greet: called with every new connection, before anybody else sees it; says which run of Redis
        it is.
      troubles: is told when there is no connection, and when there is one again.

    Attributes:
      redis_run: what ``greet`` said.
      connects: how many connections there were.
    """

    def __init__(
        self,
        what: str,
        connect: NewWire,
        greet: Callable[[Wire], Awaitable[str]],
        troubles: Troubles,
    ) -> None:
        self._what = what
        self._connect = connect
        self._greet = greet
        self._troubles = troubles
        self._wire: Wire | None = None
        self._up = trio.Event()
        self.redis_run: str = ""
        self.connects: int = 0
        self._down_since: float | None = None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Keep it up, until cancelled. Raises what the first attempt fails with."""
        wait = _FIRST_WAIT
        while True:
            before = self.connects
            failure = await self._session(task_status)
            if failure is None and self.connects == before:
                failure = UnreachableError("Redis hung up")
            if failure is not None and not self.connects:
                raise failure
            if self.connects > before:
                wait = _FIRST_WAIT
            tried_again = self.connects == before
            level = logging.DEBUG if tried_again else logging.INFO
            facts = {"engine": "redis", "error": failure or "it was closed"}
            log.log(level, "no connection to Redis: %(error)s", facts)
            if failure is not None:  # else it is mostly there again at once
                self._troubles.begin(self._what, failure)
            await trio.sleep(random.uniform(wait / 2, wait))
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _session(self, task_status: trio.TaskStatus[None]) -> BrokerUnavailableError | None:
        """One connection, from its making to its loss; returns why it was not made, or given up."""
        try:
            wire = await self._connect()
            with unwrapped():
                async with trio.open_nursery() as nursery:
                    await nursery.start(self._hold, wire, nursery.cancel_scope)
                    self.redis_run = await self._greet(wire)
                    self._wire = wire
                    self.connects += 1
                    self._up.set()
                    self._down_since = None
                    self._troubles.end(self._what)
                    if self.connects == 1:
                        task_status.started()
        except BrokerUnavailableError as exc:
            return exc
        return wire.failure

    async def _hold(
        self, wire: Wire, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]
    ) -> None:
        try:
            await wire.run(task_status=task_status)
        finally:
            self._wire = None
            if self._down_since is None:
                self._down_since = trio.current_time()
            if self._up.is_set():
                self._up = trio.Event()
            scope.cancel()

    async def wait_up(self) -> None:
        """Wait until there is a connection."""
        while not self._up.is_set():
            await self._up.wait()

    @property
    def is_up(self) -> bool:
        """Whether there is a connection now, as far as is known."""
        return self._up.is_set()

    @property
    def down_since(self) -> float | None:
        """When the last connection was lost, on Trio's clock; None while there is one."""
        return self._down_since

    def drop(self, why: str) -> None:
        """Have another connection made, if there is one."""
        if self._wire is not None:
            self._wire.give_up(UnreachableError(why))

    def go_to(self, location: Location) -> None:
        """Have another connection made, if there is one to somewhere else."""
        if self._wire is not None and self._wire.location != location:
            self.drop("another Redis is the primary now, says Sentinel")

    async def request(self, command: bytes, *args: Any, timeout: float = PATIENCE) -> Any:
        """As `Wire.request`; a connection is not waited for."""
        return await self._there().request(command, *args, timeout=timeout)

    async def call(self, script: Script, keys: list[str], *args: Any) -> Any:
        """As `Wire.call`; a connection is not waited for."""
        wire = self._there()
        try:
            return await wire.call(script, keys, *args)
        except RefusedError as exc:
            if exc.is_for_all and not script.reads:
                self._troubles.begin(WRITING, exc)
            if exc.code == "READONLY":  # another one may be the primary by now
                wire.give_up(exc)
            raise

    def _there(self) -> Wire:
        if self._wire is None:
            reason = self._troubles.reason(self._what)
            raise UnreachableError(reason or "there is no connection to Redis")
        return self._wire


def health_of(troubles: Troubles, *links: Link) -> BrokerHealth:
    """Of Redis: it is there while all connections to it are."""
    down = [link.down_since for link in links if link.down_since is not None]
    trouble = troubles.reason("")
    if not down:
        return BrokerHealth(reachable=True, trouble=trouble)
    seconds = trio.current_time() - min(down)
    return BrokerHealth(False, seconds, trouble or "the connection to Redis was closed")
