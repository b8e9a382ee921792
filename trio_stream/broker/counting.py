"""How many subscribers are there to hear of an event: counted here, and asked of other processes.

An estimate, and made only for who wants it: the log knows of no subscribers, and to tell it of each
that comes and goes would cost every one of them a write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from secrets import token_urlsafe
from typing import Any, final

import trio

from ..codec import encode
from ..errors import BrokerError
from .contract import Engine, Entry, Record, full_engine
from .contract.event import TopicEvent
from .reading.feed import LocalFeed

__all__ = ["Counting", "Published"]

#: Where processes ask each other how many subscribers they have. Nothing of it is kept.
_AUDIENCE = "$audience"

#: Seconds for the others to answer.
_PATIENCE = 0.25

#: Seconds after which it is asked anew who the others are, by waiting for whoever answers.
_KNOWN_FOR = 10.0

#: Questions that may wait to be answered; who asks more often gets less of an answer.
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Published:
    """What `Broker.publish` answers when it is asked for the audience, too.

    Attributes:
      id: the event's, ``""`` with ``keep=False``.
      here: subscribers of this process that were at the head of the topic, having read all there
        was. Others get the event later; some may have left without a word, or leave before they are
        sent it.
      everywhere: likewise of all processes that share the log, as far as they have answered within
        a quarter of a second; None where they cannot be asked.
    """

    id: str
    here: int
    everywhere: int | None


class _Question:
    """What the others answer.

    Args:
      others: who is to answer; None where nobody knows.
    """

    def __init__(self, others: frozenset[str] | None) -> None:
        self._missing = None if others is None else set(others)
        self.counts: dict[str, int] = {}
        self.answered = trio.Event()
        self._look()

    def hear(self, by: str, count: int) -> None:
        """This process has so many."""
        self.counts[by] = count
        if self._missing is not None:
            self._missing.discard(by)
            self._look()

    def _look(self) -> None:
        if self._missing is not None and not self._missing:
            self.answered.set()


@final
class Counting:
    """Counts for this process, asks the others, and answers them."""

    def __init__(self, engine: Engine, feed: LocalFeed) -> None:
        self._engine = engine
        self._feed = feed
        self._name = token_urlsafe(9)
        self._others: frozenset[str] = frozenset()
        self._known_until = -inf
        self._questions: dict[str, _Question] = {}
        self._send, self._receive = trio.open_memory_channel[tuple[str, int]](_MOST)
        feed.hear_of(_AUDIENCE, self._hear)

    def here(self, topic: str) -> int:
        """Those of this process that are handed what is published to a topic."""
        return len(self._feed.fanout.followers(topic))

    async def published(self, topic: str, publish: Callable[[], Awaitable[str]]) -> Published:
        """Publish, and tell who was there before.

        The others are asked first, so that each hears of that before it hears of the event.
        """
        here = self.here(topic)
        if not self._engine.shared:
            return Published(await publish(), here, here)
        now, name = trio.current_time(), token_urlsafe(9)
        fresh = now >= self._known_until
        question = self._questions[name] = _Question(None if fresh else self._others)
        try:
            asked = await self._ask(name, topic)
            id = await publish()
            if asked:
                with trio.move_on_after(_PATIENCE):
                    await question.answered.wait()
        finally:
            del self._questions[name]
        if not asked:
            return Published(id, here, None)
        if fresh:
            self._others, self._known_until = frozenset(question.counts), now + _KNOWN_FOR
        elif not question.answered.is_set():  # somebody has gone
            self._known_until = -inf
        return Published(id, here, here + sum(question.counts.values()))

    async def _ask(self, name: str, topic: str) -> bool:
        """Whether the others could be asked; what is published is so in any case."""
        try:
            with trio.fail_after(_PATIENCE):
                await self._say(ask=name, topic=topic)
        except (BrokerError, TypeError, trio.TooSlowError):
            return False
        return True

    async def run(self) -> None:
        """Answer the others, until cancelled."""
        async for name, count in self._receive:
            with trio.move_on_after(_PATIENCE), suppress(BrokerError):  # who asked waits no longer
                await self._say(answer=name, count=count)

    async def _say(self, **said: Any) -> None:
        entry = Entry(_AUDIENCE, encode({"by": self._name, **said}).data)
        await full_engine(self._engine, "an audience").pass_on([entry])

    def _hear(self, record: Record) -> None:
        """Called by the feed, which has other things to do."""
        said = TopicEvent(record.topic, record.event).json()
        if said["by"] == self._name:
            return
        if "ask" in said:
            with suppress(trio.WouldBlock):
                self._send.send_nowait((said["ask"], self.here(said["topic"])))
        elif (question := self._questions.get(said["answer"])) is not None:
            question.hear(said["by"], said["count"])
