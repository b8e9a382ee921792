"""A Redis that is there, and refuses: what passes is waited for or raised, and said once."""

import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import coredis.exceptions
import pytest
import trio
from coredis.connection import TCPConnection, TCPLocation
from coredis.parser import Parser

from tests.support.need import unavailable
from tests.support.redis_server import RedisServer, redis_server
from trio_stream import Stream
from trio_stream.broker import Broker, open_broker
from trio_stream.broker.contract import Retention
from trio_stream.broker.presence import presence
from trio_stream.broker.redis import RedisEngine
from trio_stream.broker.redis.address import parse_address
from trio_stream.broker.redis.places import find_places
from trio_stream.broker.redis.wire import MovedError, RefusedError, Wire, translated
from trio_stream.broker.servers import link
from trio_stream.broker.servers.troubles import UnreachableError
from trio_stream.errors import BrokerUnavailableError, GapError
from trio_stream.testing import connect

SECRET = "-".join(("hidden", "one"))  # not to be found in the lines that a traceback shows
LOGIN = f"//:{SECRET}@"

TOPIC = "{trio_stream}:t:t"

KEPT = {"appendonly": "yes", "appendfsync": "always"}


class Warnings(logging.Handler):
    """What is said at WARNING and above, and whoever waits for it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self._changed = trio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self._changed.set()

    def with_word(self, word: str) -> list[str]:
        return [text for text in self.texts if word in text]

    async def until(self, word: str, count: int = 1) -> None:
        with trio.fail_after(60):
            while len(self.with_word(word)) < count:
                self._changed = trio.Event()
                await self._changed.wait()


@pytest.fixture
def warnings() -> Iterator[Warnings]:
    handler = Warnings()
    logging.getLogger("trio_stream").addHandler(handler)
    yield handler
    logging.getLogger("trio_stream").removeHandler(handler)


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server(**KEPT) as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_LONGEST_WAIT", 0.1)


async def texts(broker: Broker, count: int) -> list[str]:
    """What is kept of the topic, read from Redis."""
    with trio.fail_after(60):
        async with broker.subscribe("t", after="earliest") as events:
            return [(await anext(events)).data for _ in range(count)]


def need_refusing_scripts(server: RedisServer) -> None:
    if server.version < (7,):
        unavailable("in Redis 6 a script may write without replicas")


async def failure(broker: Broker, word: str) -> BrokerUnavailableError:
    """What a publish raises, as soon as it says this: at first it was just not there."""
    with trio.fail_after(60):
        while True:
            with pytest.raises(BrokerUnavailableError) as caught:
                await broker.publish("t", "in vain")
            if word in str(caught.value):
                return caught.value
            await trio.sleep(0.01)


# What refuses for a while, and how that ends.
PASSING = {
    "NOREPLICAS": (
        ("CONFIG", "SET", "min-replicas-to-write", "1"),
        ("CONFIG", "SET", "min-replicas-to-write", "0"),
    ),
    "read only": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
}


@pytest.mark.parametrize("reason", PASSING)
async def test_what_passes_is_waited_for_or_raised_and_said_once(
    server: RedisServer, warnings: Warnings, reason: str
) -> None:
    begin, end = PASSING[reason]
    if reason == "NOREPLICAS":
        need_refusing_scripts(server)
    async with (
        open_broker(server.url, memory_bytes=1) as broker,
        open_broker(server.url, outage="raise") as hasty,
    ):
        await broker.publish("t", "before")
        await server.command(*begin)
        with pytest.raises(BrokerUnavailableError, match=reason):
            await hasty.publish("t", "in vain")
        warnings.texts.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(broker.publish, "t", "meanwhile")
            await warnings.until(reason)
            assert await texts(broker, 1) == ["before"]
            await trio.sleep(0.5)  # there are more tries than warnings
            assert len(warnings.with_word(reason)) == 1
            assert warnings.with_word("works again") == []
            await server.command(*end)
            await warnings.until("works again")
        assert await texts(broker, 2) == ["before", "meanwhile"]
        assert len(warnings.with_word("works again")) == 1
        await hasty.publish("t", "after")


async def test_a_full_redis_is_no_outage(server: RedisServer, warnings: Warnings) -> None:
    async with open_broker(server.url, memory_bytes=1) as broker:
        await broker.publish("t", "before")
        await server.command("CONFIG", "SET", "maxmemory", "1")
        for _ in range(3):
            with pytest.raises(BrokerUnavailableError, match="OOM"):
                await broker.publish("t", "in vain")
        assert await texts(broker, 1) == ["before"]
        assert len(warnings.with_word("OOM")) == len(warnings.texts) == 1
        await server.command("CONFIG", "SET", "maxmemory", "0")
        await broker.publish("t", "after")
        assert len(warnings.with_word("works again")) == 1


REFUSING = {"OOM": ("maxmemory", "1"), "NOREPLICAS": ("min_replicas_to_write", "1")}


@pytest.mark.parametrize("reason", REFUSING)
async def test_one_that_has_restarted_and_refuses_can_be_read(
    server: RedisServer, warnings: Warnings, reason: str
) -> None:
    """Before anything is written the restart has to be, and that is refused as well."""
    name, value = REFUSING[reason]
    if reason == "NOREPLICAS":
        need_refusing_scripts(server)
    async with open_broker(server.url, outage="raise", memory_bytes=1) as broker:
        first = await broker.publish("t", "before")
        await server.restart(**{name: value})
        await warnings.until(reason)
        assert await texts(broker, 1) == ["before"]
        with pytest.raises(BrokerUnavailableError, match=reason):
            await broker.publish("t", "in vain")
        async with open_broker(server.url, outage="raise") as newcomer:
            assert await texts(newcomer, 1) == ["before"]
            with pytest.raises(BrokerUnavailableError, match=reason):
                await newcomer.publish("t", "in vain")
        # Nobody publishes, and it is known all the same when it is over.
        await server.command("CONFIG", "SET", name.replace("_", "-"), "0")
        await warnings.until("works again")
        assert int(await broker.publish("t", "after")) > int(first)
        assert await texts(broker, 2) == ["before", "after"]


async def test_a_new_range_of_ids_is_begun_before_anything_is_published(
    server: RedisServer,
) -> None:
    """Also by one whose connection was greeted when that was refused."""
    need_refusing_scripts(server)
    async with open_broker(server.url) as broker:
        first = await broker.publish("t", "before")
        await server.restart(min_replicas_to_write="1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(broker.publish, "t", "after")
            while not broker.statistics().engine["connected"]:
                await trio.sleep(0.01)
            assert await server.command("ZCARD", "{trio_stream}:cuts") == b":0\r\n"
            await server.command("CONFIG", "SET", "min-replicas-to-write", "0")
        [cut] = (await server.command("ZRANGE", "{trio_stream}:cuts", "0", "-1")).split()[2:]
        low, high = map(int, cut.split(b":"))
        assert low == int(first) < high < int(broker.last_id)


async def test_what_is_lost_is_not_read_over(server: RedisServer, warnings: Warnings) -> None:
    """While nothing can be written, and so not be told as lost, it is waited for."""
    need_refusing_scripts(server)
    async with open_broker(server.url, memory_bytes=1) as broker:
        await broker.publish("t", "kept")
        lost = await broker.publish("t", "lost")
        log = "{trio_stream}:log"
        await server.command("HSET", log, "last", str(int(lost) - 1))
        await server.restart(min_replicas_to_write="1")
        await warnings.until("NOREPLICAS")
        await trio.sleep(0.5)
        assert not broker.statistics().engine["connected"]
        await server.command("CONFIG", "SET", "min-replicas-to-write", "0")
        await warnings.until("works again")
        assert int(await broker.publish("t", "new")) > int(lost)


async def test_a_replica_is_no_place_to_open_a_broker_at(server: RedisServer) -> None:
    async with open_broker(server.url) as broker:
        await broker.publish("t", 1)
    async with redis_server(replicaof=f"127.0.0.1 {server.port}") as replica:
        await replica.process.wait_for_log("sync: Finished with success")
        with pytest.raises(BrokerUnavailableError, match="read only replica"):
            async with open_broker(replica.url):
                pass


async def test_of_a_primary_that_became_a_replica_only_history_is_read(
    server: RedisServer, warnings: Warnings
) -> None:
    await server.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    async with (
        open_broker(server.url, memory_bytes=1) as broker,
        redis_server(replicaof=f"127.0.0.1 {server.port}") as heir,
    ):
        await broker.publish("t", "before")
        await heir.process.wait_for_log("sync: Finished with success")
        while await server.command("XLEN", TOPIC) != await heir.command("XLEN", TOPIC):
            await trio.sleep(0.01)
        await heir.command("REPLICAOF", "NO", "ONE")
        async with open_broker(heir.url) as elsewhere:
            await elsewhere.publish("t", "elsewhere")
        await server.command("REPLICAOF", "127.0.0.1", str(heir.port))
        while await server.command("XLEN", TOPIC) != b":2\r\n":
            await trio.sleep(0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(broker.publish, "t", "after")
            await warnings.until("READONLY")
            assert await texts(broker, 2) == ["before", "elsewhere"]
            assert not broker.statistics().engine["connected"]
            await server.command("REPLICAOF", "NO", "ONE")
        assert await texts(broker, 3) == ["before", "elsewhere", "after"]


async def test_both_connections_are_to_one_redis(server: RedisServer) -> None:
    engine = RedisEngine(server.url, Retention())
    async with open_broker(engine) as broker, redis_server() as other:
        links: Any = (engine._commands, engine._reading)
        for link in links:
            link._connect = find_places(parse_address(other.url), "k").connect
        links[0].drop("as when Sentinel has named another primary")
        with trio.fail_after(60):
            while [link.connects for link in links] != [2, 2]:
                await trio.sleep(0.01)
        assert links[0].redis_run == links[1].redis_run
        events = broker.subscribe("t", after="earliest")
        id = await broker.publish("t", "there")
        with trio.fail_after(60):
            while (await next_of(events)) != id:
                pass
        assert await other.command("XLEN", TOPIC) == b":1\r\n"


async def next_of(events: Any) -> str | None:
    try:
        return str((await anext(events)).id)
    except GapError:
        return None


async def test_a_password_that_is_no_longer_right_is_said_without_it(
    server: RedisServer, warnings: Warnings
) -> None:
    await server.command("CONFIG", "SET", "requirepass", SECRET)
    url = server.url.replace("//", LOGIN)
    async with open_broker(url) as broker, open_broker(url, outage="raise") as hasty:
        await server.restart(requirepass="another")
        await warnings.until("WRONGPASS", count=2)
        error = await failure(hasty, "WRONGPASS")
        said = "".join(traceback.format_exception(error)) + "".join(warnings.texts)
        assert SECRET not in said
        async with trio.open_nursery() as nursery:
            nursery.start_soon(broker.publish, "t", 1)
            await server.restart(requirepass=SECRET)
        with trio.fail_after(60):
            while not hasty.statistics().engine["connected"]:
                await trio.sleep(0.01)
        await hasty.publish("t", 2)


async def test_arguments_of_an_unknown_command_are_not_repeated() -> None:
    """Redis repeats them, and the first command has the password. Valkey 9.1 says less."""
    async with redis_server(rename_command="HELLO NOHELLO", requirepass=SECRET) as server:
        with pytest.raises(BrokerUnavailableError, match=r"unknown command|NOAUTH") as caught:
            async with open_broker(server.url.replace("//", LOGIN)):
                pass
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__cause__ is None


async def test_a_greeting_that_is_refused_ends_nobody(server: RedisServer) -> None:
    """Publishers come upon connections that are being closed, again and again."""
    async with open_broker(server.url, outage="raise") as broker, trio.open_nursery() as nursery:
        outcomes: set[bool] = set()

        async def publish() -> None:
            while True:
                try:
                    await broker.publish("t", "x")
                    outcomes.add(True)
                except BrokerUnavailableError:
                    outcomes.add(False)
                await trio.sleep(0.001)

        for _ in range(20):
            nursery.start_soon(publish)
        await server.command("ACL", "SETUSER", "default", "-info")
        await server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await trio.sleep(1)
        await server.command("ACL", "SETUSER", "default", "+info")
        outcomes.clear()
        with trio.fail_after(60):
            while True not in outcomes:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("steps", range(12))
@pytest.mark.parametrize("how", ["given up", "cancelled"])
async def test_whenever_a_connection_ends_a_request_fails_by_our_error(
    server: RedisServer, how: str, steps: int
) -> None:
    there = TCPLocation("127.0.0.1", server.port)
    wire = Wire(TCPConnection(there), there)
    scope = trio.CancelScope()

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        with scope:
            await wire.run(task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        assert await wire.request(b"PING") == b"PONG"
        if how == "cancelled":
            scope.cancel()
        else:
            wire.give_up(UnreachableError("it is closed by the test"))
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        with pytest.raises(UnreachableError):
            await wire.request(b"PING")


@pytest.mark.parametrize("pause", [0, 0.0001, 0.001, 0.01])
async def test_a_connection_that_is_cut_at_any_moment_is_our_error(
    server: RedisServer, pause: float
) -> None:
    there = TCPLocation("127.0.0.1", server.port)
    wire = Wire(TCPConnection(there), there)

    async def ask_on() -> None:
        while True:
            await wire.request(b"PING")

    async def ask() -> None:
        with pytest.raises(UnreachableError):
            await ask_on()

    async with trio.open_nursery() as nursery:
        await nursery.start(wire.run)
        for _ in range(10):
            nursery.start_soon(ask)
        await trio.sleep(pause)
        await server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@pytest.mark.parametrize(
    ("answer", "kind", "passes"),
    [
        ("WRONGPASS invalid username-password pair", RefusedError, False),
        ("NOPERM User default has no permissions", RefusedError, False),
        ("LOADING Redis is loading the dataset in memory", UnreachableError, True),
        ("MASTERDOWN Link with MASTER is down", UnreachableError, True),
        ("CLUSTERDOWN The cluster is down", UnreachableError, True),
        ("TRYAGAIN Multiple keys request during rehashing", UnreachableError, True),
        ("NOAUTH Authentication required.", RefusedError, False),
        ("UNBLOCKED force unblock from blocking operation", UnreachableError, True),
        ("ERR max number of clients reached", UnreachableError, True),
        ("MOVED 8265 127.0.0.1:7001", MovedError, True),
        ("ASK 8265 127.0.0.1:7001", MovedError, True),
    ],
)
def test_what_redis_answers_by_what_can_be_done(
    answer: str, kind: type[Exception], passes: bool
) -> None:
    error = translated(Parser().parse_error(answer))
    assert type(error) is kind
    assert getattr(error, "passes", True) == passes
    assert kind is MovedError or answer.removeprefix("ERR ") in str(error)


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        ("OOM command not allowed", False),
        ("NOREPLICAS Not enough good replicas to write.", True),
        ("MISCONF Errors writing to the AOF file: No space left", True),
        ("BUSY Redis is busy running a script.", True),
        ("READONLY You can't write against a read only replica.", True),
        ("WRONGTYPE Operation against a key", False),
        ("NOTENTERED it has restarted", False),
    ],
)
@pytest.mark.parametrize(
    "form", ["{}", "{} script: 3e5, on @user_script:17.", "ERR Error running script (x): 3: -{}"]
)
def test_what_a_script_is_refused(answer: str, passes: bool, form: str) -> None:
    error = translated(Parser().parse_error(form.format(answer)))
    assert isinstance(error, RefusedError)
    assert (error.code, error.passes) == (answer.split()[0], passes)
    assert str(error) == f"Redis answered: {answer}"


@pytest.mark.parametrize(
    "error",
    [
        coredis.exceptions.ConnectionError("Connection lost!"),
        coredis.exceptions.InvalidResponse("what is that"),
        TimeoutError(),
        OSError("no route"),
        AssertionError(),
    ],
)
def test_whatever_else_happens_is_no_answer(error: Exception) -> None:
    assert type(translated(error)) is UnreachableError


async def test_history_is_read_while_writing_is_paused(server: RedisServer) -> None:
    if server.version < (7,):
        unavailable("Redis 6 does not know which scripts only read")
    async with open_broker(server.url, memory_bytes=1) as broker:
        await broker.publish("t", "kept")
        await server.command("CLIENT", "PAUSE", "60000", "WRITE")
        with trio.fail_after(30):
            assert await texts(broker, 1) == ["kept"]
            async with open_broker(server.url) as another:  # nothing has to be written for it
                assert await texts(another, 1) == ["kept"]
                assert await another.presence("t") == []
        await server.command("CLIENT", "UNPAUSE")
        await broker.publish("t", "after")


@pytest.mark.parametrize("somebody", [False, True])
async def test_presence_is_missed_only_where_somebody_is_present(
    server: RedisServer, warnings: Warnings, monkeypatch: pytest.MonkeyPatch, somebody: bool
) -> None:
    monkeypatch.setattr(presence, "LEASE", 0.3)
    async with open_broker(server.url) as broker, AsyncExitStack() as stack:
        if somebody:
            stream = Stream(broker.subscribe("room", presence="ann"))
            await stack.enter_async_context(connect(stream))
            with trio.fail_after(60):
                while not await broker.presence("room"):
                    await trio.sleep(0.01)
        await server.crash()
        await warnings.until("could not say who is present" if somebody else "refused")
        await trio.sleep(1)  # it is tried again, and again
        assert len(warnings.with_word("could not say who is present")) == somebody
        await server.start()
