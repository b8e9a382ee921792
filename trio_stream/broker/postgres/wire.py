"""One connection to PostgreSQL: libpq, asked without blocking, and Trio that waits for its socket.

Here whatever psycopg raises becomes an error of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Any, final

import psycopg
import trio
from psycopg import pq
from psycopg.pq.abc import PGconn

from ..servers.troubles import UnreachableError
from .address import attempts, connect_timeout
from .faults import RefusedError, error_of
from .values import NO_XIDS, ZERO_XID, Statement

__all__ = ["PATIENCE", "SETTINGS", "Row", "Wire"]

#: Seconds for a connection to be made, and for an answer.
PATIENCE = 10.0

#: What holds on all connections, whatever somebody's database says of these. Who is gone without
#: a word, as a machine that lost its power, is found out soon: what it held is for others. All that
#: is asked has an index, which is the right way also where the planner does not know how many dead
#: rows there are: one plan for each, that is made once.
SETTINGS: bytes = b"""
SET statement_timeout = '9s'; SET lock_timeout = '5s'; SET jit = off;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off; SET enable_bitmapscan = off;
SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"""

Row = list[bytes | None]

_GOOD = {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK}


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, OSError, ValueError) as exc:
        # A ValueError is for a socket that is closed.
        first = next(iter(str(exc).splitlines()), "")
        raise UnreachableError(f"PostgreSQL: {first}") from None


@contextmanager
def _in_time(seconds: float | None = None) -> Iterator[None]:
    seconds = PATIENCE if seconds is None else seconds
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise UnreachableError(f"PostgreSQL has not answered within {seconds:g} s") from None


@final
class Wire:
    """A connection, from its making to its end. One task at a time asks.

    Attributes:
      pid: of the process of PostgreSQL that is at its other end.
      server: which run of which server that is, once it has entered the log.
      seen: up to where the outbox is numbered, as this connection has seen it.
      is_pooled: whether each transaction may be another process's, as a pooler between has it. Then
        nothing is set or prepared, as others would meet it.
    """

    def __init__(self, connection: PGconn) -> None:
        self._connection = connection
        self._socket = connection.socket
        self._prepared: set[str] = set()
        self._rest: trio.CancelScope | None = None
        self._poked = False
        self._dropped = ""
        self.server: bytes = b""
        self.pid: int = connection.backend_pid
        self.is_pooled: bool = False
        self.seen: tuple[bytes, bytes] = (ZERO_XID, NO_XIDS)

    @classmethod
    async def open(cls, parameters: Mapping[str, str]) -> Wire:
        """Connect; `UnreachableError` or `RefusedError` when nobody takes it."""
        failure = UnreachableError("PostgreSQL cannot be reached")
        seconds = connect_timeout(parameters)
        for text in await attempts(parameters):
            try:
                with _in_time(seconds):
                    return await cls._open(text)
            except UnreachableError as exc:
                failure = exc
        raise failure

    @classmethod
    async def _open(cls, text: str) -> Wire:
        wire = cls(await _connect(text))
        try:
            await wire._settle(text)
        except BaseException:
            wire.close()
            raise
        return wire

    async def _settle(self, text: str) -> None:
        """Set what holds here; until then it is under the database's own time limit."""
        while True:
            try:
                self.is_pooled = await self._meets_pooler(text)
                if not self.is_pooled:
                    await self.run(SETTINGS)
            except RefusedError as exc:
                if not exc.passes:
                    raise
            else:
                return

    async def _meets_pooler(self, text: str) -> bool:
        """Ask in turns with another connection: does each stay at one process, its own?"""
        self.pid = await self.ask_pid()
        if self.pid == self._connection.backend_pid:
            return False
        other = Wire(await _connect(text))
        try:
            pids = [await wire.ask_pid() for wire in (self, other) * 3]
        finally:
            other.close()
        return len({*pids[::2]}) > 1 or len({*pids[1::2]}) > 1 or pids[0] == pids[1]

    async def ask_pid(self) -> int:
        """Of the process of PostgreSQL that answers; a pooler tells another when it connects."""
        with _in_time():
            with _named_errors():
                self._connection.send_query(b"SELECT pg_backend_pid()")
            [[pid]] = await self._answer()
        return int(pid or b"0")

    def close(self) -> None:
        """Let go of it. Idempotent."""
        self._connection.finish()

    async def run(self, text: bytes) -> None:
        """Statements without values or answers."""
        with _in_time():
            with _named_errors():
                self._connection.send_query(text)
            await self._answer()

    async def ask(self, statement: Statement, *values: Any) -> list[Row]:
        """What a statement answers; values are None for NULL.

        Raises:
          UnreachableError: the connection is lost, or was cancelled, and cannot be used any more.
          RefusedError: it is an error.
        """
        self._check()
        with _in_time():
            kinds = statement.kinds
            written = [
                None if value is None else kind.write(value)
                for kind, value in zip(kinds, values, strict=True)
            ]
            if self.is_pooled:
                with _named_errors():
                    self._connection.send_query_params(
                        statement.text.encode(),
                        written,
                        [kind.oid for kind in kinds],
                        [1] * len(written),
                        1,
                    )
                return await self._answer()
            if statement.name not in self._prepared:
                with _named_errors():
                    self._connection.send_prepare(
                        statement.name.encode(),
                        statement.text.encode(),
                        [kind.oid for kind in kinds],
                    )
                await self._answer()
                self._prepared.add(statement.name)
            with _named_errors():
                self._connection.send_query_prepared(
                    statement.name.encode(), written, [1] * len(written), 1
                )
            return await self._answer()

    async def one(self, statement: Statement, *values: Any) -> Row:
        """The one row that a statement answers."""
        [row] = await self.ask(statement, *values)
        return row

    async def _answer(self) -> list[Row]:
        """The rows of the last answer, once all have come."""
        connection = self._connection
        rows: list[Row] = []
        failure = None
        while True:
            with _named_errors():
                while connection.flush():
                    await trio.lowlevel.wait_writable(self._socket)
                while connection.is_busy():
                    await trio.lowlevel.wait_readable(self._socket)
                    connection.consume_input()
                result = connection.get_result()
            if result is None:
                break
            if result.status not in _GOOD:
                failure = failure or error_of(result)
            else:
                columns = range(result.nfields)
                rows = [
                    [result.get_value(n, column) for column in columns]
                    for n in range(result.ntuples)
                ]
        if failure is not None:
            raise failure
        return rows

    def notified(self) -> list[tuple[str, int]]:
        """What has been told to this connection: channels, and by which process."""
        found = []
        while (notice := self._connection.notifies()) is not None:
            found.append((notice.relname.decode(), notice.be_pid))
        return found

    async def rest(self, seconds: float = inf) -> bool:
        """Wait until something comes, somebody pokes, or so long; whether somebody did.

        Raises `UnreachableError` if the connection ends.
        """
        if not self._poked:
            with trio.move_on_after(seconds) as self._rest, _named_errors():
                await trio.lowlevel.wait_readable(self._socket)
                self._connection.consume_input()
            self._rest = None
        self._check()
        poked, self._poked = self._poked, False
        return poked

    def drop(self, why: str) -> None:
        """Have whoever uses it next told that this connection has ended, and who rests now."""
        self._dropped = why
        self.poke()

    def _check(self) -> None:
        if self._dropped:
            raise UnreachableError(self._dropped)

    def poke(self) -> None:
        """End the rest of who rests, or the next one."""
        self._poked = True
        if self._rest is not None:
            self._rest.cancel()


async def _connect(text: str) -> PGconn:
    with _named_errors():
        connection = pq.PGconn.connect_start(text.encode())
    try:
        with _named_errors():
            while (status := connection.connect_poll()) != pq.PollingStatus.OK:
                if status == pq.PollingStatus.READING:
                    await trio.lowlevel.wait_readable(connection.socket)
                elif status == pq.PollingStatus.WRITING:
                    await trio.lowlevel.wait_writable(connection.socket)
                else:
                    words = connection.get_error_message().split()  # it has tabs and lines
                    raise UnreachableError(f"PostgreSQL: {' '.join(words)}")
            connection.nonblocking = 1
    except BaseException:
        connection.finish()
        raise
    # Else libpq writes notices to standard error.
    connection.notice_handler = _ignore
    return connection


def _ignore(_: object) -> None:
    pass
