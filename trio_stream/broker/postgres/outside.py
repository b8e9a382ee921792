"""Publishing to a ``postgresql://`` broker's topics where there is no Trio run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import trio

from ..contract import Entry, Retention
from ..contract.records import ONCE_FOR
from ..servers.troubles import Troubles
from ..thread_way import ThreadWay
from ..unwrapped import unwrapped
from .address import parse_address
from .engine import PostgresEngine
from .faults import POOLED, RefusedError
from .link import Commands
from .publishing import columns_of
from .statements import INSERT
from .wire import Wire

__all__ = ["open_way"]

#: What PostgreSQL says to a role that may not.
_MAY_NOT = "42501"

#: Seconds before what was refused is asked again.
_PAUSE = 0.5


def open_way(url: str, retention: Retention, options: dict[str, Any]) -> ThreadWay:
    """The way that this role may go, and that there is: as a broker's, or by the outbox."""
    engine = PostgresEngine(url, retention, **options)
    try:
        return ThreadWay(engine)
    except RefusedError as exc:
        if exc.state not in {_MAY_NOT, POOLED}:
            raise
        return ThreadWay(_OutboxEngine(url, waits=options.get("outage", "wait") == "wait"))


@final
class _OutboxEngine:
    """The writing half of an engine for a role that may publish and nothing else, or a pooler.

    It is told no ids. Each publish is a transaction. An event on whose way the connection was lost
    may be stored or not, which cannot be asked, and is not sent again.

    Args:
      waits: whether an outage is waited for.
    """

    def __init__(self, url: str, *, waits: bool) -> None:
        self._waits = waits
        self._commands = Commands(
            "publishing", parse_address(url), self._enter, Troubles("PostgreSQL")
        )

    async def _enter(self, wire: Wire) -> None:
        """There is nothing that such a role may see."""

    async def run_publishing(self, *, task_status: trio.TaskStatus[None]) -> None:
        with unwrapped():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._commands.link.run)
                task_status.started()
                await trio.sleep_forever()

    async def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        await self._insert(entries, keep=True)
        return [0] * len(entries)

    async def pass_on(self, entries: Sequence[Entry]) -> None:
        await self._insert(entries, keep=False)

    async def _insert(self, entries: Sequence[Entry], keep: bool) -> None:
        once = [entry.once for entry in entries]
        values = [
            *columns_of(entries),
            [one and one.key.encode() for one in once],
            [ONCE_FOR if one is None else one.seconds for one in once],
            keep,
        ]
        while True:
            if self._waits:
                await self._commands.link.wait_up()
            try:
                await self._commands.ask(INSERT, *values)
            except RefusedError as exc:
                if exc.passes and self._waits:
                    await trio.sleep(_PAUSE)
                    continue
                if exc.state != _MAY_NOT:
                    raise
                raise RefusedError(
                    f"{exc}: the owner of its topics lets a role publish to some of them by "
                    "SELECT trio_stream.let_publish(role, pattern)",
                    exc.state,
                ) from None
            else:
                return
