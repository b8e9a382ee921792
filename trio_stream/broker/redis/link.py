"""A connection to Redis that is there again when it was lost."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, final

import coredis.exceptions
import trio
from coredis.connection import BaseConnection

from ...errors import BrokerUnavailableError
from ..unwrapped import unwrapped
from .places import PATIENCE, NewConnection, hold
from .scripts import Script

__all__ = ["Link", "UnreachableError"]

log = logging.getLogger("trio_stream")

#: Seconds before the second attempt to connect, doubled up to the third number.
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0

#: What is over when Redis can be reached again, has started, or another one has taken over.
_PASSING = (
    coredis.exceptions.ConnectionError,
    coredis.exceptions.ReadOnlyError,
    coredis.exceptions.RedisClusterError,
    TimeoutError,
)


class UnreachableError(BrokerUnavailableError):
    """The connection was lost, or nothing came over it: what was asked may have been done."""


@final
class Link:
    """One connection, made again whenever it is lost, and requests on it.

    Args:
      connect: makes a connection.
      greet: called with the link for every new connection, before anybody else may use it.
    """

    def __init__(self, connect: NewConnection, greet: Callable[[Link], Awaitable[None]]) -> None:
        self._connect = connect
        self._greet = greet
        self._connection: BaseConnection | None = None
        self._up = trio.Event()
        self.connects = 0

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Keep it up, until cancelled. Raises what the first attempt fails with."""
        wait = _FIRST_WAIT
        while True:
            before = self.connects
            failure = await self._session(task_status)
            if not self.connects:
                raise failure or BrokerUnavailableError("Redis hung up")
            if self.connects > before:
                wait = _FIRST_WAIT
            log.info("the connection to Redis is lost: %s", failure)
            await trio.sleep(random.uniform(wait / 2, wait))
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _session(self, task_status: trio.TaskStatus[None]) -> Exception | None:
        """One connection, from its making to its loss."""
        try:
            connection = await self._connect()
            with unwrapped():
                async with trio.open_nursery() as nursery:
                    await nursery.start(self._hold, connection, nursery.cancel_scope)
                    self._connection = connection
                    await self._greet(self)
                    self.connects += 1
                    self._up.set()
                    if self.connects == 1:
                        task_status.started()
        except coredis.exceptions.RedisError as exc:
            failure = BrokerUnavailableError(f"Redis cannot be reached: {exc}")
            failure.__cause__ = exc
            return failure
        except BrokerUnavailableError as exc:
            return exc
        return None

    async def _hold(
        self,
        connection: BaseConnection,
        scope: trio.CancelScope,
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        try:
            await hold(connection, task_status=task_status)
        finally:
            self._connection = None
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

    def drop(self) -> None:
        """Give the connection up, which says nothing any more."""
        if self._connection is not None:
            self._connection.invalidate()

    async def request(self, command: bytes, *args: Any, timeout: float = PATIENCE) -> Any:
        """Ask Redis, and return its answer as bytes and lists.

        Raises:
          UnreachableError: there is no answer.
          BrokerUnavailableError: the answer is an error.
        """
        connection = self._connection
        if connection is None:
            raise UnreachableError("there is no connection to Redis")
        try:
            return await connection.create_request(
                command, *args, decode=False, timeout=timeout, disconnect_on_cancellation=False
            )
        except _PASSING as exc:
            # Without an answer it is not known what the next one would answer; and a Redis that
            # starts, or follows another, is not the one to talk to.
            connection.invalidate()
            raise UnreachableError(f"Redis does not answer: {exc}") from exc
        except coredis.exceptions.RedisError as exc:
            raise BrokerUnavailableError(f"Redis answered: {exc}") from exc

    async def call(self, script: Script, keys: list[str], *args: Any) -> Any:
        """Run a script that Redis has or has not got yet."""
        try:
            return await self.request(b"EVALSHA", script.sha, len(keys), *keys, *args)
        except BrokerUnavailableError as exc:
            if not isinstance(exc.__cause__, coredis.exceptions.NoScriptError):
                raise
        return await self.request(b"EVAL", script.text, len(keys), *keys, *args)
