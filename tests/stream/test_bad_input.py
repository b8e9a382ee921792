"""Misuse and bad input: what the client sees, what the log says, and that nothing is left."""

import gc
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER, body_of, data_of
from tests.stream.upstream_server import chunk, head, upstream
from tests.support.tasks import NothingLeft
from trio_stream import Stream, stream_app
from trio_stream.testing import connect

Clock = trio.testing.MockClock


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Each test names what is logged; what it does not name must not be."""
    caplog.set_level(logging.DEBUG, "trio_stream")
    yield
    told = [record for record in caplog.get_records("call") if record.name == "trio_stream"]
    # Each stream's end is told at DEBUG, whatever it was.
    assert [record for record in told if record.module != "end_line"] == []
    gc.collect()  # a ResourceWarning would be an error


async def broken(stream: Stream, error: type[BaseException], match: str) -> bytes:
    """Serve a stream that fails in the middle; what its client got."""
    received = b""

    async def read() -> None:
        nonlocal received
        async with connect(stream) as client:
            received = await client.read()
            assert client.status == 200
            assert client.ended == "broken"

    with pytest.raises(error, match=match):
        await read()
    assert stream.outcome == "failed"
    return received


async def test_a_producer_that_raises(no_task_left: NothingLeft) -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("one")
        raise KeyError("mine")

    assert await broken(Stream(callback), KeyError, "mine") == PRIMER + b"data: one\n\n"
    await no_task_left()


class Unsendable:
    pass


BAD_VALUES: list[tuple[Any, type[Exception], str]] = [
    (Unsendable(), TypeError, "Unsendable"),
    ({"a": Unsendable()}, TypeError, "Unsendable"),
    (float("nan"), ValueError, "NaN"),
    ([float("inf")], ValueError, "infinity"),
    ("\ud800", ValueError, "surrogate"),
    (b"\xff", ValueError, "UTF-8"),
]


@pytest.mark.parametrize(("value", "error", "match"), BAD_VALUES)
async def test_a_source_that_yields_what_cannot_be_sent(
    value: Any, error: type[Exception], match: str, no_task_left: NothingLeft
) -> None:
    closed = []

    async def source() -> AsyncIterator[Any]:
        try:
            yield "one"
            yield value
        finally:
            await trio.lowlevel.checkpoint()
            closed.append(True)

    assert await broken(Stream(source()), error, match) == PRIMER + b"data: one\n\n"
    assert closed == [True]
    await no_task_left()


async def test_a_value_that_contains_itself(no_task_left: NothingLeft) -> None:
    knot: list[Any] = []
    knot.append(knot)
    assert await broken(Stream(["one", knot]), ValueError, "itself") == PRIMER + b"data: one\n\n"
    await no_task_left()


async def test_a_list_with_a_bad_first_value_is_a_500(no_task_left: NothingLeft) -> None:
    async with connect(Stream([Unsendable()]), raise_app_exceptions=False) as client:
        assert client.status == 500
        assert await client.read() == b"500 Internal Server Error\n"
    await no_task_left()


async def test_a_blocking_iterator_that_yields_what_cannot_be_sent(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    closed = []

    def rows() -> Iterator[Any]:
        try:
            yield "one"
            time.sleep(0.05)
            yield Unsendable()
            yield "never"
        finally:
            closed.append(True)

    await broken(Stream(rows()), TypeError, "Unsendable")
    assert closed == [True]
    await no_task_left()


async def test_an_upstream_that_dies_in_the_middle_of_an_event(no_task_left: NothingLeft) -> None:
    httpx = pytest.importorskip("httpx")

    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/event-stream") + chunk(b"data: one\n\ndata: tw"))

    async with upstream(respond) as server, httpx.AsyncClient() as http:
        response = await http.send(http.build_request("GET", server.url), stream=True)
        body = await broken(Stream(response), httpx.RemoteProtocolError, "incomplete")
        assert response.is_closed
    assert body == PRIMER + b"data: one\n\n"
    await no_task_left()


async def test_one_mebibyte_in_one_event(no_task_left: NothingLeft) -> None:
    large = "x" * 2**20
    assert await data_of(Stream([large, "small", large])) == [large, "small", large]
    await no_task_left()


async def test_one_mebibyte_of_lines_in_one_event() -> None:
    large = "x\n" * 2**19
    assert await data_of(Stream([large])) == [large]


async def test_a_body_that_never_ends(autojump_clock: Clock, no_task_left: NothingLeft) -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await trio.sleep(1)

    assert await body_of(Stream(["a"]), method="POST", body=body()) == PRIMER + b"data: a\n\n"
    await no_task_left()


async def test_a_body_that_is_never_read(no_task_left: NothingLeft) -> None:
    body = [b"x" * 2**16] * 100
    assert await body_of(Stream(["a"]), method="POST", body=body) == PRIMER + b"data: a\n\n"
    await no_task_left()


async def test_an_iterator_that_blocks_for_a_second(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    def rows() -> Iterator[str]:
        yield "one"
        time.sleep(1)
        yield "two"

    assert await data_of(Stream(rows(), ping=30)) == ["one", "two"]
    await no_task_left()


async def test_a_task_that_outlives_its_callback(no_task_left: NothingLeft) -> None:
    ended = []

    async def task() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(True)

    async def callback(stream: Stream) -> None:
        stream.start_soon(task)

    async with connect(Stream(callback, hold_headers=False)) as client:
        await trio.testing.wait_all_tasks_blocked()
        assert client.ended is None
    assert ended == [True]
    await no_task_left()


async def test_sending_after_the_end(no_task_left: NothingLeft) -> None:
    stream = Stream(["a"])
    assert await body_of(stream) == PRIMER + b"data: a\n\n"
    with pytest.raises(trio.ClosedResourceError, match="the stream has ended"):
        await stream.send("late")
    await no_task_left()


async def test_a_callback_that_takes_nothing() -> None:
    def callback() -> None:
        pass

    hint = r"called with one argument, and callback cannot be; Stream\(function\(\)\) streams what"
    for make in (Stream, stream_app):
        with pytest.raises(TypeError, match=hint):
            make(callback)  # type: ignore[arg-type]


async def test_a_callback_that_takes_more() -> None:
    def callback(stream: Stream, user: str) -> None:
        pass

    for make in (Stream, stream_app):
        with pytest.raises(TypeError, match=r"takes the stream: .*partial binds what else"):
            make(callback)  # type: ignore[arg-type]


async def test_a_callback_that_was_called_too_early() -> None:
    """`Stream(callback())` with a callback that needs the stream is Python's own error; one that
    needs nothing is an awaitable, and what it gives has to be a source."""

    async def callback() -> int:
        return 5

    with pytest.raises(TypeError, match="cannot stream a int: hand over a callback"):
        async with connect(Stream(callback())) as client:
            await client.read()


async def test_ids_that_run_out() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("one")
        await stream.send("two")

    stream = Stream(callback, ids=iter(["1"]).__next__)
    body = await broken(stream, RuntimeError, "StopIteration")
    assert body == PRIMER + b"id: 1\ndata: one\n\n"
