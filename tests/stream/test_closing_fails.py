"""A source whose closing raises: that is said once, whatever has ended the stream."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Self

import httpx
import pytest
import trio
import trio.testing

from tests.support.tasks import NothingLeft
from trio_stream import Outcome, Stream, current_blocking_limiter, open_streams
from trio_stream.testing import connect

from .test_every_way_out import deaf, full, scope_of, silent


class Closing:
    """Kinds of sources with two values, whose closing is counted and fails."""

    def __init__(self) -> None:
        self.closed = 0
        self._left = 2

    def fail(self) -> None:
        self.closed += 1
        raise KeyError("closing")

    async def _wait_for_next(self) -> bool:
        await trio.sleep(1)
        self._left -= 1
        return self._left >= 0


class Iterator(Closing):
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        if not await self._wait_for_next():
            raise StopAsyncIteration
        return "x"

    async def aclose(self) -> None:
        self.fail()


class ReceiveStream(Closing, trio.abc.ReceiveStream):
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return b"x" if await self._wait_for_next() else b""

    async def aclose(self) -> None:
        self.fail()


class Body(Iterator, httpx.AsyncByteStream):
    async def __anext__(self) -> Any:
        return b"data: %b\n\n" % (await super().__anext__()).encode()


class Manager(Iterator):
    """One that gives something else, which need not be closed."""

    async def __aenter__(self) -> Any:
        async def values() -> Any:
            while await self._wait_for_next():
                yield "x"

        return values()

    async def __aexit__(self, *exc_info: object) -> None:
        self.fail()

    __aiter__ = None  # type: ignore[assignment]


class Blocking(Closing):
    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        self._left -= 1
        if self._left < 0:
            raise StopIteration
        return "x"

    def close(self) -> None:
        self.fail()


def response(body: Closing) -> httpx.Response:
    headers = {"content-type": "text/event-stream"}
    return httpx.Response(200, headers=headers, stream=body)  # type: ignore[arg-type]


SOURCES: dict[str, tuple[type[Closing], Callable[[Any], Any]]] = {
    "async iterator": (Iterator, lambda closing: closing),
    "receive stream": (ReceiveStream, lambda closing: closing),
    "response": (Body, response),
    "context manager": (Manager, lambda closing: closing),
    "blocking iterator": (Blocking, lambda closing: closing),
}


async def read_all(stream: Stream) -> None:
    async with connect(stream) as client:
        await client.read()


async def leave(stream: Stream) -> None:
    async with connect(stream) as client:
        await client.receive_chunk()


async def close(stream: Stream) -> None:
    async with connect(stream) as client:
        await client.receive_chunk()
        stream.close()
        await client.read()


async def answer(stream: Stream) -> None:
    await stream(scope_of(method="HEAD"), silent, deaf)


async def cancel(stream: Stream) -> None:
    with trio.move_on_after(1.5):
        await stream(scope_of(), silent, deaf)


async def enter(stream: Stream) -> None:
    async with stream:
        async for _ in stream.value:
            pass


async def leave_by_an_error(stream: Stream) -> None:
    try:
        async with stream:
            await anext(stream.value)
            raise ValueError
    except ValueError:
        pass


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("end", [read_all, leave, close, answer, cancel, enter, leave_by_an_error])
async def test_that_it_failed_is_said_once(
    source: str,
    end: Callable[[Stream], Awaitable[None]],
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
    no_task_left: NothingLeft,
) -> None:
    await check(source, end, {}, caplog)


@pytest.mark.parametrize("source", SOURCES)
async def test_also_of_one_that_was_refused(
    source: str, caplog: pytest.LogCaptureFixture, no_task_left: NothingLeft
) -> None:
    async def serve(stream: Stream) -> None:
        await stream(scope_of(), silent, deaf)

    await check(source, serve, {"limits": full()}, caplog)


async def test_also_of_one_that_never_got_a_thread(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = current_blocking_limiter()
    limiter.total_tokens = 1
    async with limiter:
        await check("blocking iterator", leave, {"hold_headers": False}, caplog)


async def check(source: str, end: Any, options: Any, caplog: pytest.LogCaptureFixture) -> None:
    kind, given = SOURCES[source]
    closing, ended = kind(), list[Outcome | None]()
    stream = Stream(given(closing), on_end=lambda over: ended.append(over.outcome), **options)
    raised = None
    try:
        await end(stream)
    except KeyError as error:
        raised = error
    logged = [
        record.exc_info[1]
        for record in caplog.get_records("call")
        if record.levelno == logging.ERROR and record.exc_info
    ]
    # What was never entered is not left.
    expected = int(source != "context manager" or stream.outcome not in ("answered", "refused"))
    assert closing.closed == expected
    said = [error for error in (raised, *logged) if error is not None]
    assert [str(error) for error in said] == ["'closing'"] * expected
    assert ended == [stream.outcome]
    assert open_streams() == ()
