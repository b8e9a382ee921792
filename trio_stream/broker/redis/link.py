"""A connection to Redis that is there again when it was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, final

import trio
from coredis.connection import Location

from ...errors import BrokerUnavailableError
from ..servers.link import ServerLink
from ..servers.troubles import WRITING, Troubles, UnreachableError
from ..unwrapped import unwrapped
from .places import NewWire
from .script import Script
from .wire import PATIENCE, RefusedError, Wire

__all__ = ["Link"]


@final
class Link(ServerLink[Wire]):
    """One connection, made again whenever it is lost, and requests on it.

    Args:
      connect: makes a connection.
      greet: called with every new connection, before anybody else sees it; says which run of Redis
        it is.

    Attributes:
      redis_run: what ``greet`` said.
    """

    def __init__(
        self,
        what: str,
        connect: NewWire,
        greet: Callable[[Wire], Awaitable[str]],
        troubles: Troubles,
    ) -> None:
        super().__init__(what, troubles)
        self._connect = connect
        self._greet = greet
        self.redis_run: str = ""

    async def _session(self) -> BrokerUnavailableError | None:
        try:
            wire = await self._connect()
            with unwrapped():
                async with trio.open_nursery() as nursery:
                    await nursery.start(self._hold, wire, nursery.cancel_scope)
                    self.redis_run = await self._greet(wire)
                    self.opened(wire)
        except BrokerUnavailableError as exc:
            return exc
        return wire.failure

    async def _hold(
        self, wire: Wire, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]
    ) -> None:
        try:
            await wire.run(task_status=task_status)
        finally:
            self._lost()
            scope.cancel()

    def drop(self, why: str) -> None:
        """Have another connection made, if there is one."""
        if self.wire is not None:
            self.wire.give_up(UnreachableError(why))

    def go_to(self, location: Location) -> None:
        """Have another connection made, if there is one to somewhere else."""
        if self.wire is not None and self.wire.location != location:
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
        if self.wire is None:
            raise self.missing()
        return self.wire
