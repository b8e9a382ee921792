"""Who was present through a process that was killed, and had the log to itself."""

from pathlib import Path

import pytest
import trio

from trio_stream import Broker, Stream, open_broker, presence_topic
from trio_stream.broker.contract import Entry
from trio_stream.broker.contract.entries import body_of
from trio_stream.testing import connect

NEWS = presence_topic("room")


async def news(broker: Broker) -> list[tuple[str, str]]:
    page = await broker.read(NEWS)
    return [(event.event, event.json()["name"]) for event in page.events]


async def come(broker: Broker, topic: str, name: str) -> None:
    async with connect(Stream(broker.subscribe(topic, presence=name), hold_headers=False)):
        while name not in [member.name for member in await broker.presence(topic)]:
            await trio.sleep(0.001)


async def until(broker: Broker, wanted: list[tuple[str, str]]) -> None:
    with trio.fail_after(60):
        while await news(broker) != wanted:
            await trio.sleep(0.001)


@pytest.fixture
async def killed(tmp_path: Path) -> str:
    """A log as it is when its process was killed while ann was present, and bob had been."""
    url, copy = f"sqlite:///{tmp_path}/log.db", f"{tmp_path}/copy.db"
    async with open_broker(url, presence_grace=0) as broker:
        subscription = broker.subscribe("room", presence="ann")
        async with connect(Stream(subscription, hold_headers=False)):
            await until(broker, [("join", "ann")])
            await come(broker, "room", "bob")
            await until(broker, [("join", "ann"), ("join", "bob"), ("leave", "bob")])
            await broker.engine.backup(copy)  # type: ignore[attr-defined]
    return f"sqlite:///{copy}"


LEFT = [("join", "ann"), ("join", "bob"), ("leave", "bob"), ("leave", "ann")]


async def test_who_does_not_come_back_has_left(killed: str) -> None:
    async with open_broker(killed, presence_grace=0.01) as broker:
        await until(broker, LEFT)
    async with open_broker(killed, presence_grace=0) as broker:
        await come(broker, "room", "eve")
        await until(broker, [*LEFT, ("join", "eve"), ("leave", "eve")])


async def test_who_comes_back_in_time_has_not(killed: str) -> None:
    async with open_broker(killed, presence_grace=1000) as broker:
        await come(broker, "room", "ann")
        assert await news(broker) == [*LEFT[:-1], ("join", "ann")]
    async with open_broker(killed) as broker:  # which ended in order
        await come(broker, "other", "eve")
        assert await news(broker) == [*LEFT[:-1], ("join", "ann"), ("leave", "ann")]


async def test_where_nobody_was_there_is_nobody_to_look_for(tmp_path: Path) -> None:
    """Nor where all have left as a broker was closed: nothing is read of what is kept."""
    url = f"sqlite:///{tmp_path}/log.db"
    for _ in range(2):
        async with open_broker(url) as broker:
            await come(broker, "room", "ann")
    async with open_broker(url) as broker:
        # What a process has told that is killed now, but that nobody was to be looked for.
        await broker.engine.append([Entry(NEWS, body_of({"name": "joe"}, "join"))])
    async with open_broker(url, presence_grace=0) as broker:
        await come(broker, "other", "eve")
        assert (await news(broker))[-1] == ("join", "joe")


async def test_it_is_looked_also_where_it_was_too_long_ago_that_the_first_came(
    tmp_path: Path,
) -> None:
    """Of a process that ran for longer than its log is kept nothing says any more that it began."""
    url = f"sqlite:///{tmp_path}/log.db"
    async with open_broker(url) as broker:
        await broker.engine.append([Entry(NEWS, body_of({"name": "joe"}, "join"))])
    async with open_broker(url, presence_grace=0) as broker:
        await until(broker, [("join", "joe"), ("leave", "joe")])


async def test_one_that_is_killed_before_it_has_looked_leaves_that_to_the_next(
    killed: str, tmp_path: Path
) -> None:
    copy = f"{tmp_path}/again.db"
    async with open_broker(killed, presence_grace=1000) as broker:
        await broker.engine.backup(copy)  # type: ignore[attr-defined]
    async with open_broker(f"sqlite:///{copy}", presence_grace=0) as broker:
        await until(broker, LEFT)


async def test_what_is_no_news_is_read_over(killed: str) -> None:
    async with open_broker(killed, presence_grace=1000) as broker:
        for body in ("no JSON", [], {"name": 5}):
            await broker.engine.append([Entry(NEWS, body_of(body, "join"))])
        await broker.engine.backup(f"{killed[10:]}-2")  # type: ignore[attr-defined]
    async with open_broker(f"{killed}-2", presence_grace=0) as broker:
        with trio.fail_after(60):
            while (await broker.read(NEWS, last=1)).events[0].event != "leave":
                await trio.sleep(0.001)
