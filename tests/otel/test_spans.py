"""A span for each stream: when it begins and ends, whose child it is, what it says; none else."""

from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.support.hypercorn_here import HypercornHere
from trio_stream import Stream, StreamLimits, open_broker
from trio_stream.otel import instrument, link
from trio_stream.testing import connect

Clock = trio.testing.MockClock

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


class Spans:
    """What has been exported, in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("a test's own")

    def all(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def of_streams(self) -> list[ReadableSpan]:
        scopes = [(span, span.instrumentation_scope) for span in self.all()]
        return [span for span, scope in scopes if scope is not None and scope.name == "trio_stream"]

    def one(self) -> ReadableSpan:
        [span] = self.of_streams()
        return span


def names(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    instrumentation = instrument(spans.provider)
    yield spans
    instrumentation.stop()


async def forever(stream: Stream) -> None:
    await trio.sleep_forever()


async def test_one_span_which_ends_with_the_stream(spans: Spans) -> None:
    async with connect(Stream(range(50), label="numbers"), http_version="2") as client:
        body = await client.read()
    span = spans.one()
    assert span.name == "stream numbers"
    assert names(span) == ["opened", "first byte"]
    assert dict(span.attributes or {}) == {
        "http.route": "numbers",
        "network.protocol.version": "2",
        "trio_stream.outcome": "completed",
        "trio_stream.events": 50,
        "trio_stream.bytes": len(body),
        "trio_stream.peak_queued": 50,
    }
    assert span.status.status_code is StatusCode.UNSET
    assert (span.parent, list(span.links)) == (None, [])


async def test_it_is_open_as_long_as_the_stream(spans: Spans) -> None:
    async with connect(Stream(forever, hold_headers=False)):
        await trio.testing.wait_all_tasks_blocked()
        assert spans.all() == []
    assert (spans.one().attributes or {})["trio_stream.outcome"] == "disconnected"


async def test_a_stream_that_fails_is_an_error(spans: Spans) -> None:
    async def fail(stream: Stream) -> None:
        await stream.send("a")
        raise RuntimeError("secret")

    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError), allow_unwrapped=True):
        async with connect(Stream(fail)) as client:
            await client.read()
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert "secret" not in span.to_json()


async def test_so_is_one_that_hangs(spans: Spans, autojump_clock: trio.testing.MockClock) -> None:
    async with connect(Stream(forever, idle_timeout=5, hold_headers=False)) as client:
        await client.read()
    span = spans.one()
    assert (span.attributes or {})["trio_stream.outcome"] == "idle"
    assert span.status.status_code is StatusCode.ERROR


async def test_it_is_the_child_of_the_requests_span_and_linked_to_it(spans: Spans) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with spans.tracer.start_as_current_span("the request"):
            await Stream(["a"])(scope, receive, send)

    async with connect(app) as client:
        await client.read()
    stream, request = spans.all()
    assert request.name == "the request"
    assert stream.parent == request.context
    assert [each.context for each in stream.links] == [request.context]


async def test_without_one_it_is_what_the_requests_headers_say(spans: Spans) -> None:
    async with connect(Stream(["a"]), headers={"traceparent": TRACEPARENT}) as client:
        await client.read()
    span = spans.one()
    assert span.parent is not None
    assert span.parent.trace_id == int(TRACE, 16)
    assert span.parent.span_id == int(SPAN, 16)
    assert [each.context for each in span.links] == [span.parent]


async def test_a_stall_and_a_shutdown_are_events(spans: Spans, autojump_clock: Clock) -> None:
    stream = Stream(forever, stall_timeout=10, hold_headers=False)
    async with connect(stream) as client:
        await trio.testing.wait_all_tasks_blocked()
        client.stall()
        stream.send_nowait("x" * 2**20)
        await trio.sleep(60)
    assert names(spans.one()) == ["opened", "first byte", "stalled"]
    spans.exporter.clear()
    server = HypercornHere(Stream(forever, drain_timeout=2, hold_headers=False))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        nursery.start_soon(server.read, "HTTP/1.1")
        await trio.testing.wait_all_tasks_blocked()
        await server.shut_down()
    assert names(spans.one()) == ["opened", "first byte", "draining"]


async def test_an_entered_stream_has_one_and_what_was_never_open_none(spans: Spans) -> None:
    async with Stream(["a"], label="entered") as stream:
        async for _ in stream.value:
            pass
    assert names(spans.one()) == ["opened", "first byte"]
    limits = StreamLimits(total=1)
    async with connect(Stream(forever, limits=limits, hold_headers=False)):
        async with connect(Stream(forever, limits=limits)):
            pass
        async with connect(Stream(forever), method="HEAD"):
            pass
        assert len(spans.all()) == 1


async def test_events_of_a_topic_make_none(spans: Spans) -> None:
    async with open_broker() as broker, connect(Stream(broker.subscribe("t"))) as client:
        await trio.testing.wait_all_tasks_blocked()
        for n in range(100):
            await broker.publish("t", n)
            await client.receive_event()
    assert len(spans.all()) == 1


async def test_a_stream_is_linked_to_where_its_events_come_from(spans: Spans) -> None:
    async with open_broker() as broker:

        async def orders(stream: Stream) -> None:
            async with broker.subscribe("orders") as events:
                async for event in events:
                    order = event.json()
                    link(stream, order["traceparent"])
                    await stream.send(order["number"])

        async with connect(Stream(orders, hold_headers=False)) as client:
            await trio.testing.wait_all_tasks_blocked()
            with spans.tracer.start_as_current_span("publish") as publishing:
                context = publishing.get_span_context()
                traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
                await broker.publish("orders", {"number": 5, "traceparent": traceparent})
            await client.receive_event()
    assert [each.context.span_id for each in spans.one().links] == [context.span_id]


async def test_what_is_no_traceparent_is_no_link(spans: Spans) -> None:
    stream = Stream()
    link(stream, TRACEPARENT)  # it has no span yet
    async with connect(stream):
        for text in ("", "x", "00-0-0-00", "99" + TRACEPARENT, TRACEPARENT + "\n" + TRACEPARENT):
            link(stream, text)
    link(stream, TRACEPARENT)
    assert list(spans.one().links) == []
    with pytest.raises(TypeError, match="stream must be a Stream"):
        link("stream", TRACEPARENT)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="traceparent must be"):
        link(stream, b"x")  # type: ignore[arg-type]


async def test_after_stop_there_are_none_and_those_that_were_open_have_ended() -> None:
    spans = Spans()
    instrumentation = instrument(spans.provider)
    async with connect(Stream(forever, hold_headers=False)):
        instrumentation.stop()
        instrumentation.stop()
        assert len(spans.of_streams()) == 1
        async with connect(Stream(["a"])) as client:
            await client.read()
    assert len(spans.of_streams()) == 1


async def test_without_an_sdk_it_does_nothing() -> None:
    instrumentation = instrument(trace.NoOpTracerProvider())
    async with connect(Stream(["a"])) as client:
        await client.read()
    instrumentation.stop()
