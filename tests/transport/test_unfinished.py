"""What was left unfinished never looks whole, whoever left it; what was finished always does."""

import gzip
import zlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
import trio
import trio.testing

from tests.support.certificates import Certificate
from tests.support.raw import send_request
from trio_stream import Stream
from trio_stream.transport.asgi import Message, Receive, Scope, Send

from .h2_client import speak_h2
from .support import body_of, events_of
from .wires import App, connect, every_wire, listening

#: More than all buffers on the way have room for.
MUCH = 2**25

WORDS = ["first", "second", "third", "fourth"]


Cut = Callable[[], Awaitable[None]]


class Seen(NamedTuple):
    """What a client got: the body, and whether it could take that for all of it."""

    status: int
    body: bytes
    whole: bool


async def ask(
    stream: trio.abc.Stream, *, wire: str, method: str = "GET", cut: Cut | None = None
) -> Seen:
    """Ask, read no more than an answer's beginning, have it cut, and read all there is."""
    with trio.fail_after(60):
        if wire.startswith("2"):
            return await ask_http2(stream, method, cut)
        # A HEAD's answer has no end but the connection's.
        close = ["connection: close"] * (method == "HEAD")
        await send_request(stream, "/", *close, method=method, version=wire[:3])
        received, reset = await stream.receive_some(100), False
        if cut is not None:
            await cut()
        try:
            while piece := await stream.receive_some():
                received += piece
                if received.endswith(b"0\r\n\r\n"):  # the connection may be kept
                    break
        except trio.BrokenResourceError:
            reset = True
        await trio.aclose_forcefully(stream)
    status = int(received[9:12] or 0)
    if b"transfer-encoding: chunked" in received.lower():
        return Seen(status, *body_of(received))
    return Seen(status, received.partition(b"\r\n\r\n")[2], not reset)


async def ask_http2(stream: trio.abc.Stream, method: str, cut: Cut | None) -> Seen:
    async with speak_h2(stream, generous=cut is None) as client:
        stream_id = await client.request("/", method=method)
        if cut is not None:
            await client.until(stream_id, bytes(1))
            await cut()
        response = await client.until_ended(stream_id)
        return Seen(int(response.headers.get(b":status", 0)), response.body, response.ended)


# Ways to leave a body unfinished.


async def say_words(stream: Stream) -> None:
    for word in WORDS:
        await stream.send(word)
        await trio.sleep(0.01)


def failing_at(part: bytes | None) -> App:
    """A middleware whose `send` fails at a body with this in it; None: at the end."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def failing(message: Message) -> None:
            body = message.get("body", b"")
            if part in body if part is not None else not message.get("more_body", True):
                raise ConnectionRefusedError("the middleware's store is down")
            await send(message)

        await Stream(say_words)(scope, receive, failing)

    return app


async def producer_fails(scope: Scope, receive: Receive, send: Send) -> None:
    async def produce(stream: Stream) -> None:
        await say_words(stream)
        raise ZeroDivisionError("the producer's own")

    await Stream(produce)(scope, receive, send)


async def receive_fails(scope: Scope, receive: Receive, send: Send) -> None:
    said = trio.Event()

    async def failing() -> Message:
        await said.wait()
        raise KeyError("in receive")

    async def produce(stream: Stream) -> None:
        await say_words(stream)
        said.set()
        await trio.sleep_forever()

    await Stream(produce)(scope, failing, send)


@every_wire
@pytest.mark.parametrize(
    "app",
    [failing_at(b"third"), failing_at(None), producer_fails, receive_fails],
    ids=["send fails", "send fails at the end", "the producer fails", "receive fails"],
)
async def test_a_failure_of_any_layer_is_no_proper_end(
    app: App, wire: str, certificate: Certificate
) -> None:
    # Not direct: that goes past a middleware whose first message was sent on untouched.
    async with listening(app, wire=wire, certificate=certificate, direct=False) as port:
        seen = await ask(await connect(port, wire=wire, certificate=certificate), wire=wire)
    assert seen.status == 200
    assert not seen.whole
    assert events_of(seen.body)[:2] == WORDS[:2]


@every_wire
@pytest.mark.parametrize("then", ["returns", "ends the response", "fails"])
async def test_a_call_that_is_cancelled_while_a_write_is_stuck_is_no_proper_end(
    then: str, wire: str, certificate: Certificate
) -> None:
    """Whatever the application does after that."""
    limit = trio.CancelScope()  # a framework's timeout; Hypercorn's graceful_timeout
    was_cut = trio.Event()

    async def cut() -> None:
        await trio.testing.wait_all_tasks_blocked(0.01)
        limit.cancel()
        await was_cut.wait()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with limit:
            await Stream([bytes(MUCH)], format="bytes")(scope, receive, send)
        was_cut.set()
        if then == "fails":
            raise ZeroDivisionError("the app's own")
        if then == "ends the response":
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with listening(app, wire=wire, certificate=certificate) as port:
        stream = await connect(port, wire=wire, certificate=certificate)
        seen = await ask(stream, wire=wire, cut=cut)
    assert seen.status == 200
    assert not seen.whole
    assert len(seen.body) < MUCH


class InAnotherTask:
    """A middleware that passes on from a task of its own, and ends in order whatever happens."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending, receiving = trio.open_memory_channel[Message](10)

        async def run() -> None:
            async with sending:
                try:
                    await self.app(scope, receive, sending.send)
                except ZeroDivisionError:
                    await sending.send({"type": "http.response.body", "more_body": False})

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            async for message in receiving:
                await trio.sleep(0.01)
                await send(message)


@every_wire
async def test_a_middleware_that_wants_to_end_in_order_does_not(
    wire: str, certificate: Certificate
) -> None:
    app = InAnotherTask(producer_fails)
    async with listening(app, wire=wire, certificate=certificate) as port:
        seen = await ask(await connect(port, wire=wire, certificate=certificate), wire=wire)
    assert not seen.whole


# What was finished.


async def finished(scope: Scope, receive: Receive, send: Send) -> None:
    await Stream(say_words)(scope, receive, send)


def compressing(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """Keeps to the last what it needs to be whole, as compression does."""
    compressor = zlib.compressobj(wbits=31)

    async def compressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"].append((b"content-encoding", b"gzip"))
        else:
            body = compressor.compress(message["body"])
            end = b"" if message["more_body"] else compressor.flush()
            message = {**message, "body": body + end}
        await send(message)

    return Stream(say_words)(scope, receive, compressed)


def holding_back(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """Passes each message on when the next one comes."""
    held: list[Message] = []

    async def hold(message: Message) -> None:
        held.append(message)
        if len(held) > 1:
            await send(held.pop(0))
        if not message.get("more_body", True):
            await send(held.pop(0))

    return Stream(say_words, stall_timeout=2)(scope, receive, hold)


@every_wire
@pytest.mark.parametrize(
    "app", [finished, compressing, holding_back, InAnotherTask(finished)],
    ids=["bare", "compressing", "holding back", "in another task"],
)  # fmt: skip
async def test_what_was_finished_comes_whole_through_any_middleware(
    app: App, wire: str, certificate: Certificate
) -> None:
    async with listening(app, wire=wire, certificate=certificate) as port:
        seen = await ask(await connect(port, wire=wire, certificate=certificate), wire=wire)
    assert seen.whole
    body = gzip.decompress(seen.body) if app is compressing else seen.body
    assert events_of(body) == WORDS


# Before the first byte.


@every_wire
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("portable", [False, True])
async def test_a_send_that_fails_at_the_start_is_an_error_status(
    portable: bool, method: str, wire: str, certificate: Certificate
) -> None:
    errors: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def failing(message: Message) -> None:
            if message["type"] == "http.response.start":
                raise ConnectionRefusedError("the middleware's store is down")
            await send(message)

        if portable:
            scope["extensions"].clear()
        try:
            await Stream(WORDS)(scope, receive, failing)
        except BaseException as error:
            errors.append(error)
            raise

    async with listening(app, wire=wire, certificate=certificate) as port:
        stream = await connect(port, wire=wire, certificate=certificate)
        seen = await ask(stream, wire=wire, method=method)
    assert seen.status == 500
    assert seen.whole
    assert [type(error) for error in errors] == [ConnectionRefusedError]


# Cancelled at any moment.


async def cancel_after(turns: int, scope: trio.CancelScope) -> None:
    for _ in range(turns):
        await trio.lowlevel.checkpoint()
    scope.cancel()


@every_wire
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_cancelled_at_any_checkpoint_only_what_is_whole_looks_so(
    method: str, wire: str, certificate: Certificate
) -> None:
    """A stream that is cancelled says farewell; its end is meant then. Nothing else is."""
    turns, outcomes = 0, []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        stream = Stream(say_words)
        with trio.CancelScope() as cancelling:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_after, turns, cancelling)
                await stream(scope, receive, send)
        outcomes.append(stream.outcome)

    async with listening(app, wire=wire, certificate=certificate) as port:
        while turns < 40:
            turns += 1
            stream = await connect(port, wire=wire, certificate=certificate)
            seen = await ask(stream, wire=wire, method=method)
            if seen.whole and seen.status == 200 and method == "GET":
                lines = seen.body.rstrip(b"\n").split(b"\n")
                assert lines[-1].startswith(b"retry: ") or lines[-1] == b"data: fourth", seen
            assert seen.status in {0, 200, 500}, seen
    assert len(outcomes) == 40
