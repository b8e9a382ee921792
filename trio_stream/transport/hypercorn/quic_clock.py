"""The timer of one QUIC connection, in place of Hypercorn's."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import trio

if TYPE_CHECKING:
    from hypercorn.typing import TaskGroup

__all__ = ["QuicClock"]


class Watched(Protocol):
    """A stream of the connection."""

    def look(self) -> None:
        """Something has been received, sent, or is over."""


class QuicClock:
    """Hypercorn's `SingleTask` for a connection: what it is restarted for is QUIC's next timeout.

    Hypercorn's own cancels itself when a timeout restarts it, so that what is due after that never
    comes: bytes that were lost are not sent again, and a client that vanished is kept. Here one
    task sees to all of the connection's timeouts until it has ended. Hypercorn restarts it each
    time it has sent what there was to send, so this is also where streams hear of what happens.
    """

    __slots__ = ("_connection", "_manager", "_sleep", "quic", "watched")

    def __init__(self, manager: Any, connection: Any) -> None:
        self._manager = manager
        self._connection = connection
        self.quic: Any = connection.quic
        #: By their ids.
        self.watched: dict[int, Watched] = {}
        self._sleep = trio.CancelScope()
        before, connection.task = connection.task, self
        manager.task_group.spawn(before.stop)
        manager.task_group.spawn(self._run)

    @classmethod
    def of(cls, manager: Any, connection: Any) -> QuicClock:
        """That of this connection, put there if there is none yet."""
        there = connection.task
        return there if type(there) is cls else cls(manager, connection)

    async def restart(self, task_group: TaskGroup, action: Callable[..., Any]) -> None:
        """Called by Hypercorn when datagrams have been sent."""
        self._sleep.deadline = self._due()
        self._look()

    async def stop(self) -> None:
        """Called by Hypercorn when the connection has ended."""
        self._sleep.deadline = -inf
        self._look()

    def _look(self) -> None:
        for stream in list(self.watched.values()):
            stream.look()

    def _due(self) -> float:
        due: float | None = self.quic.get_timer()
        return inf if due is None else due

    async def _run(self) -> None:
        while (due := self._due()) < inf:
            with trio.CancelScope(deadline=due) as self._sleep:
                await trio.sleep_forever()
            now = trio.current_time()
            if self._due() <= now:
                self.quic.handle_timer(now=now)
                await self._manager._handle_events(self._connection, None)
