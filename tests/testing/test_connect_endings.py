"""How a connection of the testing kit ends: for the client, for the app, for the test."""

import pytest
import trio
import trio.testing

from tests.support.tasks import NothingLeft
from trio_stream.testing import connect
from trio_stream.transport.asgi import Message, Receive, Scope, Send

START: Message = {"type": "http.response.start", "status": 200, "headers": []}


def body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def half(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(body(b"half"))


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    await half(scope, receive, send)
    raise KeyError("in the middle")


async def failing_early(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("too early")


async def test_a_proper_end_is_complete() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await half(scope, receive, send)
        await send(body(b"", more=False))

    async with connect(app) as client:
        assert await client.read() == b"half"
        assert client.ended == "complete"


@pytest.mark.parametrize(("version", "ended"), [("1.1", "broken"), ("1.0", "complete")])
async def test_a_response_without_an_end_is_cut(version: str, ended: str) -> None:
    async with connect(half, http_version=version) as client:  # type: ignore[arg-type]
        assert await client.read() == b"half"
        assert client.ended == ended


async def test_over_http2_it_is_left_open(autojump_clock: trio.testing.MockClock) -> None:
    async with connect(half, http_version="2") as client:
        assert await client.receive_chunk() == b"half"
        with pytest.raises(trio.TooSlowError), trio.fail_after(3600):
            await client.read()
        assert client.ended is None


async def test_what_the_app_raises_comes_out_as_it_is() -> None:
    ended = []

    async def read() -> None:
        async with connect(failing) as client:
            ended.append((await client.read(), client.ended))

    with pytest.raises(KeyError, match="in the middle"):
        await read()
    assert ended == [(b"half", "broken")]


async def test_an_app_that_fails_before_its_response_fails_on_entering() -> None:
    with pytest.raises(KeyError, match="too early"):
        async with connect(failing_early):
            pytest.fail("entered")


async def test_not_raised_it_is_a_500() -> None:
    async with connect(failing_early, raise_app_exceptions=False) as client:
        assert client.status == 500
        assert await client.read() == b""
        assert client.ended == "complete"


async def test_not_raised_a_late_failure_is_a_cut() -> None:
    async with connect(failing, raise_app_exceptions=False) as client:
        assert await client.read() == b"half"
        assert client.ended == "broken"


async def test_an_app_that_answers_nothing_is_a_500() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    async with connect(app) as client:
        assert (client.status, client.ended) == (500, "complete")


async def test_an_exception_of_the_block_comes_out_as_it_is(no_task_left: NothingLeft) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await half(scope, receive, send)
        while (await receive())["type"] != "http.disconnect":
            pass

    with pytest.raises(AssertionError, match="mine"):
        async with connect(app):
            raise AssertionError("mine")
    await no_task_left()


async def test_also_when_the_block_is_cancelled() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await half(scope, receive, send)
        await trio.sleep_forever()

    async def fail_while_cancelled() -> None:
        with trio.CancelScope() as scope:
            async with connect(app):
                scope.cancel()
                raise AssertionError("mine")

    with pytest.raises(AssertionError, match="mine"):
        await fail_while_cancelled()


async def test_the_apps_exception_has_the_blocks_as_its_context() -> None:
    async def read_and_fail() -> None:
        async with connect(failing) as client:
            await client.read()
            raise AssertionError("mine")

    with pytest.raises(KeyError) as caught:
        await read_and_fail()
    assert isinstance(caught.value.__context__, AssertionError)


async def test_an_app_that_stays_is_cancelled_and_told_of(
    autojump_clock: trio.testing.MockClock, no_task_left: NothingLeft
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await half(scope, receive, send)
        await trio.sleep_forever()

    with pytest.raises(trio.TooSlowError, match="still ran 5 s after its client had left"):
        async with connect(app, exit_timeout=5):
            pass
    await no_task_left()


async def test_cancelled_the_block_ends_and_the_app_too(
    autojump_clock: trio.testing.MockClock, no_task_left: NothingLeft
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await half(scope, receive, send)
        await trio.sleep_forever()

    with trio.move_on_after(3) as scope:
        async with connect(app) as client:
            await client.receive_chunk()
            await client.receive_chunk()
    assert scope.cancelled_caught
    await no_task_left()


async def test_the_call_can_be_cancelled_as_a_server_does() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await half(scope, receive, send)
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await send(body(b" bye", more=False))

    async with connect(app) as client:
        await client.receive_chunk()
        client.cancel_app()
        assert await client.read() == b" bye"
        assert client.ended == "complete"


async def test_a_message_out_of_order_is_an_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(body(b"no start"))

    with pytest.raises(RuntimeError, match=r"'http.response.body' out of order"):
        async with connect(app):
            pass


async def test_sending_after_the_end_is_an_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body(b"", more=False))
        await send(body(b"more"))

    with pytest.raises(RuntimeError, match="out of order"):
        async with connect(app):
            await trio.testing.wait_all_tasks_blocked()


async def test_head_has_no_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body(b"not for you", more=False))

    async with connect(app, method="HEAD") as client:
        assert await client.read() == b""
        assert client.ended == "complete"
