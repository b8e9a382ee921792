"""One event to many streams: who gets it, who is full, who has ended, and that nobody waits."""

from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

from tests.support.certificates import Certificate
from tests.support.raw import read_until, send_request
from tests.transport.h2_client import H2Client, speak_h2
from tests.transport.wires import connect as connect_to
from tests.transport.wires import listening
from trio_stream import EncodedEvent, Stream, encode
from trio_stream.testing import connect
from trio_stream.transport.asgi import Receive, Scope, Send
from trio_stream.transport.offering import MOST_FRAMED


async def test_each_stream_gets_it_once_and_in_order() -> None:
    streams = [Stream() for _ in range(200)]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(stream)) for stream in streams]
        for number in range(3):
            not_sent = Stream.send_to_all_nowait([*streams, streams[0]], encode(number))
            assert not_sent.full == not_sent.ended == []
        for stream in streams:
            stream.close()
        for client in clients:
            assert [event.data async for event in client.events()] == ["0", "1", "2"]
    assert {stream.statistics().events for stream in streams} == {3}


async def test_those_without_room_and_those_that_have_ended_are_told() -> None:
    stuck, open_, ended = Stream(buffer=1), Stream(), Stream()
    async with connect(stuck) as slow, connect(open_) as client, connect(ended) as gone:
        ended.close()
        await gone.read()
        await trio.testing.wait_all_tasks_blocked()
        slow.stall()
        await stuck.send("under way")
        await trio.testing.wait_all_tasks_blocked()
        first, second = (
            Stream.send_to_all_nowait((stuck, open_, ended), encode(text)) for text in "ab"
        )
        assert (first.full, first.ended) == ([], [ended])
        assert (second.full, second.ended) == ([stuck], [ended])
        assert [(await client.receive_event()).data for _ in range(2)] == ["a", "b"]
        slow.resume()
        assert [(await slow.receive_event()).data for _ in range(2)] == ["under way", "a"]


def test_before_it_is_served_a_stream_keeps_it_also_outside_trio() -> None:
    stream = Stream(buffer=1)
    assert Stream.send_to_all_nowait([stream], encode("a")).full == []
    assert Stream.send_to_all_nowait([stream], encode("b")).full == [stream]
    assert Stream.send_to_all_nowait([], encode("c")).full == []


def test_what_is_not_encoded_or_not_for_all_goes_to_nobody() -> None:
    plain, lines = Stream(), Stream(format="ndjson")
    with pytest.raises(TypeError, match=r"encode\(value\), not 'text'"):
        Stream.send_to_all_nowait([plain], "text")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'sse' cannot go into a 'ndjson' stream"):
        Stream.send_to_all_nowait([plain, lines], encode("text"))
    with pytest.raises(TypeError, match="goes to Streams, not to 3"):
        Stream.send_to_all_nowait([plain, 3], encode("text"))  # type: ignore[list-item]
    assert plain.statistics().queued == 0


async def test_a_new_retry_goes_before_it() -> None:
    stream = Stream()
    async with connect(stream) as client:
        await trio.testing.wait_all_tasks_blocked()
        stream.retry = 50
        Stream.send_to_all_nowait([stream], encode("a"))
        stream.close()
        assert await client.read() == b"retry: 3000\nretry: 50\ndata: a\n\n"


class Listeners:
    """An app whose streams are all in one set; those of `/portable` do not find Hypercorn."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = Stream(buffer=2, stall_timeout=60)
        self.streams.append(stream)
        if scope["path"] == "/portable":
            scope["extensions"].clear()
            await stream(scope, receive, lambda message: send(message))
        else:
            await stream(scope, receive, send)

    def direct(self) -> set[bool]:
        """Whether they are written to past Hypercorn."""
        transports = [stream._state.transport for stream in self.streams]
        return {transport is not None and transport.direct for transport in transports}


async def until_resting(streams: list[Stream], count: int) -> None:
    """Wait until that many are there, and what they were sent is out: so they may go direct."""
    with trio.fail_after(60):
        while len(streams) < count or any(not stream.statistics().bytes for stream in streams):
            await trio.sleep(0.01)


async def read_all(client: H2Client, numbers: list[int], last: bytes) -> list[bytes]:
    return [(await client.until(number, last)).body for number in numbers]


EVENTS = [encode(f"{number} {'x' * (number % 7) * 100}") for number in range(100)]
BODY = b"retry: 3000\n" + b"".join(event.data for event in EVENTS)


@pytest.mark.parametrize("path", ["/", "/portable"])
@pytest.mark.parametrize("wire", ["1.1", "1.1 tls", "2", "2 tls"])
async def test_over_each_wire_all_get_the_same_bytes(
    wire: str, path: str, certificate: Certificate
) -> None:
    listeners = Listeners()

    async def send_all(streams: list[Stream]) -> None:
        for event in EVENTS:
            with trio.fail_after(60):
                while full := Stream.send_to_all_nowait(streams, event).full:
                    streams = full
                    await trio.sleep(0.001)
            streams = listeners.streams

    async with (
        listening(listeners, wire=wire, certificate=certificate) as port,
        AsyncExitStack() as stack,
    ):
        if wire.startswith("2"):
            stream = await connect_to(port, wire=wire, certificate=certificate)
            client = await stack.enter_async_context(speak_h2(stream))
            numbers = [await client.request(path) for _ in range(30)]
            await until_resting(listeners.streams, 30)
            await send_all(listeners.streams)
            assert listeners.direct() == {path == "/"}
            assert set(await read_all(client, numbers, EVENTS[-1].data)) == {BODY}
        else:
            streams = [
                await connect_to(port, wire=wire, certificate=certificate) for _ in range(10)
            ]
            for stream in streams:
                await send_request(stream, path)
            await until_resting(listeners.streams, 10)
            await send_all(listeners.streams)
            assert listeners.direct() == {path == "/"}
            for stream in streams:
                received = await read_until(stream, EVENTS[-1].data)
                assert b"".join(unchunked(received)) == BODY
                await trio.aclose_forcefully(stream)


def unchunked(response: bytes) -> list[bytes]:
    """What the chunks of a response without an end hold."""
    rest, chunks = response.partition(b"\r\n\r\n")[2], []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        chunks.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    return chunks


@pytest.mark.parametrize("event", [EncodedEvent(b""), EncodedEvent(b"data: %s\n\n" % bytes(2**20))])
async def test_nothing_and_very_much_go_to_all_too(
    event: EncodedEvent, certificate: Certificate
) -> None:
    assert not 0 < len(event.data) <= MOST_FRAMED
    listeners = Listeners()
    async with listening(listeners, wire="2", certificate=certificate) as port:
        stream = await connect_to(port, wire="2", certificate=certificate)
        async with speak_h2(stream) as client:
            numbers = [await client.request("/") for _ in range(3)]
            await until_resting(listeners.streams, 3)
            assert not Stream.send_to_all_nowait(listeners.streams, event).full
            last = encode("last")
            with trio.fail_after(60):
                while Stream.send_to_all_nowait(listeners.streams[:1], last).full:
                    await trio.sleep(0.01)
            response = await client.until(numbers[0], last.data)
            assert response.body == b"retry: 3000\n" + event.data + last.data


@pytest.mark.parametrize("wire", ["1.1", "1.1 tls", "2 tls"])
async def test_who_takes_nothing_and_who_has_gone_holds_nobody(
    wire: str, certificate: Certificate
) -> None:
    """Each is told by itself, and none of the others misses anything."""
    listeners = Listeners()
    event = encode("x" * 10_000)
    async with listening(listeners, wire=wire, certificate=certificate) as port:
        stuck, gone, reading = [
            await connect_to(port, wire=wire, certificate=certificate) for _ in range(3)
        ]
        for number, stream in enumerate((stuck, gone, reading), 1):
            if wire.startswith("2"):
                client = H2Client(stream, generous=False, window=2**31 - 1)
                client.connection.initiate_connection()
                client.connection.increment_flow_control_window(2**30)
                await client.request("/")
            else:
                await send_request(stream, "/")
            await until_resting(listeners.streams, number)
        slow, left, quick = listeners.streams
        await trio.aclose_forcefully(gone)
        sent = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_on, reading)
            with trio.fail_after(60):
                while True:
                    result = Stream.send_to_all_nowait(listeners.streams, event)
                    sent += quick not in result.full
                    assert set(result.ended) <= {left}
                    if slow in result.full and left in result.ended:
                        break
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        assert left.outcome == "disconnected"
        assert slow.outcome is quick.outcome is None
        assert quick.statistics().events == sent
        for stream in (stuck, reading):
            await trio.aclose_forcefully(stream)


async def read_on(stream: trio.abc.Stream) -> None:
    while await stream.receive_some():
        pass


def test_one_stream_is_not_taken_for_several() -> None:
    with pytest.raises(TypeError, match="its own send_nowait"):
        Stream.send_to_all_nowait(Stream(), encode("x"))  # type: ignore[arg-type]
