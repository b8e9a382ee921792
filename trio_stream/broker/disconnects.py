"""Who was disconnected, told to all processes that share the log.

It is said in the log, on a topic of the library's own: so every engine can, a process that was cut
off hears of it when it is back, and one that starts knows who is still to be refused.
"""

from __future__ import annotations

import logging
import time
import uuid
from typing import Protocol, final

import msgspec
import trio

from ..checks import check_flag, check_seconds
from ..codec import encode
from ..errors import BrokerError
from ..stream.options.principals import check_principal, current_principals
from .contract import Engine, Entry, Record
from .contract.event import TopicEvent
from .contract.retention import DISCONNECTS
from .contract.topics import EARLIEST, Selection
from .publisher import Publisher
from .reading.feed import LocalFeed

__all__ = ["Disconnects", "check_disconnect", "disconnect_entry"]

log: logging.Logger = logging.getLogger("trio_stream")

_PAGE = 1024

#: Seconds. Who is to stay out for longer is refused by the application, which knows why.
_LONGEST_REFUSAL = 86_400

#: Seconds before the log is read again that could not be.
_PAUSE = 1.0


class _Said(msgspec.Struct, frozen=True):
    """What is said. Times are of the wall clock of who says it."""

    principal: str
    refuse_for: float
    at: float
    runs: bool
    by: str
    broker: str = ""


class OwnedRuns(Protocol):
    """The resumable runs of this process, as they are seen here."""

    def stop_of(self, principal: str, /) -> None:
        """Cancel the producers of this principal."""


def check_disconnect(principal: object, refuse_for: object, runs: object) -> str:
    """Who is meant; `TypeError` or `ValueError` for what cannot be."""
    whose = check_principal(principal)
    check_seconds("refuse_for", refuse_for, "up to a day", zero=True, most=_LONGEST_REFUSAL)
    check_flag("runs", runs)
    return whose


def disconnect_entry(
    principal: str, refuse_for: float, runs: bool, by: str, broker: str = ""
) -> Entry:
    """As others are told: by a Trio run, and a broker of its, which do not hear it again."""
    said = _Said(principal, refuse_for, time.time(), runs, by, broker)
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
        self._name = uuid.uuid4().hex
        self._selection = Selection([DISCONNECTS])
        self._cursor = EARLIEST
        #: What is not newer than this was said before this process listened.
        self._opened_at = 0
        self._news = trio.Event()
        feed.overhear(DISCONNECTS, self._wake)

    async def disconnect(self, principal: str, refuse_for: float, runs: bool) -> None:
        """End the streams here, at once and whatever comes, and then everywhere."""
        self._disconnect_here(principal, refuse_for, runs)
        by = self._principals.name
        entry = disconnect_entry(principal, refuse_for, runs, by, self._name)
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
                log.warning(
                    "who was disconnected elsewhere is not known, trying again: %(error)s",
                    {"error": exc},
                )
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
        try:
            said = msgspec.json.decode(TopicEvent(record.topic, record.event).data, type=_Said)
        except msgspec.MsgspecError:  # whoever may write to the log may write that
            log.warning(
                "what was said of who is disconnected cannot be read: event %(event_id)d",
                {"event_id": record.id},
            )
            return
        if said.by == self._principals.name:  # the streams are those of all brokers here
            if said.runs and said.broker != self._name:
                self._runs.stop_of(said.principal)
            return
        refuse_for = said.refuse_for
        if record.id <= self._opened_at:  # as far as the clocks of machines agree
            refuse_for = min(refuse_for, max(0.0, said.at + refuse_for - time.time()))
            if not refuse_for:
                return
        self._disconnect_here(said.principal, refuse_for, said.runs)
