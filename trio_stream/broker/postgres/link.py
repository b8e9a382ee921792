"""A connection to PostgreSQL that is there again when it was lost."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, final

import outcome
import trio

from ...errors import BrokerUnavailableError
from ..health import BrokerHealth
from ..troubles import Troubles
from .faults import UnreachableError
from .values import Statement
from .wire import Row, Wire

__all__ = ["Commands", "Link", "health_of"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds before the second attempt to connect, doubled up to the second number.
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0


@final
class Link:
    """One connection, made again whenever it is lost.

    Args:
      what: it is for, when troubles are told.
      parameters: where to.
      session: what is done with each connection, to its end; calls `opened` once it is of use.
      troubles: is told when there is no connection, and when there is one again.

    Attributes:
      wire: the connection, while it is of use.
      connects: how many connections there were.
      down_since: when the last one was lost, on Trio's clock; None while there is one.
    """

    def __init__(
        self,
        what: str,
        parameters: Mapping[str, str],
        session: Callable[[Wire], Awaitable[None]],
        troubles: Troubles,
    ) -> None:
        self._what = what
        self._parameters = parameters
        self._session = session
        self._troubles = troubles
        self._up = trio.Event()
        self.wire: Wire | None = None
        self.connects: int = 0
        self.down_since: float | None = None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Keep it up, until cancelled. Raises what the first attempt fails with."""
        wait = _FIRST_WAIT
        started = task_status.started
        while True:
            before = self.connects
            try:
                await self._once(started)
            except BrokerUnavailableError as exc:
                if not self.connects:
                    raise
                tried_again = self.connects == before
                level = logging.DEBUG if tried_again else logging.INFO
                facts = {"engine": "postgresql", "error": exc}
                log.log(level, "no connection to PostgreSQL: %(error)s", facts)
                self._troubles.begin(self._what, exc)
            if self.connects > before:
                wait = _FIRST_WAIT
            await trio.sleep(random.uniform(wait / 2, wait))
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _once(self, started: Callable[[], None]) -> None:
        """One connection, from its making to its loss."""
        wire = await Wire.open(self._parameters)
        try:
            self._opening = wire, started
            await self._session(wire)
        finally:
            self.wire = None
            if self.down_since is None:
                self.down_since = trio.current_time()
            if self._up.is_set():
                self._up = trio.Event()
            wire.close()

    def opened(self) -> None:
        """The new connection is of use."""
        self.wire, started = self._opening
        self.connects += 1
        self.down_since = None
        self._up.set()
        self._troubles.end(self._what)
        if self.connects == 1:
            started()

    @property
    def is_up(self) -> bool:
        """Whether there is a connection now, as far as is known."""
        return self._up.is_set()

    async def wait_up(self) -> None:
        """Wait until there is a connection."""
        while not self._up.is_set():
            await self._up.wait()

    def poke(self) -> None:
        """As `Wire.poke`, if there is a connection."""
        if self.wire is not None:
            self.wire.poke()

    def missing(self) -> UnreachableError:
        """For who would need a connection, and there is none."""
        reason = self._troubles.reason(self._what)
        return UnreachableError(reason or "there is no connection to PostgreSQL")


class _Job:
    """What somebody asks, and the task that waits for the answer, unless it has been cancelled."""

    __slots__ = ("statement", "task", "values")

    def __init__(
        self, statement: Statement, values: Sequence[Any], task: trio.lowlevel.Task
    ) -> None:
        self.statement = statement
        self.values = values
        self.task: trio.lowlevel.Task | None = task

    def resolve(self, result: outcome.Maybe[list[Row]]) -> None:
        task, self.task = self.task, None
        if task is not None:
            trio.lowlevel.reschedule(task, result)


@final
class Commands:
    """A connection that answers whoever asks, one after another.

    Who is cancelled leaves an answer that is on its way to come for nobody.

    Args:
      enter: does what has to be done with each connection first.
    """

    def __init__(
        self,
        what: str,
        parameters: Mapping[str, str],
        enter: Callable[[Wire], Awaitable[None]],
        troubles: Troubles,
    ) -> None:
        self.link: Link = Link(what, parameters, self._session, troubles)
        self._enter = enter
        self._jobs: deque[_Job] = deque()

    async def ask(self, statement: Statement, *values: Any) -> list[Row]:
        """As `Wire.ask`; a connection is not waited for."""
        if self.link.wire is None:
            raise self.link.missing()
        job = _Job(statement, values, trio.lowlevel.current_task())
        self._jobs.append(job)
        self.link.poke()

        def abort(_: object) -> trio.lowlevel.Abort:
            job.task = None
            with suppress(ValueError):  # it is being answered
                self._jobs.remove(job)
            return trio.lowlevel.Abort.SUCCEEDED

        rows: list[Row] = await trio.lowlevel.wait_task_rescheduled(abort)
        return rows

    async def one(self, statement: Statement, *values: Any) -> Row:
        """The one row that a statement answers."""
        [row] = await self.ask(statement, *values)
        return row

    async def _session(self, wire: Wire) -> None:
        await self._enter(wire)
        self.link.opened()
        job: _Job | None = None
        try:
            while True:
                while self._jobs:
                    job = self._jobs.popleft()
                    await self._answer(wire, job)
                job = None
                await wire.rest()
        finally:
            for left in (*([job] if job else ()), *self._jobs):
                left.resolve(outcome.Error(self.link.missing()))
            self._jobs.clear()

    async def _answer(self, wire: Wire, job: _Job) -> None:
        try:
            rows = await wire.ask(job.statement, *job.values)
        except UnreachableError as exc:
            job.resolve(outcome.Error(UnreachableError(str(exc))))
            raise
        except BrokerUnavailableError as exc:
            job.resolve(outcome.Error(exc))
        else:
            job.resolve(outcome.Value(rows))


def health_of(troubles: Troubles, *links: Link) -> BrokerHealth:
    """Of PostgreSQL: it is there while all connections to it are."""
    down = [link.down_since for link in links if link.down_since is not None]
    trouble = troubles.reason("")
    if not down:
        return BrokerHealth(reachable=True, trouble=trouble)
    seconds = trio.current_time() - min(down)
    return BrokerHealth(False, seconds, trouble or "the connection to PostgreSQL was closed")
