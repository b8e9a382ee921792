"""A call that is cancelled at its n-th step, for each n: it ends, says so, and leaves nothing.

A step is what a task does between two checkpoints. All steps of the Trio run are counted, those of
the stream's own tasks, of its producer's and of whoever holds it.
"""

import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from tests.support.hypercorn_here import PROTOCOLS, HypercornHere
from trio_stream import Stream, StreamLimits, open_broker, open_streams, outcome_counts
from trio_stream.testing.clock import run_threads_in_real_time
from trio_stream.transport.asgi import Message, Receive, Scope, Send

from .test_every_way_out import full, scope_of

#: More steps than any of these takes.
MANY = 500


class Counter(trio.abc.Instrument):
    """Cancels a scope right before the n-th step."""

    def __init__(self, scope: trio.CancelScope, n: int) -> None:
        self._scope = scope
        self._left = n

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._left -= 1
        if self._left == 0:
            self._scope.cancel()


class Trace:
    """What is to be closed, and whether it was."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self.ended: list[Any] = []
        self.holders = 0
        self.feeders: list[Callable[[], Awaitable[None]]] = []
        self.is_closed: list[Callable[[], bool]] = []

    # Kinds of sources. What has not begun to run holds nothing.

    async def generator(self) -> AsyncIterator[str]:
        self.opened += 1
        try:
            for n in range(3):
                yield f"{n}"
                await trio.lowlevel.checkpoint()
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            self.closed += 1

    def blocking(self) -> Iterator[str]:
        self.opened += 1
        try:
            yield from "abc"
        finally:
            self.closed += 1

    async def callback(self, stream: Stream) -> None:
        self.opened += 1
        try:
            stream.start_soon(self.task, stream)
            for n in range(3):
                await stream.send(n)
        finally:
            self.closed += 1

    async def task(self, stream: Stream) -> None:
        self.opened += 1
        try:
            for n in range(3):
                await stream.send(n)
                await stream.wait(1)
        finally:
            self.closed += 1

    async def fails(self, stream: Stream) -> None:
        self.opened += 1
        try:
            await stream.send("one")
            await trio.sleep(1)
            raise KeyError("mine")
        finally:
            self.closed += 1

    async def awaitable(self) -> AsyncIterator[str]:
        await trio.sleep(1)
        return self.generator()

    # What is open already, and gets what it gives from somebody outside.

    def channel(self) -> trio.MemoryReceiveChannel[str]:
        sending, receiving = trio.open_memory_channel[str](1)
        self.is_closed.append(lambda: not sending.statistics().open_receive_channels)

        async def feed() -> None:
            try:
                async with sending:
                    for text in "abc":
                        await sending.send(text)
                        await trio.sleep(1)
            except trio.BrokenResourceError:
                pass

        self.feeders.append(feed)
        return receiving

    def receive_stream(self) -> trio.abc.ReceiveStream:
        sending, receiving = trio.testing.memory_stream_one_way_pair()
        stream = Pipe(receiving)
        self.is_closed.append(lambda: stream.closed)

        async def feed() -> None:
            try:
                async with sending:
                    for text in "abc":
                        await sending.send_all(text.encode())
                        await trio.sleep(1)
            except trio.BrokenResourceError:
                pass

        self.feeders.append(feed)
        return stream

    def check(self) -> None:
        """Assert that all has been closed."""
        assert self.opened == self.closed
        assert all(is_closed() for is_closed in self.is_closed)


class Pipe(trio.abc.ReceiveStream):
    """One that notes that it was closed, and waits as it is."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self.closed = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        self.closed = True
        await self._stream.aclose()


class Body(httpx.AsyncByteStream):
    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        trace.opened += 1

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"data: one\n\n"
        await trio.sleep(1)
        yield b"data: two\n\n"

    async def aclose(self) -> None:
        self._trace.closed += 1


def response(trace: Trace) -> httpx.Response:
    headers = {"content-type": "text/event-stream"}
    return httpx.Response(200, headers=headers, stream=Body(trace))


SOURCES: dict[str, Callable[[Trace], Any]] = {
    "nothing": lambda trace: None,
    "list": lambda trace: ["a", "b", "c"],
    "generator": lambda trace: trace.generator(),
    "blocking": lambda trace: trace.blocking(),
    "callback": lambda trace: trace.callback,
    "failing callback": lambda trace: trace.fails,
    "awaitable": lambda trace: trace.awaitable(),
    "channel": lambda trace: trace.channel(),
    "receive stream": lambda trace: trace.receive_stream(),
    "response": response,
}
every_source = pytest.mark.parametrize("source", SOURCES)


async def receive() -> Message:
    await trio.sleep_forever()
    raise AssertionError


async def send(message: Message) -> None:
    await trio.lowlevel.checkpoint()


async def serve(stream: Stream) -> None:
    await stream(scope_of(), receive, send)


async def cancel_call(stream: Stream, scope: trio.CancelScope) -> None:
    with scope:
        await serve(stream)


async def cancel_head(stream: Stream, scope: trio.CancelScope) -> None:
    with scope:
        await stream(scope_of(method="HEAD"), receive, send)


async def cancel_use(stream: Stream, scope: trio.CancelScope) -> None:
    with scope:
        async with stream:
            async for _ in stream.value:
                await trio.lowlevel.checkpoint()


async def over_connection(
    protocol: str, cancel: str, stream: Stream, scope: trio.CancelScope
) -> None:
    """Over a connection of Hypercorn's, written to directly, with the call or all of it cancelled.

    The latter is what Hypercorn does when its `graceful_timeout` is over.
    """

    async def app(asgi_scope: Scope, receive: Receive, send: Send) -> None:
        with scope if cancel == "call" else nullcontext():
            await stream(asgi_scope, receive, send)

    server = HypercornHere(app)
    whole: list[bool] = []

    async def read() -> None:
        whole.append((await server.read(protocol)).whole)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        with scope if cancel == "server" else nullcontext():
            await server.run()
    # What was cut off is never taken for the whole.
    assert stream.outcome == "completed" or whole == [False]
    assert whole == [True] or stream.outcome != "completed" or scope.cancelled_caught


#: The ways to use a stream with a scope around it, and the options that they need.
USES: dict[str, tuple[Any, Callable[[], dict[str, Any]]]] = {
    "served": (cancel_call, dict),
    "limited": (cancel_call, lambda: {"limits": StreamLimits(total=1)}),
    "refused": (cancel_call, lambda: {"limits": full()}),
    "HEAD": (cancel_head, dict),
    "entered": (cancel_use, dict),
    **{
        f"{protocol}, {cancel} cancelled": (
            partial(over_connection, protocol, cancel),
            lambda: {"farewell": "broken"},
        )
        for protocol in PROTOCOLS
        for cancel in ("call", "server")
    },
}


async def hold(stream: Stream, trace: Trace) -> None:
    """Somebody who has nothing to do with the stream's tasks sends into it, and waits for room."""
    try:
        while stream.outcome is None:
            try:
                await stream.send("held")
            except RuntimeError:  # it is not served yet
                pass
            await trio.sleep(0.7)
    except (trio.ClosedResourceError, trio.BrokenResourceError):
        pass
    trace.holders += 1


async def use_and_cancel(use: str, source: str, n: int) -> bool:
    """Use a stream of this kind, cancelled at step n; whether there was such a step."""
    run_threads_in_real_time()
    trace = Trace()
    how, options = USES[use]
    limited = options()
    given = SOURCES[source](trace)
    stream = Stream(given, buffer=1, on_end=trace.ended.append, **limited)
    counted = sum(outcome_counts().values())
    if source == "nothing":
        stream.start_soon(trace.task, stream)
        stream.start_soon(trace.task, stream)
    scope = trio.CancelScope()
    counter = Counter(scope, n)
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold, stream, trace)
            nursery.start_soon(hold, stream, trace)
            for feeder in trace.feeders:
                nursery.start_soon(feeder)
            trio.lowlevel.add_instrument(counter)
            try:
                await how(stream, scope)
            except KeyError:
                assert source == "failing callback"
            finally:
                trio.lowlevel.remove_instrument(counter)
            # The call is over, and so is everything that was the stream's.
            if trace.ended or stream.outcome is not None:
                assert stream.outcome is not None
                assert trace.ended == [stream]
                trace.check()
                assert open_streams() == ()
                if use != "entered":
                    assert sum(outcome_counts().values()) == counted + 1
                with pytest.raises(RuntimeError, match="once"):
                    await serve(stream)
            else:  # cancelled before its first step: nobody has used it
                assert scope.cancelled_caught
                try:
                    await serve(stream)
                except KeyError:
                    assert source == "failing callback"
    assert trace.holders == 2
    assert trace.ended == [stream]
    trace.check()
    if "limits" in limited and use == "limited":
        assert limited["limits"].statistics().open == 0
    return scope.cancelled_caught


@pytest.mark.parametrize("use", USES)
@every_source
def test_cancelled_at_any_step_it_is_over(
    source: str, use: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    for n in itertools.count(1):
        clock = trio.testing.MockClock(autojump_threshold=0)
        if not trio.run(use_and_cancel, use, source, n, clock=clock):
            break
    else:
        raise AssertionError
    assert 1 < n < MANY


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_over_a_connection_it_is_written_directly(
    protocol: str, autojump_clock: trio.testing.MockClock
) -> None:
    found = []

    async def look(stream: Stream) -> None:
        for n in range(3):
            await stream.send(n)
            await stream.wait(1)
        assert stream._state.transport is not None
        found.append(stream._state.transport.direct)

    await over_connection(protocol, "server", Stream(look), trio.CancelScope())
    assert found == [True]


async def use_topic(n: int) -> bool:
    async with open_broker() as broker:
        await broker.publish("x", 1)
        ended: list[Stream] = []
        subscription = broker.subscribe("x", after="earliest", presence="me")
        stream = Stream(subscription, max_duration=5, on_end=ended.append)
        scope = trio.CancelScope()
        counter = Counter(scope, n)
        with trio.fail_after(1000):
            with scope:
                trio.lowlevel.add_instrument(counter)
                try:
                    await serve(stream)
                finally:
                    trio.lowlevel.remove_instrument(counter)
            assert ended == [stream]
            assert open_streams() == ()
            assert broker.statistics().subscriptions == 0
            await trio.sleep(60)  # until whoever was present has left
            assert await broker.presence("x") == []
    return scope.cancelled_caught


def test_and_so_is_a_subscription() -> None:
    for n in range(1, MANY):
        clock = trio.testing.MockClock(autojump_threshold=0)
        if not trio.run(use_topic, n, clock=clock):
            assert n > 5
            return
    raise AssertionError
