"""What the tests of `test_sqlite_disk` run in a process whose disk hangs when they say so.

Each scenario takes the broker's URL and the file whose presence makes the disk hang, and reports in
lines of JSON.
"""

import json
import logging
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from time import perf_counter
from typing import ClassVar

import trio

from trio_stream import Broker, BrokerError, open_broker
from trio_stream.broker.sqlite import engine, watch


def report(what: str, **facts: object) -> None:
    sys.stdout.write(json.dumps({"what": what, **facts}) + "\n")
    sys.stdout.flush()


class Reported(logging.Handler):
    messages: ClassVar[list[str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        report("log", level=record.levelname, message=record.getMessage())
        self.messages.append(record.getMessage())


async def until_logged(words: str) -> None:
    while not any(words in message for message in Reported.messages):
        await trio.sleep(0.01)


@asynccontextmanager
async def hanging(flag: Path) -> AsyncIterator[None]:
    flag.touch()
    try:
        yield
    finally:
        flag.unlink(missing_ok=True)


async def within(seconds: float, what: str, function: Callable[[], Awaitable[object]]) -> None:
    begun = perf_counter()
    with trio.move_on_after(seconds) as scope:
        await function()
    report(what, cancelled=scope.cancelled_caught, seconds=perf_counter() - begun)


async def read(broker: Broker, last: str) -> list[str]:
    found = []
    async with broker.subscribe("t", after="earliest") as events:
        async for event in events:
            found.append(event.data)
            if event.id == last:
                return found
    raise AssertionError


async def deadlines(url: str, flag: Path) -> None:
    followed: list[str] = []

    async def follow(task_status: trio.TaskStatus[None]) -> None:
        async with broker.subscribe("t") as events:
            task_status.started()
            async for event in events:
                followed.append(event.data)

    async with open_broker(url, memory_bytes=1) as broker, trio.open_nursery() as nursery:
        await broker.publish("t", "first")
        await broker.publish("other", "the only one in memory")
        await nursery.start(follow)
        async with hanging(flag), trio.open_nursery() as publishers:

            def start(what: str, function: Callable[[], Awaitable[object]]) -> None:
                publishers.start_soon(within, 0.5, what, function)

            start("under way", lambda: broker.publish("t", "under way"))
            await trio.sleep(0.1)
            start("waiting", lambda: broker.publish("t", "waiting"))
            start("read", broker.subscribe("t", after="earliest").__anext__)
        last = await broker.publish("t", "last")
        report("events", found=await read(broker, last), followed=followed)
        nursery.cancel_scope.cancel()


async def told(url: str, flag: Path) -> None:
    async with open_broker(url) as broker:
        async with hanging(flag), trio.open_nursery() as nursery:
            nursery.start_soon(broker.publish, "t", "x")
            await until_logged("the disk has not answered")
            nursery.cancel_scope.cancel()
        await broker.publish("t", "y")
        await until_logged("the disk answers again")


async def closing(url: str, flag: Path) -> None:
    engine.CLOSE_TIMEOUT = 0.5

    async def publish(broker: Broker) -> None:
        try:
            await broker.publish("t", "unknown")
        except BrokerError as exc:
            report("publisher", message=str(exc))

    async with trio.open_nursery() as nursery:
        async with open_broker(url) as broker:
            await broker.publish("t", "stored")
            flag.touch()
            nursery.start_soon(publish, broker)
            await trio.sleep(0.2)
        report("closed", hangs=flag.exists())


async def at_random(url: str, flag: Path) -> None:
    acknowledged: dict[str, str] = {}
    cancelled: list[str] = []
    followed: list[str] = []

    async def publish(broker: Broker, name: int) -> None:
        for number in range(100):
            value = f"{name}.{number}"
            patience = random.choice([inf, random.uniform(0, 0.2), 0])
            with trio.move_on_after(patience) as scope:
                acknowledged[value] = await broker.publish("t", value)
            if scope.cancelled_caught:
                cancelled.append(value)
            if random.random() < 0.2:
                await trio.sleep(random.uniform(0, 0.05))

    async def follow(broker: Broker, *, task_status: trio.TaskStatus[None]) -> None:
        async with broker.subscribe("t", after="earliest") as events:
            task_status.started()
            async for event in events:
                followed.append(event.data)

    async def disturb() -> None:
        while True:
            await trio.sleep(random.uniform(0, 0.1))
            async with hanging(flag):
                await trio.sleep(random.uniform(0, 0.4))

    async with open_broker(url, history=10**6, history_bytes=10**9) as broker:
        async with trio.open_nursery() as nursery:
            await nursery.start(follow, broker)
            nursery.start_soon(disturb)
            async with trio.open_nursery() as publishers:
                for name in range(8):
                    publishers.start_soon(publish, broker, name)
            nursery.cancel_scope.cancel()
        last = await broker.publish("t", "last")
        report(
            "events",
            found=await read(broker, last),
            followed=followed,
            acknowledged=list(acknowledged),
            cancelled=cancelled,
        )


if __name__ == "__main__":
    logging.getLogger("trio_stream").addHandler(Reported())
    watch._LOOK, watch._STUCK = 0.1, 0.4
    _, scenario, url, flag = sys.argv
    trio.run(globals()[scenario], url, Path(flag))
