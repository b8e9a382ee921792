"""What the processes that share a log tell each other besides, and no subscriber hears."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, final

import trio

from ..codec import encode
from .contract import Engine, Entry, Record, full_engine
from .contract.event import TopicEvent
from .contract.topics import Selection, check_name
from .reading.feed import LocalFeed

__all__ = ["Backchannel", "Backchannels"]

log: logging.Logger = logging.getLogger("trio_stream")

#: What waits to be heard; of more, the newest is dropped.
_WAITING = 256

Run = Callable[["Backchannel"], Awaitable[None]]


@final
class Backchannel:
    """A place where processes that share a log hear each other; made by `Broker.backchannel`."""

    def __init__(self, engine: Engine, feed: LocalFeed, name: str, own: str) -> None:
        self._engine = full_engine(engine, "a backchannel")
        self._feed = feed
        self._topic = f"${check_name(name, 'a name')}"
        #: For the feed: what is heard here.
        self.selection: Selection = Selection([self._topic, f"{self._topic}/{own}"])
        self._heard, self._waiting = trio.open_memory_channel[Record](_WAITING)

    async def say(self, value: Any, *, to: str | None = None) -> None:
        """Tell all processes that hear this, this one included, or only the one of this name.

        It is JSON, is stored nowhere, and whoever is cut off does not hear of it. A checkpoint.
        Raises what `Broker.publish` does.
        """
        self._feed.check_open()
        topic = self._topic if to is None else f"{self._topic}/{to}"
        await self._engine.pass_on([Entry(topic, encode(value).data)])

    async def receive(self) -> Any:
        """The next value that somebody says, in the channel's own task."""
        record = await self._waiting.receive()
        return TopicEvent(record.topic, record.event).json()

    async def use(self, run: Run) -> None:
        """Hear while this runs."""
        self._feed.hear_passing(self)
        try:
            await run(self)
        except Exception as error:  # whatever it is: a tool's fault is not the broker's
            log.error("a backchannel's task failed", {"error": error}, exc_info=error)
        finally:
            self._feed.miss_passing(self)
            self._heard.close()
            self._waiting.close()

    # As the feed sees it.

    def pass_by(self, head: int, record: Record) -> None:
        """Called by the feed: somebody has said this."""
        try:
            self._heard.send_nowait(record)
        except trio.WouldBlock:
            log.warning("what other processes say is not heard fast enough, and is dropped")


@final
class Backchannels:
    """Those of one broker, whose tasks end with it."""

    def __init__(self, engine: Engine, feed: LocalFeed, nursery: trio.Nursery) -> None:
        self._engine = engine
        self._feed = feed
        self._nursery = nursery

    def open(self, name: str, own: str, run: Run) -> Backchannel:
        """See `Broker.backchannel`."""
        channel = Backchannel(self._engine, self._feed, name, own)
        self._nursery.start_soon(channel.use, run, name=f"trio_stream {name}")
        return channel
