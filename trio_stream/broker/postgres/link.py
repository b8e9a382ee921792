"""A connection to PostgreSQL that is there again when it was lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, final

import outcome
import trio

from ...errors import BrokerUnavailableError
from ..servers.link import ServerLink
from ..servers.troubles import Troubles, UnreachableError
from .values import Statement
from .wire import Row, Wire

__all__ = ["Commands", "Link"]


@final
class Link(ServerLink[Wire]):
    """One connection, made again whenever it is lost.

    Args:
      parameters: where to.
      session: what is done with each connection, to its end; calls `opened` once it is of use.
    """

    def __init__(
        self,
        what: str,
        parameters: Mapping[str, str],
        session: Callable[[Wire], Awaitable[None]],
        troubles: Troubles,
    ) -> None:
        super().__init__(what, troubles)
        self._parameters = parameters
        self._use = session

    async def _session(self) -> BrokerUnavailableError | None:
        try:
            wire = await Wire.open(self._parameters)
            try:
                await self._use(wire)
            finally:
                self._lost()
                wire.close()
        except BrokerUnavailableError as exc:
            return exc
        return None

    def poke(self) -> None:
        """As `Wire.poke`, if there is a connection."""
        if self.wire is not None:
            self.wire.poke()


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

    def is_idle(self) -> bool:
        """Whether nobody waits for it, but for whoever it is answering."""
        return not self._jobs

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
        self.link.opened(wire)
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
