"""Deleting what is not kept any more: a little at a time, behind what others may still read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import final

import trio

from ...errors import BrokerUnavailableError
from ..contract import Record, Retention
from .history import kept_of
from .link import Commands
from .live import Live
from .statements import TIDY, TOO_OLD, TRIM
from .values import read_bytes_array, read_int

__all__ = ["ROUND", "Caretaker"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds between two rounds. What is too much for a topic is deleted one round after it was fed,
#: so that other processes have read it, however little their topics keep.
ROUND: float = 10.0

#: Rounds between two times that everything else is tidied up.
_TIDY = 6

#: Topics that are trimmed in one transaction, and events of each of them.
_TOPICS, _EVENTS = 50, 1000

#: Events that are looked at in one go, as they may be too old.
_LOOKED_AT = 1000

#: What a topic may have too much before it is trimmed: this share of what is kept, and events.
_SLACK, _FEW = 8, 16


@final
class Caretaker:
    """Knows which topics have grown since they were trimmed last.

    Args:
      retention: of topics.
      max_topics: of how many a history is kept.
    """

    def __init__(self, commands: Commands, retention: Retention, max_topics: int) -> None:
        self._commands = commands
        self._retention = retention
        self._max_topics = max_topics
        #: Events and bytes of each topic since it was due; not here: it never was.
        self._grown: dict[str, list[int]] = {}
        self._due: dict[str, None] = {}
        #: Up to where all that is older than this is deleted, by age.
        self._done = dict.fromkeys(retention.ages, 0)

    def fed(self, records: Sequence[Record]) -> None:
        """These are new."""
        for record in records:
            grown = self._grown.get(record.topic)
            if grown is None:
                grown = self._grown[record.topic] = [0, 0]  # what it has is not known
                self._due[record.topic] = None
            grown[0] += 1
            grown[1] += len(record.data)
            kept = self._retention.of(record.topic)
            if grown[0] > kept.events // _SLACK + _FEW or grown[1] > kept.bytes // _SLACK:
                self._due[record.topic] = None
                grown[:] = 0, 0

    async def run(self, live: Live) -> None:
        """Until cancelled: do what is to be done, if it is this process that does it."""
        number = 0
        while True:
            upto, due, self._due = live.read_to, self._due, {}
            await trio.sleep(ROUND)
            number += 1
            if live.on_duty:
                try:
                    await self._trim(list(due), upto)
                    await self._expire(upto)
                    if number % _TIDY == 1:
                        await self.tidy()
                except BrokerUnavailableError as exc:
                    facts = {"engine": "postgresql", "error": exc}
                    log.debug("could not delete what is too old: %(error)s", facts)
            if len(self._grown) > 2 * self._max_topics:
                self._grown.clear()

    async def _trim(self, names: Sequence[str], upto: int) -> None:
        for start in range(0, len(names), _TOPICS):
            await self.trim(names[start : start + _TOPICS], upto)

    async def trim(self, names: Sequence[str], upto: int) -> None:
        """Delete what these topics do not keep any more."""
        kept = kept_of(self._retention, names)
        more = True
        while more:
            [found] = await self._commands.one(TRIM, *kept, upto, _EVENTS)
            more = bool(read_int(found or b""))

    async def _expire(self, upto: int) -> None:
        """Of topics with an age, what is too old: ids and times grow together."""
        for age, done in self._done.items():
            while True:
                last, old = await self._commands.one(TOO_OLD, done, age, _LOOKED_AT)
                if last is None:
                    break
                done = self._done[age] = read_int(last)
                names = [name.decode() for name in read_bytes_array(old or b"")]
                names = [name for name in names if self._retention.of(name).age == age]
                await self._trim(names, upto)

    async def tidy(self) -> None:
        """Delete what is over, and the topics that are too many."""
        more = True
        while more:
            [found] = await self._commands.one(TIDY, self._max_topics)
            more = read_int(found or b"") >= 1000
