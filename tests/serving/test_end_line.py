"""The line in the log at a stream's end: its fields, and what is in none of them."""

import contextvars
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount, Route

from tests.support.hypercorn_process import hypercorn
from tests.support.raw import read_until, send_request
from trio_stream import Stream, StreamLimits
from trio_stream.frameworks.starlette import StreamResponse
from trio_stream.stream.ending import end_line
from trio_stream.testing import connect
from trio_stream.transport.asgi import Receive, Scope, Send

Clock = trio.testing.MockClock

FIELDS = (
    *("outcome", "seconds", "events", "bytes", "peak_queued"),
    *("client", "method", "path", "route"),
)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[logging.LogRecord]]]:
    """The lines so far."""

    def lines_so_far() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.msg.startswith("a stream ended")]

    with caplog.at_level(logging.DEBUG, "trio_stream"):
        yield lines_so_far


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in FIELDS}


async def test_one_line_at_the_end_has_it_all(autojump_clock: Clock, lines: Any) -> None:
    async def callback(stream: Stream) -> None:
        for _ in range(3):
            await stream.send("secret")
        await stream.wait(5)

    scope = {"client": ("10.0.0.1", 5), "query_string": b"token=secret"}
    async with connect(Stream(callback), "/orders", scope=scope) as client:
        body = await client.read()
        assert client.ended == "complete"
    [record] = lines()
    assert fields_of(record) == {
        "outcome": "completed",
        "seconds": pytest.approx(5),
        "events": 3,
        "bytes": len(body),
        "peak_queued": record.peak_queued,
        "client": "10.0.0.1:5",
        "method": "GET",
        "path": "/orders",
        "route": "/orders",
    }
    assert (record.name, record.levelno) == ("trio_stream", logging.DEBUG)
    assert record.getMessage() == (
        f"a stream ended: completed after 5.000 s, 3 events and {len(body)} bytes; "
        "client 10.0.0.1:5, GET /orders"
    )
    assert "secret" not in str(vars(record))


async def close(stream: Stream) -> None:
    stream.close()
    await trio.sleep_forever()


async def fail(stream: Stream) -> None:
    raise ZeroDivisionError


async def forever(stream: Stream) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("outcome", "callback", "options", "method"),
    [
        ("closed", close, {}, "GET"),
        ("failed", fail, {}, "GET"),
        ("expired", forever, {"max_duration": 10}, "GET"),
        ("disconnected", forever, {}, "GET"),
        ("answered", forever, {}, "HEAD"),
        ("refused", forever, {"limits": StreamLimits(total=1)}, "GET"),
    ],
)
async def test_however_it_ends(
    autojump_clock: Clock, lines: Any, outcome: str, callback: Any, options: Any, method: str
) -> None:
    async def serve(limits: StreamLimits | None) -> None:
        try:
            async with connect(Stream(callback, **options), method=method) as client:
                if outcome != "disconnected":
                    await client.read()
        except* ZeroDivisionError:
            assert outcome == "failed"

    limits = options.get("limits")
    if limits is not None:
        async with connect(Stream(forever, limits=limits)):
            await serve(limits)
            [record] = lines()
    else:
        await serve(None)
        [record] = lines()
    assert (record.outcome, record.method) == (outcome, method)


async def test_without_a_server_there_is_no_request(lines: Any) -> None:
    async with Stream(["a"]):
        pass
    [record] = lines()
    assert (record.route, record.client, record.method) == (None, None, None)


async def test_where_debug_is_off_nothing_is_made_for_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(end_line, "statistics_of")
    with caplog.at_level(logging.INFO, "trio_stream"):
        async with connect(Stream(["a"])) as client:
            await client.read()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a?token=secret", "/a"),  # its "?" was encoded
        ("/a#secret", "/a"),
        ("/a\r\nERROR root: forged", "/aERROR root: forged"),
        ("/\x1b[31m", "/[31m"),
        ("//host/a", "//host/a"),
        ("/" + "x" * 1000, "/" + "x" * 199 + "..."),
    ],
)
async def test_a_path_is_shown_on_one_line_and_without_a_query(
    lines: Any, path: str, shown: str
) -> None:
    scope = {"path": path, "client": ("::1\n", 5)}
    async with connect(Stream(["a"]), scope=scope) as client:
        await client.read()
    [record] = lines()
    assert (record.path, record.route, record.client) == (shown, shown, "[::1]:5")
    assert "\n" not in record.getMessage()


async def events(request: Request) -> StreamResponse:
    return StreamResponse(Stream(["a"]))


def fastapi() -> FastAPI:
    app, router = FastAPI(), APIRouter()
    router.add_api_route("/orders/{id}", events, response_model=None)
    app.include_router(router, prefix="/shop")
    return app


STARLETTE = Starlette(routes=[Mount("/shop", routes=[Route("/orders/{id}", events)])])


@pytest.mark.parametrize("app", [fastapi(), STARLETTE], ids=["fastapi", "starlette"])
async def test_the_route_is_the_frameworks_template(lines: Any, app: Any) -> None:
    """What a part of the application is mounted at, its routes don't know."""
    async with connect(app, "/shop/orders/5") as client:
        await client.read()
    [record] = lines()
    assert record.route in ("/orders/{id}", "/shop/orders/{id}")  # releases of FastAPI differ
    assert record.path == "/shop/orders/5"


async def test_the_requests_context_variables_are_there(
    caplog: pytest.LogCaptureFixture, lines: Any
) -> None:
    request_id = contextvars.ContextVar("request_id", default="none")
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request_id.set("r-1")
        await Stream(["a"])(scope, receive, send)

    def note(record: logging.LogRecord) -> bool:
        seen.append(request_id.get())
        return True

    caplog.handler.addFilter(note)
    try:
        async with connect(app) as client:
            await client.read()
    finally:
        caplog.handler.removeFilter(note)
    assert seen == ["r-1"]


@pytest.mark.parametrize(
    ("of_all", "chosen", "level"),
    [
        (logging.DEBUG, logging.NOTSET, "DEBUG"),
        (logging.INFO, logging.NOTSET, None),
        (logging.INFO, logging.INFO, "INFO"),
        (logging.DEBUG, logging.INFO, "INFO"),
        (logging.WARNING, logging.INFO, None),
        (logging.INFO, logging.DEBUG, None),
        (logging.DEBUG, logging.WARNING, None),
    ],
)
async def test_its_level_is_chosen(
    of_all: int, chosen: int, level: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(of_all, "trio_stream"), caplog.at_level(chosen, "trio_stream.ends"):
        caplog.handler.setLevel(logging.NOTSET)
        async with connect(Stream(["a"])) as client:
            await client.read()
    found = [r.levelname for r in caplog.records if r.msg.startswith("a stream ended")]
    assert found == ([] if level is None else [level])


async def test_served_by_hypercorn() -> None:
    """The address is the client's own, and what a client of HTTP has in its errors is not there."""
    async with hypercorn("tests.serving.logged_app:app", expect_errors=True) as server:
        async with await server.connect() as stream:
            port = stream.socket.getsockname()[1]
            await send_request(stream, "/orders?token=s3cret")
            await read_until(stream, b"data: x\n\n")
        await server.process.wait_for_log(
            rf"a stream ended: disconnected after [0-9.]+ s, 1 events and \d+ bytes; "
            rf"client 127\.0\.0\.1:{port}, GET /orders\n"
        )
        async with server.client() as client:
            assert (await client.get("/upstream?token=s3cret")).status_code == 502
        await server.process.wait_for_log(r"a stream ended: failed .* GET /upstream\n")
        assert "http://upstream.example/v1" in server.process.log()
        assert "s3cret" not in server.process.log()


@pytest.mark.parametrize("how", ["hook", "ping_event", "farewell_event", "silent", "error_event"])
async def test_other_lines_of_a_stream_say_which_one_it_is(
    autojump_clock: Clock, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: object) -> Any:
        raise ValueError("of https://user:s3cret@upstream.example/v1?key=s3cret")

    async def callback(stream: Stream) -> None:
        await stream.send("x")
        await stream.wait(20)
        if how == "error_event":
            raise ValueError

    options: dict[str, dict[str, Any]] = {
        "hook": {"on_end": fails},
        "ping_event": {"ping_event": fails},
        "farewell_event": {"farewell_event": fails, "max_duration": 10},
        "silent": {"idle_timeout": 10},
        "error_event": {"error_event": fails},
    }
    stream = Stream(callback, label="orders", **options[how])
    with suppress(ValueError):
        async with connect(stream, "/orders/5", scope={"client": ("10.0.0.1", 5)}) as client:
            with suppress(EOFError):
                await client.read()
    record = next(record for record in caplog.records if record.levelno >= logging.WARNING)
    fields = {name: getattr(record, name) for name in ("client", "method", "path", "route")}
    assert fields == {
        "client": "10.0.0.1:5",
        "method": "GET",
        "path": "/orders/5",
        "route": "orders",
    }
    if how != "silent":
        assert vars(record)["error"] in ("of https://upstream.example/v1", "")
    assert "s3cret" not in logging.Formatter().format(record)
