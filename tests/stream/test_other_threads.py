"""What another thread calls of a stream that is open is refused, before any of it is done."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from trio_stream import Stream, encode, open_streams
from trio_stream.testing import connect


async def nothing() -> None:
    """Runs for no time."""


CALLS: dict[str, Callable[[Stream], Any]] = {
    "stream.send_nowait": lambda stream: stream.send_nowait("x"),
    "stream.send_many_nowait": lambda stream: stream.send_many_nowait(["x"]),
    "Stream.send_to_all_nowait": lambda stream: Stream.send_to_all_nowait([stream], encode("x")),
    "stream.start_soon": lambda stream: stream.start_soon(nothing),
    "stream.close": lambda stream: stream.close(),
}


@pytest.mark.parametrize("name", CALLS)
async def test_it_is_told_how_to_call_it_and_nothing_is_done(name: str) -> None:
    stream = Stream()
    async with connect(stream) as client:
        await stream.send("first")
        with pytest.raises(RuntimeError, match=rf"trio.from_thread.run_sync\({name}"):
            await trio.to_thread.run_sync(CALLS[name], stream)
        assert stream.outcome is None
        await trio.to_thread.run_sync(trio.from_thread.run_sync, stream.send_nowait, "last")
        await trio.to_thread.run_sync(trio.from_thread.run_sync, stream.close)
        assert [event.data async for event in client.events()] == ["first", "last"]


@pytest.mark.parametrize("name", CALLS)
def test_before_it_is_served_and_after_its_end_any_thread_may(name: str) -> None:
    stream = Stream()
    CALLS[name](stream)
    stream.close()

    async def serve() -> Stream:
        stream = Stream([1])
        async with connect(stream) as client:
            await client.read()
        return stream

    ended = trio.run(serve)
    if name == "stream.close":
        CALLS[name](ended)
    elif name == "Stream.send_to_all_nowait":
        assert CALLS[name](ended).ended == [ended]
    else:
        with pytest.raises(trio.ClosedResourceError):
            CALLS[name](ended)


def test_what_is_asked_outside_of_a_run_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"another thread calls by trio\.from_thread"):
        open_streams()
