"""`authorize=`: who may have a stream, asked before it opens and again while it is open."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
import trio
import trio.testing
from fastapi import FastAPI
from quart_trio import QuartTrio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from tests.stream.test_every_way_out import scope_of
from tests.support.raw import EVENT_SOURCE
from trio_stream import Refusal, Stream, StreamLimits, open_broker, open_streams, stream_app
from trio_stream.frameworks.quart_trio import StreamConnection
from trio_stream.frameworks.quart_trio import StreamResponse as QuartStreamResponse
from trio_stream.frameworks.starlette import StreamResponse
from trio_stream.testing import connect


async def forever(stream: Stream) -> None:
    await stream.send("secret")
    await trio.sleep_forever()


def asking(answer: Any) -> Callable[[Any], Any]:
    async def authorize(scope: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return answer

    return authorize


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    ("answer", "status", "principal"),
    [
        ("ann", 200, "ann"),
        ("403", 200, "403"),
        (True, 200, None),
        (401, 401, None),
        (HTTPStatus.FORBIDDEN, 403, None),
        (None, 403, None),
        (False, 403, None),
        (Refusal(429), 429, None),
    ],
)
async def test_it_says_whose_a_stream_is_or_what_is_answered(
    answer: Any, status: int, principal: str | None, is_async: bool
) -> None:
    stream = Stream(forever, authorize=asking(answer) if is_async else lambda scope: answer)
    async with connect(stream) as client:
        assert client.status == status
        assert stream.principal == principal
        if status != 200:
            body = await client.read()
            assert b"secret" not in body
            assert client.headers["cache-control"] == "no-store"
            assert stream.outcome == "refused"
    assert open_streams() == ()


async def test_a_redirect_says_where_to() -> None:
    refusal = Refusal(303, location="/login?next=%2Fevents")
    async with connect(Stream(forever, authorize=lambda scope: refusal)) as client:
        assert client.status == 303
        assert client.headers["location"] == "/login?next=%2Fevents"


async def test_a_refusal_says_more_if_it_is_told_to() -> None:
    refusal = Refusal(401, {"error": "log in"}, headers={"www-authenticate": "Bearer"})
    async with connect(Stream(forever, authorize=lambda scope: refusal)) as client:
        assert client.headers["www-authenticate"] == "Bearer"
        assert client.headers["content-type"] == "application/json"
        assert await client.read() == b'{"error":"log in"}'


async def test_it_sees_the_request_and_is_asked_for_a_head_too() -> None:
    def authorize(scope: Any) -> str | int:
        return "ann" if (b"cookie", b"session=1") in scope["headers"] else 401

    async with connect(Stream(forever, authorize=authorize), method="HEAD") as client:
        assert client.status == 401
        assert await client.read() == b""
    cookie = {"cookie": "session=1"}
    async with connect(
        Stream(forever, authorize=authorize), method="HEAD", headers=cookie
    ) as client:
        assert client.status == 200


async def test_a_whole_application_asks_for_each_request() -> None:
    @stream_app(authorize=lambda scope: scope["path"].strip("/") or 401, hold_headers=False)
    async def app(stream: Stream) -> None:
        await stream.send(stream.principal)

    for name in ("ann", "bob"):
        async with connect(app, name) as client:
            assert (await client.receive_event()).data == name
    async with connect(app, "/") as client:
        assert client.status == 401


@pytest.mark.parametrize("answer", [17, 200, 303, 10**6, b"ann", ["ann"], 1.5, object()])
async def test_what_is_no_answer_lets_nobody_in(answer: Any) -> None:
    stream = Stream(forever, authorize=lambda scope: answer)
    with pytest.raises((TypeError, ValueError), match="authorize="):
        async with connect(stream) as client:
            assert client.status == 500
    assert stream.outcome == "failed"


async def test_a_principal_that_is_none_lets_nobody_in() -> None:
    with pytest.raises(ValueError, match="the principal that authorize= returns"):
        async with connect(Stream(forever, authorize=lambda scope: "")):
            pass


async def test_another_principal_than_the_streams_is_refused() -> None:
    for principal, status in ((17, 200), (18, 403)):
        stream = Stream(forever, principal=principal, authorize=lambda scope: "17")
        async with connect(stream) as client:
            assert client.status == status


async def test_what_it_raises_is_the_servers_to_tell() -> None:
    def authorize(scope: Any) -> str:
        raise LookupError("no database")

    stream = Stream(forever, authorize=authorize)
    with pytest.raises(LookupError, match="no database"):
        async with connect(stream):
            pass
    assert stream.outcome == "failed"


async def test_who_may_not_be_many_does_not_ask_for_many(
    autojump_clock: trio.testing.MockClock,
) -> None:
    asked = 0

    async def authorize(scope: Any) -> str:
        nonlocal asked
        asked += 1
        await trio.sleep(1)
        return "ann"

    limits = StreamLimits(total=2, per_principal=1)
    found: list[int] = []

    async def request() -> None:
        stream = Stream(forever, authorize=authorize, limits=limits)
        async with connect(stream) as client:
            found.append(client.status)
            await trio.sleep(5)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(request)
    assert sorted(found) == [200, 503, 503, 503]
    assert asked == 2
    assert limits.statistics().open == limits.statistics().principals == 0


async def test_cancelled_while_it_is_asked_nothing_is_held() -> None:
    limits = StreamLimits(total=1)
    call = trio.CancelScope()

    async def authorize(scope: Any) -> str:
        call.cancel()
        await trio.sleep_forever()
        return "ann"

    stream = Stream(forever, authorize=authorize, limits=limits)
    with call:
        async with connect(stream):
            pass
    assert stream.outcome == "shutdown"
    assert limits.statistics().open == 0


async def test_a_client_that_leaves_while_it_is_asked_leaves_nothing_behind() -> None:
    asked, sent = trio.Event(), list[Any]()

    async def authorize(scope: Any) -> str:
        asked.set()
        await trio.sleep_forever()
        return "ann"

    async def receive() -> Any:
        await asked.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    limits = StreamLimits(total=1)
    stream = Stream(forever, authorize=authorize, limits=limits)
    with trio.fail_after(60):
        await stream(scope_of(), receive, send)
    assert stream.outcome == "disconnected"
    assert sent == []
    assert limits.statistics().open == 0


async def test_what_receive_raises_while_it_is_asked_is_raised_as_it_is() -> None:
    async def receive() -> Any:
        raise LookupError("a middleware's")

    stream = Stream(forever, authorize=asking("ann"))
    stream_too = Stream(forever, authorize=Login("nothing").authorize)
    for each in (stream, stream_too):
        with pytest.raises(LookupError, match="a middleware's"):
            await each(scope_of(), receive, print)  # type: ignore[arg-type]
        assert each.outcome == "failed"


async def test_who_is_disconnected_while_it_is_asked_is_not_let_in() -> None:
    async with open_broker() as broker:

        async def authorize(scope: Any) -> str:
            await broker.disconnect("ann", refuse_for=60)
            return "ann"

        async with connect(Stream(forever, authorize=authorize)) as client:
            assert client.status == 403


class Login:
    """Whether a login holds, as a database would say it."""

    def __init__(self, answer: Any = "ann") -> None:
        self.answer = answer
        self.asked: list[float] = []

    async def authorize(self, scope: Any) -> Any:
        self.asked.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer == "nothing":
            await trio.sleep_forever()
        return self.answer


@pytest.mark.parametrize("answer", [401, None, Refusal(303, location="/login"), "bob"])
async def test_who_may_not_go_on_is_cut_off(
    answer: Any, autojump_clock: trio.testing.MockClock
) -> None:
    login = Login()
    stream = Stream(forever, authorize=login.authorize, recheck=30, ping=None)
    async with connect(stream, headers=EVENT_SOURCE) as client:
        await trio.sleep(100)
        assert stream.outcome is None
        gaps = [b - a for a, b in zip(login.asked, login.asked[1:], strict=False)]
        assert len(gaps) >= 3
        assert all(27 <= gap <= 33.1 for gap in gaps)
        login.answer = answer
        began = trio.current_time()
        assert b"secret" in await client.read()
        assert trio.current_time() - began <= 33.1
        assert client.ended == "complete"
    assert stream.outcome == "revoked"


async def test_who_is_known_only_when_it_is_asked_again_has_the_stream_from_then_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    login, limits = Login(True), StreamLimits(per_principal=1)
    async with open_broker() as broker:
        stream = Stream(forever, authorize=login.authorize, recheck=10, limits=limits)
        async with connect(stream) as client:
            await trio.sleep(12)
            assert stream.principal is None
            login.answer = "ann"
            await trio.sleep(12)
            assert stream.principal == "ann"
            [found] = open_streams(principal="ann")
            assert found.principal == "ann"
            async with connect(Stream(forever, principal="ann", limits=limits)) as other:
                assert other.status == 503
            login.answer = True  # yes, to whom it knows
            await trio.sleep(12)
            assert stream.principal == "ann"
            await broker.disconnect("ann")
            await client.read()
        assert stream.outcome == "revoked"
        assert open_streams(principal="ann") == ()
        assert limits.statistics().principals == 0


async def test_a_limit_of_hers_does_not_end_a_stream_that_becomes_hers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    login, limits = Login(True), StreamLimits(per_principal=1)
    later = Stream(forever, authorize=login.authorize, recheck=10, limits=limits)
    async with connect(Stream(forever, principal="ann", limits=limits)), connect(later):
        login.answer = "ann"
        await trio.sleep(12)
        assert (later.principal, later.outcome) == ("ann", None)
        assert limits.statistics().principals == 1
    assert limits.statistics().principals == 0


async def test_who_is_refused_for_a_while_gets_no_stream_by_being_asked_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    login = Login(True)
    stream = Stream(forever, authorize=login.authorize, recheck=10)
    async with open_broker() as broker:
        async with connect(stream) as client:
            await broker.disconnect("ann", refuse_for=60)
            login.answer = "ann"
            await client.read()
        assert (stream.outcome, stream.principal) == ("revoked", None)


@pytest.mark.parametrize("trouble", [OSError("no database"), TypeError("x"), "nothing", b"odd"])
async def test_that_it_cannot_be_asked_ends_nobodys_stream_and_is_told_once(
    trouble: Any, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    login = Login()
    streams = [Stream(forever, authorize=login.authorize, recheck=10) for _ in range(20)]
    async with trio.open_nursery() as nursery:

        async def client(stream: Stream) -> None:
            async with connect(stream) as client:
                await client.read()

        for stream in streams:
            nursery.start_soon(client, stream)
        await trio.sleep(1)
        login.answer = trouble
        await trio.sleep(55)
        assert {stream.outcome for stream in streams} == {None}
        warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert "could not be asked again" in warnings[0].message
        login.answer = 403
        await trio.sleep(25)
        assert {stream.outcome for stream in streams} == {"revoked"}


async def test_a_stream_that_ends_while_it_is_asked_again_waits_for_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    login = Login()
    stream = Stream(forever, authorize=login.authorize, recheck=10)
    async with connect(stream):
        login.answer = "nothing"
        await trio.sleep(12)
        stream.close()
        began = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == began
    assert stream.outcome == "closed"


async def test_an_entered_stream_has_no_request_to_ask_about() -> None:
    stream = Stream(["x"], authorize=Login().authorize)
    with pytest.raises(TypeError, match="authorize= asks about a request"):
        await stream.__aenter__()


def test_a_recheck_needs_somebody_to_ask() -> None:
    with pytest.raises(TypeError, match="recheck= needs authorize="):
        Stream(forever, recheck=5)
    with pytest.raises(TypeError, match="principal= would be everybody's"):
        stream_app(principal="ann")(forever)


@pytest.mark.parametrize("framework", ["starlette", "fastapi", "quart"])
@pytest.mark.parametrize(("cookie", "status"), [("session=1", 200), ("session=2", 401)])
async def test_in_frameworks_it_is_asked_as_well(framework: str, cookie: str, status: int) -> None:
    def authorize(scope: Any) -> str | Refusal:
        known = (b"cookie", b"session=1") in scope["headers"]
        return "ann" if known else Refusal(401, headers={"www-authenticate": "Bearer"})

    def stream() -> Stream:
        return Stream(forever, authorize=authorize)

    app = {"starlette": starlette_app, "fastapi": fastapi_app, "quart": quart_app}[framework](
        stream
    )
    async with connect(app, headers={"cookie": cookie}) as client:
        assert client.status == status
        if status == 200:
            assert (await client.receive_event()).data == "secret"
            assert [found.principal for found in open_streams()] == ["ann"]
        else:
            assert client.headers["www-authenticate"] == "Bearer"
            assert b"secret" not in await client.read()


def starlette_app(stream: Callable[[], Stream]) -> Any:
    async def endpoint(request: Request) -> Stream:
        return stream()

    return Starlette(routes=[Route("/", endpoint)])


def fastapi_app(stream: Callable[[], Stream]) -> Any:
    app = FastAPI()

    @app.get("/")
    async def endpoint() -> StreamResponse:
        return StreamResponse(stream())

    return app


def quart_app(stream: Callable[[], Stream]) -> Any:
    app = QuartTrio(__name__)
    app.asgi_http_class = StreamConnection

    @app.get("/")
    async def endpoint() -> QuartStreamResponse:
        return QuartStreamResponse(stream())

    return app
