"""`Publishing`: the half of a `Broker` that writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Literal, overload

import trio
from msgspec import UNSET, UnsetType

from ..checks import check_flag, check_several, shown
from .contract import Engine, Entry, full_engine
from .contract.entries import body_of, check_once, check_published, known_together, special_entry
from .contract.topics import check_name, check_topic, parse_cursor
from .counting import Published
from .publisher import Publisher
from .reading.feed import LocalFeed

__all__ = ["Publishing"]


class Publishing:
    """What a broker does for those who publish, and delete; `Broker` is what users have."""

    def __init__(
        self, engine: Engine, feed: LocalFeed, publisher: Publisher, once_for: float
    ) -> None:
        self.engine = engine
        self._feed = feed
        self._publisher = publisher
        self._once_for = once_for

    @overload
    async def publish(
        self,
        topic: str,
        data: Any,
        *,
        event: str | None = ...,
        key: str = ...,
        once: str | None = ...,
        keep: bool = ...,
        but: str | None = ...,
        audience: Literal[False] = ...,
    ) -> str: ...
    @overload
    async def publish(
        self,
        topic: str,
        data: Any,
        *,
        event: str | None = ...,
        key: str = ...,
        once: str | None = ...,
        keep: bool = ...,
        but: str | None = ...,
        audience: Literal[True],
    ) -> Published: ...
    @overload
    async def publish(
        self,
        topic: str,
        data: Any,
        *,
        event: str | None = ...,
        key: str = ...,
        once: str | None = ...,
        keep: bool = ...,
        but: str | None = ...,
        audience: bool,
    ) -> str | Published: ...
    async def publish(
        self,
        topic: str,
        data: Any,
        *,
        event: str | None = None,
        key: str = "",
        once: str | None = None,
        keep: bool = True,
        but: str | None = None,
        audience: bool = False,
    ) -> str | Published:
        """Append one event to a topic; returns its id.

        Once it returns, the event is stored, as safely as the broker's engine does, and will reach
        every subscriber. Nobody's slowness is waited for. A checkpoint. Cancelled, it may be stored
        or not, unless the engine knows better.

        Args:
          topic: any text of up to 1024 bytes in which ``/`` separates segments, none of them ``*``
            or ``**``, the first not beginning with ``$``.
          data: as for ``stream.send``. It is encoded here, once.
          event: the event's name.
          key: of what this is the latest value, for subscribers with ``overflow="latest"``.
            Without, of the topic as a whole.
          once: any text of up to 1024 bytes, such as an order's number. For ``once_for`` seconds
            (see `open_broker`) the same one in the same topic appends nothing, whoever publishes
            it, and gives the first one's id again: publish once more what was cancelled or failed.
          keep: False hands the event to those who are at the head of the topic now, and to nobody
            else: it is in no history, has no id, and leaves no gap. Returns ``""``. A client that
            has no room for it, or is cut off, does not get it; an iterator has room for 256.
          but: the id of a stream that does not get it, its sender's mostly: `Stream.id`.
          audience: True returns a `Published`, which tells besides the id how many subscribers were
            there to hear of it, here and in other processes: an estimate, for which they are asked.

        Raises:
          TypeError, ValueError: the topic or the event cannot be what they are; nothing is stored.
          trio.ClosedResourceError: the broker is closed; nothing is stored.
          BrokerError: the engine could not store it, or cannot tell whether it did.
        """
        name, body = check_published(topic, key), body_of(data, event)
        if audience is not False:
            check_flag("audience", audience)
            publish = partial(
                self.publish, name, data, event=event, key=key, once=once, keep=keep, but=but
            )
            return await self._publisher.counting.published(name, publish)
        if once is None and but is None and keep is True:
            entry = Entry(name, body, key)
        else:
            entry = self._special(Entry(name, body, key), once, keep, but)
            if not keep:
                return await self._pass_on([entry])
        # As `Publisher.publish`, whose coroutine would be one more to wake up through: 0.4 of 8 us.
        self._feed.check_open()
        id = (await self.engine.append((entry,)))[0]
        if self._publisher.accepted(1, id):
            await self._publisher.wait_for_room()
        return str(id)

    async def publish_many(
        self,
        topic: str,
        values: Iterable[Any],
        *,
        event: str | None = None,
        key: str = "",
        once: str | None = None,
        keep: bool = True,
        but: str | None = None,
    ) -> list[str]:
        """Append several events to a topic at once, all or none; returns their ids.

        Much cheaper for each than `publish`. Subscribers get them in one write. Takes and raises
        what `publish` does; ``once`` is of all of them together, so publish the same ones with it:
        of a longer list the rest is appended.
        """
        check_several(values, "publish")
        name = check_published(topic, key)
        entries: Sequence[Entry] = [Entry(name, body_of(data, event), key) for data in values]
        if but is not None or keep is not True:
            entries = [self._special(entry, None, keep, but) for entry in entries]
        if once is not None:
            entries = self._known_together(entries, once, keep)
        if not entries:
            await self._check_open()
            return []
        if not keep:
            return [await self._pass_on(entries)] * len(entries)
        return list(map(str, await self._publisher.publish(entries)))

    async def find_once(self, topic: str, once: str) -> str | None:
        """The id of what was published to a topic with this ``once``, while that is known.

        None: nothing is stored under it. What is on its way still, from a process that was cut off
        or a publish that was cancelled, may come later: who publishes it again with the same
        ``once`` is sure.
        """
        check_topic(topic)
        check_name(once, "once")
        engine = full_engine(self.engine, "once=")
        await self._check_open()
        id = await engine.find_once(topic, once)
        return None if id is None else str(id)

    async def forget(self, topic: str, id: str | int | UnsetType = UNSET) -> bool:
        """Delete an event of a topic everywhere, or all that it has; whether there was any.

        Who comes back with an older id, or has still to read it, is told of a gap. What is on its
        way to a client goes out. With all of a topic, the keys of ``once`` are deleted, too.

        Args:
          id: of the event; left out, all of them go. None is refused, as it mostly stands for an id
            that was not found. What is no id of an event there is no error.

        Raises what `publish` does.
        """
        check_published(topic, "")
        engine = full_engine(self.engine, "forget")
        if id is UNSET:
            await self._check_open()
            return await engine.forget(topic, None)
        if isinstance(id, bool) or not isinstance(id, str | int):
            what = "an event's id: leave it out to delete all that the topic has"
            raise TypeError(f"id must be {what}, not {shown(id)}")
        number = parse_cursor(id)
        await self._check_open()
        return bool(number) and await engine.forget(topic, number)

    def _special(self, entry: Entry, once: str | None, keep: bool, but: str | None) -> Entry:
        """The entry with what few have; whatever is wrong is told, and what the engine has not."""
        special = special_entry(entry, once, keep, but, self._once_for)
        if once is not None:
            full_engine(self.engine, "once=")
        return special

    def _known_together(self, entries: Sequence[Entry], once: str, keep: bool) -> Sequence[Entry]:
        full_engine(self.engine, "once=")
        check_once(once, keep)
        return known_together(entries, once, self._once_for)

    async def _pass_on(self, entries: Sequence[Entry]) -> str:
        self._feed.check_open()
        await full_engine(self.engine, "keep=False").pass_on(entries)
        return ""

    async def _check_open(self) -> None:
        await trio.lowlevel.checkpoint()
        self._feed.check_open()
