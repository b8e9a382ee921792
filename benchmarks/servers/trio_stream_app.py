"""This project, for `hypercorn --worker-class trio`.

`by_hand` answers the paths of topics without them, for comparison.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Literal

import trio

from benchmarks.servers import on_trio
from benchmarks.servers.asgi import App, Receive, Scope, Send
from benchmarks.servers.hub import Hub
from benchmarks.servers.workload import INTERVAL, now, quote
from trio_stream import Broker, Stream, open_broker

#: What a client may ask for.
CODINGS: tuple[Literal["gzip"], Literal["zstd"]] = ("gzip", "zstd")


async def tick(stream: Stream) -> None:
    while True:
        await stream.wait(INTERVAL)
        await stream.send(now())


async def quote_each(stream: Stream) -> None:
    while True:
        await stream.wait(INTERVAL)
        await stream.send(quote())


async def idle(stream: Stream) -> None:
    await trio.sleep_forever()


async def greet(stream: Stream) -> None:
    await stream.send(now())
    await trio.sleep_forever()


async def every_interval(publish: Callable[[], Awaitable[object]]) -> None:
    next_time = trio.current_time()
    while True:
        next_time += INTERVAL
        await trio.sleep_until(next_time)
        await publish()


class Topics:
    """A broker, and a publisher for each of its topics but the silent one."""

    broker: Broker

    def __init__(self) -> None:
        self._begin_flood = trio.Event()
        self._begin_quotes = trio.Event()
        self.routes: dict[str, Callable[[], App]] = {
            "/topic": lambda: Stream(self.broker.subscribe("stamps")),
            "/topic-flood": self._flooded,
            "/topic-idle": lambda: Stream(self.broker.subscribe("silence")),
            "/topic-json": self._quoted,
        }

    def _flooded(self) -> App:
        self._begin_flood.set()
        return Stream(self.broker.subscribe("numbers"))

    def _quoted(self) -> App:
        self._begin_quotes.set()
        return Stream(self.broker.subscribe("quotes"), compress=CODINGS)

    async def _quote(self) -> None:
        await self._begin_quotes.wait()
        await every_interval(lambda: self.broker.publish("quotes", quote()))

    async def publish_forever(self) -> None:
        async with open_broker("memory://") as self.broker, trio.open_nursery() as nursery:
            nursery.start_soon(every_interval, lambda: self.broker.publish("stamps", now()))
            nursery.start_soon(self._quote)
            await self._begin_flood.wait()
            for number in count(1):
                await self.broker.publish("numbers", number)


class ByHand:
    """The same without a broker."""

    def __init__(self) -> None:
        self._stamps, self._numbers = Hub(), Hub()
        self._begin_flood = trio.Event()
        self.routes: dict[str, Callable[[], App]] = {
            "/fanout": lambda: self._stamps.subscriber,
            "/topic": lambda: self._stamps.subscriber,
            "/topic-flood": self._flooded,
            "/topic-idle": lambda: Stream(idle),
        }

    def _flooded(self) -> App:
        self._begin_flood.set()
        return self._numbers.subscriber

    async def _publish(self) -> None:
        self._stamps.publish(now())

    async def publish_forever(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(every_interval, self._publish)
            await self._begin_flood.wait()
            for number in count(1):
                self._numbers.publish(number)
                await trio.lowlevel.checkpoint()


def make_app(*publishers: Topics | ByHand) -> App:
    routes: dict[str, Callable[[], App]] = {
        "/flood": lambda: Stream(on_trio.words()),
        "/ticks": lambda: Stream(tick),
        "/ticks-json": lambda: Stream(quote_each, compress=CODINGS),
        "/idle": lambda: Stream(idle),
        "/crowd": lambda: Stream(greet),
    }
    for publisher in publishers:
        routes |= publisher.routes

    async def publish_forever() -> None:
        async with trio.open_nursery() as nursery:
            for publisher in publishers:
                nursery.start_soon(publisher.publish_forever)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await on_trio.lifespan(receive, send, publish_forever)
        else:
            await routes[scope["path"]]()(scope, receive, send)

    return app


app = make_app(ByHand(), Topics())
by_hand = make_app(ByHand())
