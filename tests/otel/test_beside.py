"""What the instrumentation of others makes of a stream's events, and how to have less of it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
import trio
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware

from tests.otel.test_spans import Spans
from tests.support.hypercorn_here import HypercornHere
from trio_stream import Stream, StreamMiddleware
from trio_stream.otel import instrument
from trio_stream.testing import connect
from trio_stream.transport.asgi import Receive, Scope, Send
from trio_stream.transport.memory import Application

EVENTS = 200


async def produce(stream: Stream) -> None:
    """Events that come one by one."""
    for n in range(EVENTS):
        await stream.send(n)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await Stream(produce, label="numbers")(scope, receive, send)


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    instrumentation = instrument(spans.provider)
    yield spans
    instrumentation.stop()


def kinds(spans: Spans) -> Counter[str]:
    """How many spans end in which word."""
    return Counter(span.name.split()[-1] for span in spans.all())


async def read(app: Application) -> None:
    async with connect(app) as client:
        await client.read()


async def read_from_hypercorn(app: Application) -> None:
    server = HypercornHere(app)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        assert (await server.read("HTTP/1.1")).whole
        nursery.cancel_scope.cancel()


async def test_opentelemetrys_middleware_makes_a_span_for_each_write(spans: Spans) -> None:
    await read(OpenTelemetryMiddleware(app, tracer_provider=spans.provider))
    found = kinds(spans)
    assert found["send"] >= EVENTS / 2  # the writer may have had several at once
    assert found["numbers"] == 1


async def test_and_none_where_these_are_excluded(spans: Spans) -> None:
    excluded: list[Any] = ["send", "receive"]
    provider = spans.provider
    await read(OpenTelemetryMiddleware(app, tracer_provider=provider, exclude_spans=excluded))
    named = {span.name: span for span in spans.all()}
    assert named.keys() == {"GET /", "stream numbers"}
    assert named["stream numbers"].parent == named["GET /"].context


async def test_nor_for_what_goes_past_it_on_hypercorn(spans: Spans) -> None:
    inner = OpenTelemetryMiddleware(app, tracer_provider=spans.provider)
    await read_from_hypercorn(StreamMiddleware(inner))
    assert 0 < kinds(spans)["send"] < 10
    spans.exporter.clear()
    await read_from_hypercorn(inner)  # nobody has told the stream of Hypercorn's connection
    assert kinds(spans)["send"] >= EVENTS / 2


async def test_sentrys_middleware_makes_one_transaction() -> None:
    transactions: list[Any] = []

    def note(event: Any, hint: Any) -> None:
        transactions.append(event)

    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",  # to which nothing is sent
        traces_sample_rate=1.0,
        before_send_transaction=note,
        default_integrations=False,
        auto_enabling_integrations=False,
    )
    try:
        await read(SentryAsgiMiddleware(app))
        await read_from_hypercorn(StreamMiddleware(SentryAsgiMiddleware(app)))
    finally:
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)
    assert [len(each["spans"]) for each in transactions] == [0, 0]
