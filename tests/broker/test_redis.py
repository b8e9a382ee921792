"""``redis://``: the contract, many processes, and a Redis that fails in every way."""

import itertools
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.redis_server import RedisServer, redis_server
from trio_stream import Stream
from trio_stream.broker import (
    Broker,
    ResumableRun,
    Subscription,
    TopicEvent,
    open_broker,
)
from trio_stream.broker.contract import engine as contract
from trio_stream.broker.presence import presence
from trio_stream.errors import BrokerUnavailableError, GapError
from trio_stream.testing import check_broker, connect

PROJECT = Path(__file__).parents[2]

SAFE = {"appendonly": "yes", "appendfsync": "always"}


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server() as running:
        yield running


@pytest.fixture
async def safe_server() -> AsyncIterator[RedisServer]:
    async with redis_server(**SAFE) as running:
        yield running


class Reader:
    """Collects what a subscription gives, gaps included, in a task of its own."""

    def __init__(self, broker: Broker, *topics: str, **options: Any) -> None:
        self._subscription = broker.subscribe(*topics, **options)
        self.events: list[TopicEvent] = []
        self.gaps = 0
        self._changed = trio.Event()

    async def run(self) -> None:
        while True:
            try:
                self.events.append(await anext(self._subscription))
            except GapError:
                self.gaps += 1
            self._changed.set()

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    async def until(self, id: str, within: float = 60) -> None:
        with trio.fail_after(within):
            while id not in self.ids:
                self._changed = trio.Event()
                await self._changed.wait()

    async def until_gap(self, count: int = 1, within: float = 60) -> None:
        with trio.fail_after(within):
            while self.gaps < count:
                self._changed = trio.Event()
                await self._changed.wait()


async def test_it_keeps_the_contract(server: RedisServer) -> None:
    numbers = itertools.count()
    await check_broker(
        lambda **options: open_broker(server.url, prefix=f"p{next(numbers)}", **options)
    )


async def test_it_keeps_the_contract_with_nothing_in_memory(server: RedisServer) -> None:
    numbers = itertools.count()
    await check_broker(
        lambda **options: open_broker(
            server.url, prefix=f"p{next(numbers)}", memory_bytes=1, **options
        )
    )


async def test_it_keeps_the_contract_with_the_rights_that_are_documented(
    server: RedisServer,
) -> None:
    text = (PROJECT / "docs/topics.md").read_text()
    [line] = re.findall(r"^(ACL SETUSER app .*?)\n```", text, re.DOTALL | re.MULTILINE)
    words = line.replace("~{trio_stream}:*", "~{p*}:*").split()
    if server.version < (7,):  # there are none such
        words = [word for word in words if not word.endswith("_ro")]
    assert await server.command(*words) == b"+OK\r\n"
    url = server.url.replace("//", "//app:password@")
    numbers = itertools.count()
    await check_broker(lambda **options: open_broker(url, prefix=f"p{next(numbers)}", **options))
    async with open_broker(f"{url[:-1]}1?client_name=web", prefix="p", max_topics=1) as broker:
        for topic in ("t", "u"):
            await broker.publish(topic, 1)
        await server.restart(user=" ".join(words[2:]))
        await broker.publish("t", 2)
    denied = re.findall(rb"object\r\n\$\d+\r\n(.*)\r\n", await server.command("ACL", "LOG"))
    assert set(denied) <= {b"client|setinfo"}  # by which coredis introduces itself, if it may


async def test_brokers_on_one_redis_are_one(server: RedisServer) -> None:
    async with open_broker(server.url) as a, open_broker(server.url) as b:
        readers = [Reader(broker, "t", "x/*") for broker in (a, b)]
        published: list[str] = []

        async def publisher(broker: Broker, topic: str) -> None:
            for n in range(100):
                published.append(await broker.publish(topic, n))

        async with trio.open_nursery() as nursery:
            for reader in readers:
                nursery.start_soon(reader.run)
            await trio.testing.wait_all_tasks_blocked()  # they have begun
            async with trio.open_nursery() as publishers:
                for broker, topic in ((a, "t"), (b, "t"), (b, "x/1"), (a, "x/2")):
                    publishers.start_soon(publisher, broker, topic)
            last = await a.publish("t", "last")
            for reader in readers:
                await reader.until(last)
            nursery.cancel_scope.cancel()
        wanted = sorted(published, key=int) + [last]
        assert [reader.ids for reader in readers] == [wanted, wanted]
        # What one gave, the other resumes.
        resumed = b.subscribe("t", "x/*", after=wanted[200])
        assert [(await anext(resumed)).id for _ in range(200)] == wanted[201:]


async def test_what_is_published_by_one_is_there_for_the_other_at_once(
    server: RedisServer,
) -> None:
    async with open_broker(server.url) as a, open_broker(server.url) as b:
        for n in range(50):
            id = await a.publish("t", n)
            assert (await anext(b.subscribe("t", after=str(int(id) - 1)))).data == str(n)
            # Its own reader may not have got that far: an id of the other's is no forgery.
            later = b.subscribe("t", after=id)
            following = await b.publish("t", "next")
            assert (await anext(later)).id == following


@pytest.mark.parametrize("kind", ["restart", "crash"])
async def test_nothing_acknowledged_is_lost_or_doubled_when_redis_restarts(
    safe_server: RedisServer, kind: str
) -> None:
    async with open_broker(safe_server.url) as broker, open_broker(safe_server.url) as other:
        readers = [Reader(broker, "t"), Reader(other, "t")]
        published: list[str] = []
        stop = False

        async def publisher(number: int) -> None:
            count = 0
            while not stop:
                published.append(await broker.publish("t", f"{number}/{count}"))
                count += 1

        async with trio.open_nursery() as nursery:
            for reader in readers:
                nursery.start_soon(reader.run)
            await trio.testing.wait_all_tasks_blocked()  # they have begun
            async with trio.open_nursery() as publishers:
                for number in range(5):
                    publishers.start_soon(publisher, number)
                for _ in range(2):
                    await trio.sleep(0.3)
                    if kind == "crash":
                        await safe_server.crash()
                        await safe_server.start()
                    else:
                        await safe_server.restart()
                await trio.sleep(0.5)
                stop = True
            last = await broker.publish("t", "last")
            for reader in readers:
                await reader.until(last)
            nursery.cancel_scope.cancel()
        for reader in readers:
            assert set(published) <= set(reader.ids)
            assert reader.ids == sorted(set(reader.ids), key=int)
            texts = [event.data for event in reader.events]
            assert len(texts) == len(set(texts))  # nothing was stored twice
            assert reader.gaps == 0
        assert broker.statistics().engine["connections"] >= 4


async def test_connections_that_are_cut_are_made_again(server: RedisServer) -> None:
    async with open_broker(server.url, history=100_000) as broker:
        reader = Reader(broker, "t")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.run)
            await trio.testing.wait_all_tasks_blocked()  # it has begun
            async with trio.open_nursery() as cutting:

                async def cut() -> None:
                    while True:
                        await server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                        await trio.sleep(0.05)

                cutting.start_soon(cut)
                published = [await broker.publish("t", n) for n in range(300)]
                cutting.cancel_scope.cancel()
            await reader.until(published[-1])
            nursery.cancel_scope.cancel()
        assert reader.ids == published
        assert [event.data for event in reader.events] == [str(n) for n in range(300)]


async def test_a_redis_that_hangs_is_waited_for(server: RedisServer) -> None:
    async with open_broker(server.url) as broker, open_broker(server.url, outage="raise") as hasty:
        reader = Reader(broker, "t")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.run)
            await broker.publish("t", "before")
            server.pause()
            published: list[str] = []

            async def publish() -> None:
                published.append(await broker.publish("t", "meanwhile"))

            nursery.start_soon(publish)
            with trio.fail_after(30):
                with pytest.raises(BrokerUnavailableError, match="does not answer"):
                    await hasty.publish("u", "in vain")
            await trio.sleep(4)
            assert published == []
            server.resume()
            last = await broker.publish("t", "after")
            await reader.until(last)
            assert [event.data for event in reader.events] == ["before", "meanwhile", "after"]
            await hasty.publish("u", "again")
            nursery.cancel_scope.cancel()


async def test_publishing_to_a_redis_that_is_down_is_cancellable_or_an_error(
    server: RedisServer,
) -> None:
    async with open_broker(server.url) as broker, open_broker(server.url, outage="raise") as hasty:
        await server.crash()
        with trio.move_on_after(0.3) as scope:
            await broker.publish("t", 1)
        assert scope.cancelled_caught
        with pytest.raises(BrokerUnavailableError):
            await hasty.publish("t", 1)
        with trio.move_on_after(0.3) as scope:
            await anext(hasty.subscribe("t", after="1"))
        assert scope.cancelled_caught
        await server.start()


async def test_a_loss_is_told_as_a_gap_to_everybody_and_ids_go_on(server: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        knowing = await stack.enter_async_context(open_broker(server.url))
        ignorant = await stack.enter_async_context(open_broker(server.url, prefix="other"))
        kept = await knowing.publish_many("t", ["kept"] * 3)
        await server.command("SAVE")
        lost = await knowing.publish_many("t", ["lost"] * 3)
        reader = Reader(knowing, "t", after=kept[0])
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(reader.run)
        await reader.until(lost[-1])
        await server.crash()
        await server.start()
        await reader.until_gap()
        new = await knowing.publish("t", "new")
        assert int(new) > int(lost[-1])
        await reader.until(new)
        assert reader.ids == kept[1:] + lost + [new]
        async with open_broker(server.url) as later:  # a process that knew nothing of it
            for after in (kept[1], lost[0]):
                with pytest.raises(GapError):
                    await anext(later.subscribe("t", after=after))
            following = await later.publish("t", "following")
            assert (await anext(later.subscribe("t", after=new))).id == following
        await ignorant.publish("t", "unharmed")
        nursery.cancel_scope.cancel()


async def test_a_redis_that_forgot_everything_is_a_gap(server: RedisServer) -> None:
    async with open_broker(server.url) as broker:
        old = await broker.publish("t", "old")
        reader = Reader(broker, "t", after="earliest")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.run)
            await reader.until(old)
            await server.crash()
            await server.start()
            await reader.until_gap()
            new = await broker.publish("t", "new")
            await reader.until(new)
            await server.command("FLUSHALL")
            newest = await broker.publish("t", "newest")
            await reader.until_gap(2)
            await reader.until(newest)
            nursery.cancel_scope.cancel()
        assert reader.ids == [old, new, newest]
        assert int(old) < int(new) < int(newest)
        with pytest.raises(GapError):
            await anext(broker.subscribe("t", after=old))


@pytest.mark.parametrize("key", ["t:t", "heads", "log"])
async def test_what_redis_evicts_is_a_gap(server: RedisServer, key: str) -> None:
    async with open_broker(server.url, memory_bytes=1) as broker:
        old = await broker.publish_many("t", range(3))
        await server.command("DEL", "{trio_stream}:t:t")
        await server.command("DEL", "{trio_stream}:" + key)
        new = await broker.publish("t", "new")
        assert int(new) > int(old[-1])
        subscription = broker.subscribe("t", after=old[0])
        with pytest.raises(GapError):
            await anext(subscription)
        assert (await anext(subscription)).id == new
        assert (await anext(broker.subscribe("t", after="earliest"))).id == new


async def test_an_error_of_redis_is_told_to_who_publishes(server: RedisServer) -> None:
    async with open_broker(server.url) as broker:
        await broker.publish("t", 1)
        await server.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(BrokerUnavailableError, match="Redis answered"):
            await broker.publish("t", 2)
        await server.command("CONFIG", "SET", "maxmemory", "0")
        last = await broker.publish("t", 3)
        subscription = broker.subscribe("t", after="earliest")
        assert [(await anext(subscription)).data for _ in range(2)] == ["1", "3"]
        assert int(last)


async def test_a_topic_whose_key_is_something_else_harms_no_other(server: RedisServer) -> None:
    async with open_broker(server.url) as broker:
        start = await broker.publish("good", "first")
        await server.command("SET", "{trio_stream}:t:bad", "something else")
        results: dict[str, str | BrokerUnavailableError] = {}

        async def publish(topic: str) -> None:
            try:
                results[topic] = await broker.publish(topic, "x")
            except BrokerUnavailableError as exc:
                results[topic] = exc

        batches = broker.statistics().engine["batches"]
        async with trio.open_nursery() as nursery:
            for topic in ("good", "bad", "better"):
                nursery.start_soon(publish, topic)
        assert broker.statistics().engine["batches"] == batches + 2
        assert "wrong kind" in str(results.pop("bad"))
        subscription = broker.subscribe("good", "better", after=start)
        assert {(await anext(subscription)).id for _ in range(2)} == set(results.values())


@pytest.mark.parametrize("key", ["live", "heads", "log", "t:t"])
async def test_a_publish_that_fails_for_a_key_that_is_something_else_leaves_nothing_behind(
    server: RedisServer, key: str
) -> None:
    async with open_broker(server.url, memory_bytes=1) as broker:
        await broker.publish("t", "before")
        key = "{trio_stream}:" + key
        await server.command("RENAME", key, "{trio_stream}:aside")
        await server.command("SET", key, "something else")
        with pytest.raises(BrokerUnavailableError, match="wrong kind"):
            await broker.publish("t", "in vain")
        await server.command("RENAME", "{trio_stream}:aside", key)
        await broker.publish("t", "after")
        subscription = broker.subscribe("t", after="earliest")
        assert [(await anext(subscription)).data for _ in range(2)] == ["before", "after"]


async def test_ids_go_on_after_what_a_topic_holds_whatever_became_of_the_log(
    server: RedisServer,
) -> None:
    async with open_broker(server.url) as broker:
        old = await broker.publish("t", "old")
        ahead = str(int(old) + 10**12)  # as if the clock had been right then, and late now
        fields = ("k", "", "e", "data: ahead\n\n", "m", f"{old}:100:0")
        await server.command("XADD", "{trio_stream}:t:t", f"{ahead}-0", *fields)
        await server.command("DEL", "{trio_stream}:log")
        new = await broker.publish("t", "new")
        assert int(new) > int(ahead)
        assert int(await broker.publish("u", "newer")) > int(new)


async def test_a_process_that_was_cut_off_for_too_long_reads_what_it_missed(
    server: RedisServer,
) -> None:
    async with (
        open_broker(server.url, live_events=10) as a,
        open_broker(server.url, live_events=10) as b,
    ):
        reader = Reader(b, "t")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.run)
            first = await a.publish("t", "first")
            await reader.until(first)
            engine: Any = b.engine
            take, engine._take = engine._take, lambda entries: None  # it hears nothing
            missed = await a.publish_many("t", ["x" * 10] * 500)
            await trio.sleep(0.2)
            engine._take = take
            last = await a.publish("t", "last")
            await reader.until(last)
            nursery.cancel_scope.cancel()
        assert reader.ids == [first, *missed, last]
        assert reader.gaps == 0


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0?db=x"])
async def test_no_redis_is_told_when_the_broker_is_opened(url: str) -> None:
    with pytest.raises((BrokerUnavailableError, ValueError)):
        async with open_broker(url):
            pass


async def test_a_wrong_password_is_told() -> None:
    async with redis_server(requirepass="right") as server:
        with pytest.raises(BrokerUnavailableError):
            async with open_broker(server.url):
                pass
        async with open_broker(server.url.replace("//", "//:right@")) as broker:
            await broker.publish("t", 1)


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (contract, presence):
        monkeypatch.setattr(module, "LEASE", 2.0)


async def words(stream: Stream, count: int = 10**6) -> list[str]:
    found = []
    async with connect(stream) as client:
        async for event in client.events():
            found.append(event.data if event.event == "message" else event.event)
            if len(found) == count:
                break
    return found


async def test_a_resumable_producer_runs_in_one_process_and_is_watched_in_others(
    server: RedisServer,
) -> None:
    runs = 0

    async def producer(run: ResumableRun) -> None:
        nonlocal runs
        runs += 1
        for n in range(20):
            await run.send(n)
            await trio.sleep(0.02)

    whole = [str(n) for n in range(20)] + ["done"]
    async with open_broker(server.url) as a, open_broker(server.url) as b:
        seen: list[list[str]] = []

        async def watch(broker: Broker) -> None:
            seen.append(await words(Stream(broker.resumable("answer", producer))))

        async with trio.open_nursery() as nursery:
            for broker in (a, b, a, b):
                nursery.start_soon(watch, broker)
        assert seen == [whole] * 4
        assert runs == 1
        assert await words(Stream(b.resumable("answer", None))) == whole


async def test_a_resumable_producer_is_stopped_from_elsewhere(server: RedisServer) -> None:
    async def producer(run: ResumableRun) -> None:
        await run.send("first")
        await trio.sleep_forever()

    async with (
        open_broker(server.url) as a,
        open_broker(server.url) as b,
        connect(Stream(a.resumable("answer", producer))) as client,
    ):
        await client.receive_event()
        assert await b.stop_resumable("answer")
        assert (await client.receive_event()).json() == {"reason": "stopped"}
        await client.read()


RUNNING = """
import sys, trio
from trio_stream import Stream
from trio_stream.broker import open_broker
from trio_stream.testing import connect

async def producer(run):
    await run.send("begun")
    await trio.sleep_forever()

async def main():
    async with open_broker(sys.argv[1]) as broker:
        stream = Stream(broker.resumable("answer", producer))
        here = Stream(broker.subscribe("room", presence="ann"))
        async with connect(stream) as client, connect(here):
            await client.receive_event()
            print("running", flush=True)
            await trio.sleep_forever()

import trio_stream.broker.contract.engine as contract
contract.LEASE = 1.0
trio.run(main)
"""


async def test_what_a_dead_process_held_lapses(
    server: RedisServer, tmp_path: Path, short_leases: None
) -> None:
    program = tmp_path / "running.py"
    program.write_text(textwrap.dedent(RUNNING))
    process = subprocess.Popen(
        [sys.executable, program, server.url],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    assert process.stdout is not None
    try:
        assert await trio.to_thread.run_sync(process.stdout.readline) == b"running\n"
        async with open_broker(server.url) as broker:
            news = broker.subscribe("$presence/room", after="earliest")
            assert (await anext(news)).event == "join"
            with trio.fail_after(60):
                await until_present(broker, "ann")  # a slow machine may have been late before
            async with connect(Stream(broker.resumable("answer", None))) as client:
                assert (await client.receive_event()).data == "begun"
                process.send_signal(signal.SIGKILL)
                with trio.fail_after(60):
                    event = await client.receive_event()
                    assert (event.event, event.json()) == ("failed", {"reason": "lost"})
                    await until_news(news, "leave")
                    await until_present(broker)
                await client.read()

            async def again(run: ResumableRun) -> None:
                await run.send("anew")

            assert await words(Stream(broker.resumable("answer", again))) == ["anew", "done"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_who_comes_during_an_outage_is_news_after_it(
    safe_server: RedisServer, short_leases: None
) -> None:
    async with (
        open_broker(safe_server.url) as broker,
        connect(Stream(broker.subscribe("room", presence="ann"))),
    ):
        news = broker.subscribe("$presence/room", after="earliest")
        assert (await anext(news)).json() == {"name": "ann"}
        await safe_server.crash()
        async with connect(Stream(broker.subscribe("room", presence="bob"))):
            await trio.sleep(0.5)
            await safe_server.start()
            with trio.fail_after(60):
                while (event := await anext(news)).json() != {"name": "bob"}:
                    pass  # a slow machine may have been late to say that ann is still there
                assert event.event == "join"
                while len(await broker.presence("room")) < 2:
                    await trio.sleep(0.05)
            assert [member.name for member in await broker.presence("room")] == ["ann", "bob"]


async def test_a_process_that_was_given_up_too_soon_says_who_is_present_again(
    server: RedisServer, short_leases: None
) -> None:
    async with (
        open_broker(server.url) as paused,
        open_broker(server.url) as other,
        connect(Stream(paused.subscribe("room", presence="ann"))),
    ):
        news = other.subscribe("$presence/room", after="earliest")
        assert (await anext(news)).event == "join"
        engine: Any = paused.engine
        call, engine._commands.call = engine._commands.call, cannot_be_reached
        with trio.fail_after(60):
            await until_news(news, "leave")
            await until_present(other)  # a slow machine may have been late before
        engine._commands.call = call
        with trio.fail_after(60):
            await until_news(news, "join")
            await until_present(other, "ann")


async def until_present(broker: Broker, *names: str) -> None:
    while [member.name for member in await broker.presence("room")] != [*names]:
        await trio.sleep(0.05)


async def until_news(news: Subscription, event: str) -> None:
    while (await anext(news)).event != event:
        pass


async def cannot_be_reached(*_: object) -> None:
    raise BrokerUnavailableError("this process is cut off")
