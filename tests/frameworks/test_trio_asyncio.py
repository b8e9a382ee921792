"""What needs asyncio as a source: read on a loop of trio-asyncio's, put into the stream on Trio."""

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import data_of, read_failure, read_to_the_break
from tests.stream.test_cancelled_anywhere import Counter
from trio_stream import Stream
from trio_stream.frameworks.trio_asyncio import AsyncioLoop, open_asyncio
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def numbers() -> AsyncIterator[int]:
    yield 1
    await asyncio.sleep(0.1)
    yield 2


async def awaited() -> AsyncIterator[int]:
    await asyncio.sleep(0.1)
    return numbers()


@asynccontextmanager
async def managed() -> AsyncIterator[Any]:
    await asyncio.sleep(0.1)
    yield numbers()
    await asyncio.sleep(0.1)


class Noting:
    """Endless numbers that note in which tasks they were read and closed."""

    def __init__(self, *, pause: float = 0.1, close_in: float = 0.1) -> None:
        self.pause = pause
        self.close_in = close_in
        self.produced = 0
        self.tasks: set[Any] = set()
        self.closed = False

    async def __call__(self) -> AsyncIterator[int]:
        self.tasks.add(asyncio.current_task())
        try:
            while True:
                self.produced += 1
                yield self.produced
                await asyncio.sleep(self.pause)
        finally:
            self.tasks.add(asyncio.current_task())
            await asyncio.sleep(self.close_in)
            self.closed = True


class StreamObject:
    """As SDKs have it: iterable, closed by `close`, entered or not."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    async def __aenter__(self) -> "StreamObject":
        self.steps.append("entered")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.steps.append("left")

    async def __aiter__(self) -> AsyncIterator[int]:
        async for number in numbers():
            yield number

    async def close(self) -> None:
        await asyncio.sleep(0.1)
        self.steps.append("closed")


@pytest.mark.parametrize(
    "make",
    [
        numbers,
        lambda: numbers,
        awaited,
        lambda: awaited,
        managed,
        lambda: managed,
        StreamObject,
        lambda: StreamObject,
    ],
)
async def test_all_that_can_be_read(make: Callable[[], Any], autojump_clock: Clock) -> None:
    async with open_asyncio() as loop:
        assert await data_of(Stream(loop.source(make()))) == ["1", "2"]


async def test_a_stream_object_is_entered_left_and_closed(autojump_clock: Clock) -> None:
    source = StreamObject()
    async with open_asyncio() as loop:
        assert await data_of(Stream(loop.source(source))) == ["1", "2"]
    assert source.steps == ["entered", "closed", "left"]


async def test_a_callback_may_return_one(autojump_clock: Clock) -> None:
    async with open_asyncio() as loop:
        assert await data_of(Stream(lambda stream: loop.source(numbers()))) == ["1", "2"]


async def test_streams_share_a_loop_and_each_is_its_own(autojump_clock: Clock) -> None:
    async with open_asyncio() as loop, trio.open_nursery() as nursery:
        for _ in range(5):

            @nursery.start_soon
            async def read() -> None:
                assert await data_of(Stream(loop.source(numbers))) == ["1", "2"]


async def test_the_client_leaves_and_it_is_closed_in_its_task_at_once(
    autojump_clock: Clock,
) -> None:
    source = Noting(pause=float("1e6"))
    async with open_asyncio() as loop:
        stream = Stream(loop.source(source))
        async with connect(stream) as client:
            await client.receive_event()
            client.disconnect()
            begin = trio.current_time()
        assert trio.current_time() - begin < 1
        assert (stream.outcome, source.closed) == ("disconnected", True)
        assert len(source.tasks) == 1


async def test_the_client_leaves_while_it_waits_for_room(autojump_clock: Clock) -> None:
    source = Noting(pause=0)
    async with open_asyncio() as loop:
        stream = Stream(loop.source(source), buffer=4, stall_timeout=None)
        async with connect(stream, socket_buffer=100) as client:
            await client.receive_event()
            await trio.sleep(1)
            taken = source.produced
            await trio.sleep(1)
            assert source.produced == taken < 200  # it waits, and so does what it would produce
            client.disconnect()
        assert (stream.outcome, source.closed) == ("disconnected", True)


async def test_a_failure_before_the_first_item_is_a_status(autojump_clock: Clock) -> None:
    async def failing() -> AsyncIterator[int]:
        await asyncio.sleep(1)
        raise LookupError("its own")
        yield

    async with open_asyncio() as loop:
        with pytest.raises(LookupError, match="its own"):
            await read_failure(Stream(loop.source(failing)))


async def test_the_headers_of_a_quiet_one_come_in_time(autojump_clock: Clock) -> None:
    async def quiet() -> AsyncIterator[int]:
        await asyncio.sleep(1e6)
        yield 1

    async with open_asyncio() as loop:
        begin = trio.current_time()
        async with connect(Stream(loop.source(quiet), ping=5)) as client:
            assert client.status == 200
            assert trio.current_time() - begin < 6


async def test_what_came_before_a_failure_goes_out(autojump_clock: Clock) -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise LookupError("its own")

    async with open_asyncio() as loop:
        with pytest.raises(LookupError, match="its own"):
            await read_to_the_break(Stream(loop.source(failing)), ["1", "2"])


async def test_an_item_that_cannot_be_sent_fails_the_stream_and_closes_it(
    autojump_clock: Clock,
) -> None:
    source = Noting()

    async def unsendable() -> AsyncIterator[object]:
        async for _ in source():
            yield object()

    async with open_asyncio() as loop:
        with pytest.raises(TypeError, match="object"):
            await read_failure(Stream(loop.source(unsendable)))


async def test_closing_that_takes_too_long_is_cancelled(
    caplog: pytest.LogCaptureFixture, autojump_clock: Clock
) -> None:
    class Slow(StreamObject):
        async def close(self) -> None:
            await asyncio.sleep(1e6)

    async with open_asyncio() as loop:
        assert await data_of(Stream(loop.source(Slow()))) == ["1", "2"]
    assert "took more than 5 s and was cancelled" in caplog.text


async def test_what_does_not_let_itself_be_cancelled_is_left(
    caplog: pytest.LogCaptureFixture, autojump_clock: Clock
) -> None:
    released = asyncio.Event()

    async def stubborn() -> AsyncIterator[int]:
        yield 1
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    async with open_asyncio() as loop:
        stream = Stream(loop.source(stubborn))
        async with connect(stream) as client:
            await client.receive_event()
            client.disconnect()
        assert stream.outcome == "disconnected"
        assert "its asyncio task was abandoned" in caplog.text
        released.set()


async def test_a_failure_of_its_closing_is_logged(
    caplog: pytest.LogCaptureFixture, autojump_clock: Clock
) -> None:
    async def failing() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(1e6)
        finally:
            raise LookupError("its own")

    async with open_asyncio() as loop:
        stream = Stream(loop.source(failing))
        async with connect(stream) as client:
            await client.receive_event()
            client.disconnect()
        assert stream.outcome == "disconnected"
    assert "failed as it was left" in caplog.text
    assert "LookupError: its own" in caplog.text


async def test_one_that_cancels_itself_says_so(autojump_clock: Clock) -> None:
    async def cancelling() -> AsyncIterator[int]:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)
        yield 1

    async with open_asyncio() as loop:
        with pytest.raises(RuntimeError, match="was cancelled, and not by its stream"):
            await read_failure(Stream(loop.source(cancelling)))


async def test_the_block_is_left_while_a_stream_is_there(autojump_clock: Clock) -> None:
    source = Noting()
    leave = trio.Event()

    async def lifespan(task_status: trio.TaskStatus[AsyncioLoop]) -> None:
        async with open_asyncio() as loop:
            task_status.started(loop)
            await leave.wait()

    async with trio.open_nursery() as nursery:
        loop = await nursery.start(lifespan)
        with pytest.raises(RuntimeError, match="the block of open_asyncio was left"):
            await read_to_the_break(Stream(loop.source(source)), ["1"], leave)
    assert source.closed


async def test_after_the_block_there_is_no_loop(autojump_clock: Clock) -> None:
    async with open_asyncio() as loop:
        pass
    with pytest.raises(RuntimeError, match="its loop has ended"):
        await read_failure(Stream(loop.source(awaited())))


async def test_what_fails_unseen_is_logged_and_ends_nothing(
    caplog: pytest.LogCaptureFixture, autojump_clock: Clock
) -> None:
    async def failing() -> None:
        raise LookupError("unseen")

    async def careless() -> AsyncIterator[int]:
        task = asyncio.create_task(failing())
        yield 1
        await asyncio.sleep(0.1)
        del task
        yield 2

    async with open_asyncio() as loop:
        assert await data_of(Stream(loop.source(careless))) == ["1", "2"]
        gc.collect()
        assert await data_of(Stream(loop.source(numbers))) == ["1", "2"]
    assert "on asyncio: Task exception was never retrieved" in caplog.text
    assert "LookupError: unseen" in caplog.text


@pytest.mark.parametrize("make", [numbers, awaited, lambda: numbers, managed, StreamObject])
async def test_one_that_is_never_read_is_closed(
    make: Callable[[], Any], autojump_clock: Clock
) -> None:
    """And no coroutine is left that nobody has awaited."""
    source = make()
    async with open_asyncio() as loop, connect(Stream(loop.source(source)), method="HEAD") as head:
        assert (head.status, await head.read()) == (200, b"")
    if isinstance(source, StreamObject):
        assert source.steps == ["closed"]


async def test_one_that_is_cancelled_before_it_begins_is_closed(autojump_clock: Clock) -> None:
    async with open_asyncio() as loop:
        with trio.CancelScope() as scope:
            scope.cancel()
            async with Stream(loop.source(awaited())):
                await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("given", [[1], "text", 1, None])
async def test_what_needs_no_asyncio_is_refused(given: Any, autojump_clock: Clock) -> None:
    async with open_asyncio() as loop:
        with pytest.raises(TypeError, match="is given to the Stream itself"):
            loop.source(given)


@pytest.mark.parametrize("given", [[1], None, "text"])
async def test_and_so_is_what_a_function_returns(given: Any, autojump_clock: Clock) -> None:
    async with open_asyncio() as loop:
        with pytest.raises(TypeError, match=f"a {type(given).__name__} is no source for asyncio"):
            await read_failure(Stream(loop.source(lambda: given)))


async def test_a_manager_that_gives_itself_is_refused(autojump_clock: Clock) -> None:
    class Manager:
        async def __aenter__(self) -> "Manager":
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

    async with open_asyncio() as loop:
        with pytest.raises(TypeError, match="a Manager gave itself"):
            await read_failure(Stream(loop.source(Manager())))


async def test_what_is_trios_says_where_it_belongs(autojump_clock: Clock) -> None:
    async def on_trio() -> AsyncIterator[int]:
        yield 1
        await trio.sleep(1)
        yield 2

    async with open_asyncio() as loop:
        with pytest.raises(RuntimeError) as caught:
            async with connect(Stream(loop.source(on_trio))) as client:
                await client.read()
    assert "give it to the Stream itself" in caught.value.__notes__[0]


async def test_what_had_asyncios_functions_before_is_told_so(autojump_clock: Clock) -> None:
    async def early() -> AsyncIterator[int]:
        raise RuntimeError("no running event loop")  # says asyncio's own `get_running_loop`
        yield

    async with open_asyncio() as loop:
        with pytest.raises(RuntimeError, match="no running event loop") as caught:
            await read_failure(Stream(loop.source(early)))
    [note] = caught.value.__notes__
    assert "import trio_stream.frameworks.trio_asyncio before" in note


async def test_what_fails_in_the_block_is_raised_as_it_is(autojump_clock: Clock) -> None:
    failure = LookupError("its own")
    with pytest.raises(LookupError) as caught:
        async with open_asyncio():
            raise failure
    assert caught.value is failure


def test_outside_trio() -> None:
    with pytest.raises(RuntimeError, match="runs on Trio"):
        open_asyncio().__aenter__().send(None)


@pytest.mark.parametrize("kind", ["generator", "awaited", "managed"])
async def test_one_that_is_left_at_any_step_is_closed(kind: str, autojump_clock: Clock) -> None:
    opened, closed = [], []

    async def generator() -> AsyncIterator[int]:
        opened.append(n)
        try:
            for number in range(3):
                yield number
                await asyncio.sleep(0)
        finally:
            closed.append(n)
            await asyncio.sleep(0)

    async def awaited() -> AsyncIterator[int]:
        await asyncio.sleep(0)
        return generator()

    @asynccontextmanager
    async def managed() -> AsyncIterator[Any]:
        opened.append(n)
        try:
            yield generator()
        finally:
            closed.append(n)
            await asyncio.sleep(0)

    make: Any = {"generator": generator, "awaited": awaited, "managed": managed}[kind]
    async with open_asyncio() as loop:
        for n in itertools.count(1):
            with trio.CancelScope() as scope:
                counter = Counter(scope, n)
                trio.lowlevel.add_instrument(counter)
                try:
                    async with Stream(loop.source(make())) as stream:
                        async for _ in stream.value:
                            pass
                finally:
                    trio.lowlevel.remove_instrument(counter)
            assert sorted(opened) == sorted(closed)
            if not scope.cancelled_caught:
                break
        assert n > 10
