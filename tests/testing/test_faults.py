"""Clients that leave, stall and drip, as an application sees them through the testing kit."""

from collections.abc import AsyncIterator

import trio
import trio.testing

from tests.support.tasks import NothingLeft
from trio_stream.testing import connect
from trio_stream.transport.asgi import Message, Receive, Scope, Send

START: Message = {"type": "http.response.start", "status": 200, "headers": []}


def body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


class App:
    """Answers, hands its `send` and `receive` to the test, and stays until released."""

    def __init__(self) -> None:
        self.release = trio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.send, self.receive = send, receive
        await send(START)
        await self.release.wait()


async def is_blocked(send: Send, message: Message) -> bool:
    with trio.move_on_after(1000) as scope:
        await send(message)
    return scope.cancelled_caught


async def test_disconnect_is_told_by_receive_once(autojump_clock: trio.testing.MockClock) -> None:
    app = App()
    async with connect(app) as client:
        assert await app.receive() == {"type": "http.request", "body": b"", "more_body": False}
        with trio.move_on_after(1000) as scope:
            await app.receive()
        assert scope.cancelled_caught
        client.disconnect()
        assert await app.receive() == {"type": "http.disconnect"}
        with trio.move_on_after(1000) as scope:
            await app.receive()
        assert scope.cancelled_caught
        app.release.set()


async def test_the_end_of_the_response_is_told_as_a_disconnect() -> None:
    app = App()
    async with connect(app):
        await app.receive()
        await app.send(body(b"", more=False))
        assert await app.receive() == {"type": "http.disconnect"}
        app.release.set()


async def test_send_after_the_client_has_left_says_nothing() -> None:
    app = App()
    async with connect(app) as client:
        client.disconnect()
        for _ in range(3):
            await app.send(body(b"x" * 2**20))
        await app.send(body(b"", more=False))
        assert await client.read() == b""
        assert client.ended is None
        app.release.set()


async def test_what_was_under_way_is_lost_with_the_client() -> None:
    app = App()
    async with connect(app) as client:
        await app.send(body(b"under way"))
        client.disconnect()
        assert await client.read() == b""
        app.release.set()


async def test_a_client_that_left_ends_a_send_that_waits() -> None:
    app = App()
    async with connect(app) as client, trio.open_nursery() as nursery:
        client.stall()
        nursery.start_soon(app.send, body(b"x"))
        await trio.testing.wait_all_tasks_blocked()
        client.disconnect()
        app.release.set()


async def test_behind_an_unread_body_the_disconnect_stays_unseen(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app = App()
    async with connect(app, method="POST", body=[b"x"] * 12) as client:
        await trio.testing.wait_all_tasks_blocked()
        client.disconnect()
        for _ in range(10):
            assert (await app.receive())["type"] == "http.request"
        kinds = [(await app.receive())["type"] for _ in range(4)]
        assert kinds == ["http.request"] * 3 + ["http.disconnect"]
        app.release.set()


async def test_a_body_that_never_ends_hides_no_disconnect(no_task_left: NothingLeft) -> None:
    closed = False

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            yield b"one"
            await trio.sleep_forever()
        finally:
            closed = True

    app = App()
    async with connect(app, method="POST", body=chunks()) as client:
        assert (await app.receive())["body"] == b"one"
        client.disconnect()
        assert await app.receive() == {"type": "http.disconnect"}
        app.release.set()
    assert closed
    await no_task_left()


async def test_one_that_vanished_is_found_by_the_second_write(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app = App()
    async with connect(app) as client:
        await app.receive()
        client.vanish()
        await app.send(body(b":\n\n"))
        with trio.move_on_after(1000) as scope:
            await app.receive()
        assert scope.cancelled_caught
        await app.send(body(b":\n\n"))
        assert await app.receive() == {"type": "http.disconnect"}
        app.release.set()


async def test_stalled_nothing_is_taken_until_resumed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app = App()
    async with connect(app) as client, trio.open_nursery() as nursery:
        client.stall()
        assert await is_blocked(app.send, body(b"lost"))
        nursery.start_soon(app.send, body(b"x"))
        await trio.testing.wait_all_tasks_blocked()
        client.resume()
        assert await client.receive_chunk() == b"x"
        app.release.set()


async def test_what_was_under_way_can_be_read_from_a_stalled_connection() -> None:
    app = App()
    async with connect(app) as client:
        await app.send(body(b"under way"))
        client.stall()
        assert await client.receive_chunk() == b"under way"
        app.release.set()


async def test_the_end_of_a_response_needs_room_too(autojump_clock: trio.testing.MockClock) -> None:
    app = App()
    async with connect(app) as client:
        client.stall()
        assert await is_blocked(app.send, body(b"", more=False))
        assert client.ended is None
        app.release.set()


async def test_a_client_that_does_not_read_stops_the_app(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app = App()
    async with connect(app, socket_buffer=10) as client, trio.open_nursery() as nursery:
        await app.send(body(b"x" * 10))
        nursery.start_soon(app.send, body(b"y" * 15))
        await trio.testing.wait_all_tasks_blocked()
        assert await client.receive_chunk() == b"x" * 10
        assert await client.receive_chunk() == b"y" * 10
        assert await client.receive_chunk() == b"y" * 5
        app.release.set()


async def test_a_shielded_send_cannot_be_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    app = App()
    async with connect(app, shield_sends=True) as client, trio.open_nursery() as nursery:
        client.stall()

        async def resume() -> None:
            await trio.sleep(5000)
            client.resume()

        nursery.start_soon(resume)
        began = trio.current_time()
        assert not await is_blocked(app.send, body(b"x"))
        assert trio.current_time() - began == 5000
        app.release.set()


async def test_a_drip_takes_a_little_at_a_time(autojump_clock: trio.testing.MockClock) -> None:
    app = App()
    async with connect(app) as client, trio.open_nursery() as nursery:
        client.drip(2, seconds=10)
        began = trio.current_time()
        nursery.start_soon(app.send, body(b"abcde"))
        seen = []
        for _ in range(3):
            chunk = await client.receive_chunk()
            seen.append((chunk, round(trio.current_time() - began)))
        assert seen == [(b"ab", 10), (b"cd", 20), (b"e", 30)]
        client.resume()
        await app.send(body(b"abcde"))
        assert await client.receive_chunk() == b"abcde"
        app.release.set()
