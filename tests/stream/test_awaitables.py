"""Awaitables of sources: awaited inside the stream, before the headers go out."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER, blocking_numbers, channel, data_of, numbers
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.testing import connect
from trio_stream.transport.memory import MemoryConnection

Clock = trio.testing.MockClock


SOURCES: list[Callable[[], Any]] = [numbers, blocking_numbers, channel, lambda: [1, 2]]


@pytest.mark.parametrize("make", SOURCES, ids=["async", "blocking", "channel", "list"])
async def test_awaitables_of_all_sources(make: Callable[[], Any]) -> None:
    async def find() -> Any:
        await trio.lowlevel.checkpoint()
        return make()

    assert await data_of(Stream(find())) == ["1", "2"]


async def test_an_awaitable_of_a_receive_stream() -> None:
    async def find() -> trio.abc.ReceiveStream:
        send, receive = trio.testing.memory_stream_one_way_pair()
        await send.send_all(b"text")
        await send.aclose()
        return receive

    assert await data_of(Stream(find())) == ["text"]


async def test_an_awaitable_of_a_response() -> None:
    async def find() -> httpx.Response:
        return httpx.Response(200, text="text", request=httpx.Request("GET", "http://example.org/"))

    assert await data_of(Stream(find())) == ["text"]


async def test_an_awaitable_of_an_awaitable() -> None:
    async def inner() -> list[int]:
        return [1]

    async def outer() -> Awaitable[list[int]]:
        return inner()

    assert await data_of(Stream(outer())) == ["1"]


async def test_an_awaitable_of_nothing_is_an_empty_stream() -> None:
    async def find() -> None:
        pass

    assert await data_of(Stream(find())) == []


async def test_an_object_with_await() -> None:
    class Found:
        def __await__(self) -> Generator[Any, Any, list[int]]:
            yield from trio.lowlevel.checkpoint().__await__()
            return [1]

    assert await data_of(Stream(Found())) == ["1"]


async def test_the_headers_wait_for_it(autojump_clock: Clock) -> None:
    async def find() -> list[int]:
        await trio.sleep(10)
        return [1]

    began = trio.current_time()
    async with connect(Stream(find(), ping=15)) as client:
        assert trio.current_time() - began == pytest.approx(10)
        assert await client.read() == PRIMER + b"data: 1\n\n"


async def test_but_not_longer_than_a_ping(autojump_clock: Clock) -> None:
    async def find() -> list[int]:
        await trio.sleep(100)
        return [1]

    began = trio.current_time()
    async with connect(Stream(find(), ping=15)) as client:
        assert trio.current_time() - began == pytest.approx(15, abs=0.1)
        assert client.status == 200
        assert [event.data async for event in client.events()] == ["1"]


async def test_without_a_ping_they_wait_as_long_as_it_takes(autojump_clock: Clock) -> None:
    async def find() -> list[int]:
        await trio.sleep(100)
        return [1]

    began = trio.current_time()
    async with connect(Stream(find(), ping=None)):
        assert trio.current_time() - began == pytest.approx(100)


async def test_a_failure_after_that_ping_breaks_the_stream(autojump_clock: Clock) -> None:
    async def find() -> list[int]:
        await trio.sleep(100)
        raise KeyError("not found")

    stream = Stream(find(), ping=15)
    async with connect(stream, raise_app_exceptions=False) as client:
        assert client.status == 200
        await client.read()
        assert client.ended == "broken"
    assert stream.outcome == "failed"


async def test_the_client_may_leave_meanwhile(no_task_left: NothingLeft) -> None:
    outcomes = []

    async def find() -> list[int]:
        try:
            await trio.sleep_forever()
        finally:
            outcomes.append(stream.outcome)
        raise AssertionError

    stream = Stream(find())
    scope = {"type": "http", "method": "GET", "http_version": "1.1", "headers": []}
    connection = MemoryConnection(scope, b"", socket_buffer=100, shield_sends=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run, stream)
        await trio.testing.wait_all_tasks_blocked()
        assert not connection.responding.is_set()
        connection.disconnect()
    assert outcomes == ["disconnected"]
    await no_task_left()


async def test_closed_meanwhile_the_stream_opens_and_ends(autojump_clock: Clock) -> None:
    async def find() -> list[int]:
        await trio.sleep_forever()
        raise AssertionError

    stream = Stream(find())
    async with trio.open_nursery() as nursery:

        async def close() -> None:
            await trio.sleep(5)
            stream.close()

        nursery.start_soon(close)
        async with connect(stream) as client:
            assert client.status == 200
            assert await client.read() == PRIMER
            assert client.ended == "complete"


async def test_one_that_gives_no_source_is_a_500(no_task_left: NothingLeft) -> None:
    async def find() -> str:
        return "text"

    stream = Stream(find())
    async with connect(stream, raise_app_exceptions=False) as client:
        assert client.status == 500
        await client.read()
    assert stream.outcome == "failed"
    await no_task_left()


async def test_and_says_so_in_the_servers_log() -> None:
    async def find() -> str:
        return "text"

    with pytest.raises(TypeError, match=r"hand over \[value\]"):
        async with connect(Stream(find())) as client:
            await client.read()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (httpx.ConnectError("refused"), 502),
        (httpx.ReadTimeout("slow"), 504),
        (httpx.ConnectTimeout("slow"), 504),
        (httpx.RemoteProtocolError("garbage"), 502),
        (ValueError("a bug"), 500),
    ],
)
async def test_an_upstreams_fault_is_not_this_servers(error: Exception, status: int) -> None:
    async def find() -> list[int]:
        await trio.lowlevel.checkpoint()
        raise error

    async with connect(Stream(find()), raise_app_exceptions=False) as client:
        assert client.status == status


async def test_an_upstreams_fault_is_logged_and_not_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def find() -> list[int]:
        raise httpx.ConnectError("refused")

    async with connect(Stream(find())) as client:
        assert await client.read() == b"502 Bad Gateway\n"
    assert [record.name for record in caplog.records] == ["trio_stream"]
    assert "answered 502" in caplog.text
    assert "ConnectError('refused')" in caplog.text


async def test_also_when_an_sdk_has_wrapped_it() -> None:
    class SDKError(Exception):
        pass

    async def find() -> list[int]:
        try:
            raise httpx.ReadTimeout("slow")
        except httpx.ReadTimeout as error:
            raise SDKError from error

    async with connect(Stream(find())) as client:
        assert client.status == 504
