"""Publishing where there is no Trio run: `publisher`, the command line, and `publish_app`."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

import trio_stream
from tests.support.redis_server import RedisServer, redis_server
from trio_stream import Retention, open_broker, publish_app
from trio_stream.__main__ import main
from trio_stream.broker.contract.records import Entry, Once
from trio_stream.broker.sqlite import outside as sqlite_outside
from trio_stream.broker.sqlite.desk import Request, ask
from trio_stream.broker.sqlite.network import network_of
from trio_stream.errors import (
    BrokerError,
    BrokerInUseError,
    BrokerStorageError,
    BrokerUnavailableError,
)
from trio_stream.testing import connect

PROJECT = Path(__file__).parents[2]

#: Nothing, in more lists than can be read.
NESTED = msgspec.Raw(b"\x91" * 10_000 + b"\xc0")


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server() as running:
        yield running


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/log.db"


async def from_outside(function: Any, *args: Any, **options: Any) -> Any:
    return await trio.to_thread.run_sync(partial(function, *args, **options))


def publish_all(url: str, **options: Any) -> list[str]:
    """One of each."""
    with trio_stream.publisher(url, **options) as topics:
        ids = [topics.publish("t", {"n": 1}, event="e", key="k", but="a stream", once="x")]
        ids += topics.publish_many("t", [2, 3])
        ids += [topics.publish("t", "typing", keep=False), topics.publish("t", 4, once="x")]
        assert topics.publish_many("t", []) == []
    return ids


async def test_without_a_server_it_writes_to_the_file(url: str) -> None:
    ids = await from_outside(publish_all, url)
    assert ids == [*map(str, range(int(ids[0]), int(ids[0]) + 3)), "", ids[0]]
    async with open_broker(url) as broker:
        page = await broker.read("t")
        assert [event.id for event in page.events] == ids[:3]
        first = page.events[0]
        assert (first.event, first.json(), first.but) == ("e", {"n": 1}, "a stream")
        assert int(await broker.publish("t", 5)) > int(ids[2])
        assert await broker.publish("t", 6, once="x") == ids[0]


@pytest.mark.parametrize("engine", ["sqlite", "redis"])
async def test_it_disconnects_a_principal(engine: str, url: str, request: Any) -> None:
    def disconnect(principal: str | int) -> None:
        with trio_stream.publisher(url) as topics:
            topics.disconnect(principal, refuse_for=60)

    async with AsyncExitStack() as stack:
        if engine == "redis":
            url = (await stack.enter_async_context(redis_server())).url
        await stack.enter_async_context(open_broker(url))
        async with trio_stream.Stream(principal=17) as stream:
            await from_outside(disconnect, "17")
            with trio.fail_after(60):
                assert [chunk async for chunk in stream.value] == []
            assert stream.outcome == "revoked"
        async with connect(trio_stream.Stream([], principal=17)) as client:
            assert client.status == 403


async def test_it_keeps_what_it_is_told_to(url: str) -> None:
    def publish() -> None:
        with trio_stream.publisher(url, history=3, retention={"u": Retention(events=2)}) as topics:
            for topic in ("t", "u"):
                topics.publish_many(topic, range(9))

    await from_outside(publish)
    async with open_broker(url) as broker:
        assert [len((await broker.read(topic)).events) for topic in ("t", "u")] == [3, 2]


async def test_an_open_broker_is_asked(url: str, tmp_path: Path) -> None:
    async with open_broker(url, history=100) as broker:
        before = await broker.publish("t", 0)
        async with broker.subscribe("t") as events:
            found: list[tuple[str, str]] = []

            async def collect() -> None:
                async for event in events:
                    found.append((event.id, event.data))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(collect)
                await trio.testing.wait_all_tasks_blocked()
                ids = await from_outside(publish_all, url)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        texts = ['{"n":1}', "2", "3", "typing"]
        assert found == list(zip(ids[:4], texts, strict=True))
        assert int(ids[0]) > int(before)
        assert ids[4] == ids[0]
        desk = tmp_path / "log.db-desk"
        assert desk.stat().st_mode & 0o777 == (tmp_path / "log.db").stat().st_mode & 0o666
    assert [path.name for path in tmp_path.iterdir()] == ["log.db"]


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [Entry("t", b"data\n\n", once=Once("", 1.0))],
        [Entry("t", b"data\n\n", once=Once("x", -1.0))],
        [Entry("t", b"data\n\n", once=Once("x", float("nan")))],
        [Entry("t", b"data\n\n", but="x" * 2000)],
        [Entry("t", b"data\n\n", "k" * 2000)],
        [{"topic": "t", "body": b"data\n\n", "other": NESTED}],
    ],
    ids=["none", "no key", "time ago", "no time", "long but", "long key", "nested"],
)
async def test_what_no_publisher_asks_is_refused_and_ends_nobody(
    url: str, tmp_path: Path, entries: Any
) -> None:
    async with open_broker(url) as broker:
        path = str(tmp_path / "log.db")
        with pytest.raises((ValueError, BrokerError)):
            await from_outside(ask, path, Request("append", entries), 5.0)
        assert await from_outside(ask, path, Request("append", [Entry("t", b"data\n\n")]), 5.0)
        assert len((await broker.read("t")).events) == 1


async def test_a_file_in_the_place_of_the_socket_is_left_alone(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "log.db-desk"
    other.write_text("somebody's")
    async with open_broker(url):
        assert "nobody outside can publish" in caplog.text
    assert other.read_text() == "somebody's"


async def test_an_answer_that_is_none_is_told_as_such(url: str, tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            with trio.socket.socket(trio.socket.AF_UNIX) as sock:
                await sock.bind(str(tmp_path / "log.db-desk"))
                sock.listen()
                topics = trio_stream.publisher(url)

                async def ask_it() -> None:
                    with pytest.raises(BrokerUnavailableError, match="it may be stored or not"):
                        await from_outside(topics.publish, "t", 1)

                nursery.start_soon(ask_it)
                other, _ = await sock.accept()
                with other:
                    assert await other.recv(2**16)
                    await other.send(b"\0\0\0\1\xc1")


async def test_many_publishers_and_a_server_that_comes_and_goes(url: str) -> None:
    given: list[str] = []

    def publish(n: int) -> None:
        with trio_stream.publisher(url) as topics:
            for k in range(10):
                while True:
                    try:
                        given.append(topics.publish(f"t/{n}", k, once=f"{n}/{k}"))
                        break
                    except BrokerUnavailableError:  # the server went before it could answer
                        pass

    async with trio.open_nursery() as nursery:
        for n in range(3):
            nursery.start_soon(from_outside, publish, n)
        for _ in range(3):
            async with open_broker(url) as broker:
                await broker.publish("t/server", "x")
            await trio.sleep(0.01)
    async with open_broker(url) as broker:
        events = (await broker.read("t/*")).events
    kept = [event.id for event in events if event.topic != "t/server"]
    assert sorted(given, key=int) == kept
    for n in range(3):
        assert [e.data for e in events if e.topic == f"t/{n}"] == list(map(str, range(10)))


async def test_what_a_killed_server_has_left_does_no_harm(url: str, tmp_path: Path) -> None:
    program = (
        "import sys, trio, os, trio_stream\n"
        "async def main():\n"
        "    async with trio_stream.open_broker(sys.argv[1]) as broker:\n"
        "        await broker.publish('t', 1)\n"
        "        os.kill(os.getpid(), 9)\n"
        "trio.run(main)\n"
    )
    done = await trio.run_process([sys.executable, "-c", program, url], check=False, cwd=PROJECT)
    assert done.returncode == -9
    assert (tmp_path / "log.db-desk").exists()
    ids = await from_outside(publish_all, url)
    async with open_broker(url) as broker:
        await from_outside(publish_all, url)
        assert len((await broker.read("t")).events) == 1 + 3 + 2
        assert int(ids[0]) > 0


async def test_several_are_published_once_together(url: str) -> None:
    def publish() -> list[str]:
        with trio_stream.publisher(url) as topics:
            with pytest.raises(ValueError, match="once= is for what is kept"):
                topics.publish_many("t", [1], once="k", keep=False)
            return topics.publish_many("t", [1, 2, 3], once="k")

    ids = await from_outside(publish)
    assert await from_outside(publish) == ids
    async with open_broker(url) as broker:
        assert await from_outside(publish) == ids
        assert await broker.publish_many("t", [1, 2, 3], once="k") == ids
        assert [event.id for event in (await broker.read("t")).events] == ids


async def test_a_second_worker_is_told_what_to_use(url: str) -> None:
    async with open_broker(url):
        with pytest.raises(BrokerInUseError, match="start one worker, or use redis://; to publish"):
            async with open_broker(url):
                pass


MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:50 / /srv/shared\040files rw master:2 - nfs4 host:/export rw,vers=4.2
31 30 8:2 / /srv/shared\040files/local rw - xfs /dev/sdb1 rw
32 22 0:51 / /mnt rw - ext4 /dev/sdc1 rw
33 22 0:52 / /mnt rw - cifs //host/share rw
34 22 0:53 / /srv2 rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/shared files/log.db", "nfs4"),
        ("/srv/shared files/local/x/log.db", None),
        ("/srv/shared/log.db", None),
        ("/mnt/log.db", "cifs"),
        ("/srv2/log.db", None),
        ("relative.db", None),
    ],
)
def test_a_network_file_system_is_known(path: str, kind: str | None) -> None:
    assert network_of(path, MOUNTS) == kind


async def test_on_a_network_file_system_nothing_is_written(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_outside, "network_of", lambda path: "nfs4")
    with pytest.raises(BrokerStorageError, match=r"network file system \(nfs4\).*publish_app"):
        await from_outside(publish_all, url)
    assert [*tmp_path.iterdir()] == []
    async with open_broker(url):  # its own machine's publishers ask it
        await from_outside(publish_all, url)


async def test_on_redis_it_is_one_more_publisher(server: RedisServer) -> None:
    async with open_broker(server.url, prefix="p") as broker:
        # It reads nothing, so it has one connection; the broker has two, and this question one.
        topics = await from_outside(trio_stream.publisher, server.url, prefix="p")
        clients = await server.command("CLIENT", "LIST")
        assert clients.count(b" name=") == 4
        await from_outside(topics.close)
        before = await broker.publish("t", 0)
        ids = await from_outside(publish_all, server.url, prefix="p")
        events = (await broker.read("t", after=before)).events
        assert [event.id for event in events] == ids[:3]
        assert (events[0].but, ids[3], ids[4]) == ("a stream", "", ids[0])
        assert await broker.publish("t", "x", once="x") == ids[0]


async def test_a_redis_that_is_not_there_is_told() -> None:
    with pytest.raises(BrokerUnavailableError, match="Unable to establish a connection"):
        await from_outside(trio_stream.publisher, "redis://127.0.0.1:1")


async def test_a_publisher_says_how_it_is_used(url: str) -> None:
    topics = trio_stream.publisher(url)
    with pytest.raises(RuntimeError, match="use open_broker here"):
        topics.publish("t", 1)
    topics.close()
    topics.close()
    with pytest.raises(trio.ClosedResourceError):
        await from_outside(topics.publish, "t", 1)
    with pytest.raises(ValueError, match="memory:// is of one process"):
        trio_stream.publisher("memory://")
    with pytest.raises(ValueError, match="no publisher has the URL"):
        trio_stream.publisher("mysql://x")
    with pytest.raises(TypeError, match="has no option prefix"):
        trio_stream.publisher(url, prefix="x")


async def test_a_forked_process_is_told(server: RedisServer) -> None:
    topics = await from_outside(trio_stream.publisher, server.url)
    topics._way._process = os.getpid() + 1
    with pytest.raises(RuntimeError, match="make one in each process"):
        await from_outside(topics.publish, "t", 1)
    topics._way._process = os.getpid()
    await from_outside(topics.close)
    topics._closed = False
    with pytest.raises(trio.ClosedResourceError):
        await from_outside(topics.publish, "t", 1)


def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trio_stream", "publish", *arguments]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, cwd=PROJECT, check=False, timeout=60
    )


async def test_the_command_line(url: str) -> None:
    async with open_broker(url) as broker:
        first = await from_outside(run, url, "t", "hello", "--event", "e", "--once", "k")
        again = await from_outside(run, url, "t", text="from standard input\n")
        same = await from_outside(run, url, "t", "-", "--once", "k", text="not published")
        assert (first.returncode, first.stderr) == (0, "")
        assert same.stdout == first.stdout
        events = (await broker.read("t")).events
        assert [event.id for event in events] == [first.stdout.strip(), again.stdout.strip()]
        assert [event.data for event in events] == ["hello", "from standard input\n"]
        wrong = await from_outside(run, url, "a/*", "x")
        assert wrong.returncode == 2
        assert "is a pattern" in wrong.stderr
        assert "Traceback" not in wrong.stderr
        half = await from_outside(run, url, "t", "x", "-o", "once_for=0.5", "--once", "y")
        assert (half.returncode, half.stderr) == (0, "")
        wrong = await from_outside(run, url, "t", "x", "-o", "prefix=shop")
        assert "it is for redis://" in wrong.stderr


async def test_it_publishes_what_is_posted() -> None:
    asked: list[tuple[str, str]] = []

    async def authorize(scope: Any, topic: str) -> bool:
        asked.append((scope["path"], topic))
        return topic != "secret" and (b"authorization", b"yes") in scope["headers"]

    headers = {"authorization": "yes"}
    async with open_broker() as broker:
        app = publish_app(broker, authorize=authorize, max_bytes=100)

        async def said(body: bytes, query: Any = "", **options: Any) -> tuple[int, Any]:
            given = {"headers": headers, "method": "POST", **options}
            async with connect(app, body=body, query=query, **given) as client:
                return client.status, json.loads(await client.read())

        status, answer = await said(b'{"topic": "t", "data": {"n": 1}, "event": "e", "once": "k"}')
        assert status == 200
        assert await said(b"as it is \xc3\xa4", {"topic": "t", "once": "k"}) == (200, answer)
        assert (await said(b"as it is \xc3\xa4", {"topic": "t"}))[0] == 200
        assert await said(b"x", {"topic": "t", "keep": "false"}) == (200, {"id": ""})
        page = await broker.read("**")
        assert [event.data for event in page.events] == ['{"n":1}', "as it is ä"]
        assert page.events[0].id == answer["id"]
        for body, query, options, status in (
            (b"x", {"topic": "secret"}, {}, 403),
            (b"x", {"topic": "t"}, {"headers": {}}, 403),
            (b"x", {"topic": "a/*"}, {}, 400),
            (b"x", {"topic": "t", "data": "y"}, {}, 400),
            (b"x", "topic=secret&topic=t", {}, 400),
            (b"x", "topic=t%ff", {}, 400),
            (b"x", "", {}, 400),
            (b'{"topic": "t"}', "", {}, 400),
            (b'{"topic": "t", "data": 1, "other": 1}', "", {}, 400),
            (b"\xff", {"topic": "t"}, {}, 400),
            (b"x" * 101, {"topic": "t"}, {}, 413),
            (b"", {"topic": "t"}, {"method": "GET"}, 405),
        ):
            found, answer = await said(body, query, **options)
            assert (found, [*answer]) == (status, ["error"]), answer
        assert len((await broker.read("**")).events) == 2
        broker._feed.close()
        assert (await said(b"x", {"topic": "t"}))[0] == 503
    assert asked[0] == ("/", "t")


async def test_what_is_nested_too_deep_is_a_bad_request() -> None:
    async with open_broker() as broker:
        app = publish_app(broker, authorize=lambda scope, topic: True)
        body = b'{"topic": "t", "data": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"
        async with connect(app, method="POST", body=body) as client:
            assert client.status == 400
            assert "nested too deep" in (await client.read()).decode()


@pytest.mark.parametrize("says", [False, None, 1, "yes", object()])
async def test_nothing_but_true_lets_anybody_publish(says: Any) -> None:
    async with open_broker() as broker:
        app = publish_app(broker, authorize=lambda scope, topic: says)
        async with connect(app, method="POST", body=b"x", query={"topic": "t"}) as client:
            assert client.status == 403
        assert (await broker.read("**")).events == []
        with pytest.raises(TypeError, match="authorize"):
            publish_app(broker)  # type: ignore[call-arg]


async def test_who_may_not_publish_is_told_before_his_body_is_read() -> None:
    """It may be long, and slow."""
    asked: list[str] = []

    def authorize(scope: Any, topic: str) -> bool:
        asked.append(topic)
        return topic == "open"

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    async def post(query: bytes) -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "headers": [],
            "query_string": query,
        }
        await app(scope, receive, send)
        return sent

    async with open_broker() as broker:
        app = publish_app(broker, authorize=authorize)
        assert (await post(b"topic=secret"))[0]["status"] == 403
        with pytest.raises(AssertionError, match="the body was read"):
            await post(b"topic=open")
        assert asked == ["secret", "open"]


@pytest.mark.parametrize("how", ["publish", "pass on"])
async def test_a_path_too_long_for_a_socket_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    folder = tmp_path / ("a" * 120)
    folder.mkdir()
    url = f"sqlite:///{folder}/log.db"
    monkeypatch.setattr(sqlite_outside, "_PATIENCE", 0.1)
    with trio_stream.publisher(url) as topics:
        assert await from_outside(topics.publish, "t", "where nobody has it, it needs none")
        async with open_broker(url) as broker:
            [record] = [record for record in caplog.records if record.levelname == "WARNING"]
            assert "the address of the socket beside it would be of" in record.getMessage()
            assert "shorter path" in record.getMessage()
            assert len((await broker.read("t")).events) == 1
            with pytest.raises(BrokerInUseError, match=r"cannot be asked: .* shorter path"):
                await from_outside(topics.publish, "t", 1, keep=how == "publish")


def test_on_the_command_line_options_that_exclude_each_other_are_told_by_their_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["publish", "sqlite:///nowhere/log.db", "t", "x", "--once", "k", "--no-keep"])
    assert "--no-keep: not allowed with argument --once" in capsys.readouterr().err


async def test_on_the_command_line_a_text_is_a_text() -> None:
    async with redis_server() as server, open_broker(server.url, prefix="2024") as broker:
        done = await from_outside(
            run, server.url, "t", "x", "-o", "prefix=2024", "-o", "history=10000"
        )
        assert (done.returncode, done.stderr) == (0, "")
        with trio.fail_after(60):
            while [event.data for event in (await broker.read("t")).events] != ["x"]:
                await trio.sleep(0.01)


WITHOUT = """
import sys
sys.modules["coredis"] = sys.modules["psycopg"] = None
import trio, trio_stream
from trio_stream.__main__ import main

async def open_broker(url):
    async with trio_stream.open_broker(url):
        pass

for url in sys.argv[1:]:
    for act in trio_stream.publisher, lambda url: trio.run(open_broker, url):
        try:
            act(url)
        except ImportError as exc:
            print(exc)
print(main(["migrate", "--sql"]), file=sys.stderr)
"""


def test_what_is_to_be_installed_is_said_alike_wherever_it_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "valkey://h", "postgres://h/d"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    redis = "coredis: trio-stream[redis]"
    postgres = "psycopg, trio-stream[postgres], and libpq: the system's, or that of psycopg[binary]"
    assert done.stdout.splitlines() == [
        f"a valkey:// publisher needs {redis}",
        f"a valkey:// broker needs {redis}",
        f"a postgres:// publisher needs {postgres}",
        f"a postgres:// broker needs {postgres}",
    ]
    assert done.stderr == f"trio-stream: migrate needs {postgres}\n1\n"
