"""Who was disconnected, told to all processes that share the log.

It is said in the log, on a topic of the library's own: so every engine can, a process that was cut
off hears of it when it is back, and one that starts knows who is still to be refused.
"""

from __future__ import annotations

import logging
import time
from typing import Protocol, final

import trio

from ..codec import encode
from ..errors import BrokerError
from ..stream.principals import current_principals
from .contract import Engine, Entry, Record
from .event import TopicEvent
from .feed import LocalFeed
from .publisher import Publisher
from .retention import DISCONNECTS
from .topics import EARLIEST, Selection

__all__ = ["Disconnects", "disconnect_entry"]

log: logging.Logger = logging.getLogger("trio_stream")

_PAGE = 1024

#: Seconds before the log is read again that could not be.
_PAUSE = 1.0


class OwnedRuns(Protocol):
    """The resumable runs of this process, as they are seen here."""

    def stop_of(self, principal: str, /) -> None:
        """Cancel the producers of this principal."""


def disconnect_entry(principal: str, refuse_for: float, runs: bool, by: str) -> Entry:
    """What is said: by ``by``, who does not hear it again. Times are of the wall clock."""
    said = {
        "principal": principal,
        "refuse_for": refuse_for,
        "at": time.time(),
        "runs": runs,
        "by": by,
    }
    return Entry(DISCONNECTS, encode(said).data)


@final
class Disconnects:
    """Says who is disconnected, and hears it of other processes."""

    def __init__(
        self, engine: Engine, feed: LocalFeed, publisher: Publisher, runs: OwnedRuns
    ) -> None:
        self._engine = engine
        self._feed = feed
        self._publisher = publisher
        self._runs = runs
        self._principals = current_principals()
        self._selection = Selection([DISCONNECTS])
        self._cursor = EARLIEST
        #: What is not newer than this was said before this process listened.
        self._opened_at = 0
        self._news = trio.Event()
        feed.overhear(DISCONNECTS, self._wake)

    async def disconnect(self, principal: str, refuse_for: float, runs: bool) -> None:
        """End the streams here, at once and whatever comes, and then everywhere."""
        self._disconnect_here(principal, refuse_for, runs)
        entry = disconnect_entry(principal, refuse_for, runs, self._principals.name)
        await self._publisher.append([entry])

    def _disconnect_here(self, principal: str, refuse_for: float, runs: bool) -> None:
        self._principals.disconnect(principal, refuse_for)
        if runs:
            self._runs.stop_of(principal)

    # What the others say.

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled: do what others say. Started when it is known who is refused now."""
        self._opened_at = self._feed.head
        if self._engine.keeps_history:
            await self._read(heed_gaps=False)
        else:
            self._cursor = self._opened_at
        task_status.started()
        while True:
            await self._news.wait()
            self._news = trio.Event()
            try:
                await self._read()
            except BrokerError as exc:
                log.warning("who was disconnected elsewhere is not known, trying again: %s", exc)
                await trio.sleep(_PAUSE)
                self._news.set()

    def _wake(self) -> None:
        self._news.set()

    async def _read(self, *, heed_gaps: bool = True) -> None:
        while True:
            page = await self._feed.read(self._selection, self._cursor, _PAGE)
            if page.gone and heed_gaps:
                log.warning(
                    "who was disconnected elsewhere is not known for a while: streams of theirs "
                    "may still be open"
                )
            for record in page.records:
                self._hear(record)
            self._cursor = page.upto
            if not page.records:
                return

    def _hear(self, record: Record) -> None:
        said = TopicEvent(record.topic, record.event).json()
        if said["by"] == self._principals.name:
            return
        refuse_for: float = said["refuse_for"]
        if record.id <= self._opened_at:  # as far as the clocks of machines agree
            refuse_for = min(refuse_for, max(0.0, said["at"] + refuse_for - time.time()))
            if not refuse_for:
                return
        self._disconnect_here(said["principal"], refuse_for, said["runs"])
