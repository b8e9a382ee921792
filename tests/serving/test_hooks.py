"""What is called as streams and subscriptions live, and what comes of it when that fails."""

import contextvars
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from tests.support.hypercorn_here import HypercornHere
from trio_stream import (
    Broker,
    Stream,
    StreamHooks,
    StreamLimits,
    Subscription,
    SubscriptionHooks,
    open_broker,
)
from trio_stream.stream.options.hooks import hook_all, unhook_all
from trio_stream.testing import connect

Clock = trio.testing.MockClock

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")


class Called:
    """Notes which hooks were called, and how the stream or subscription was then."""

    def __init__(self, of: Callable[..., Any], state: Callable[[Any], object]) -> None:
        self.names: list[str] = []
        self.states: list[Any] = []

        def noting(name: str) -> Callable[[Any], None]:
            def note(subject: Any) -> None:
                self.names.append(name.removeprefix("on_"))
                self.states.append(state(subject))

            return note

        self.hooks = of(**{field.name: noting(field.name) for field in fields(of)})


@pytest.fixture
def called() -> Called:
    return Called(StreamHooks, lambda stream: (stream.outcome, stream.statistics().bytes > 0))


@pytest.fixture
def followed() -> Called:
    return Called(SubscriptionHooks, lambda subscription: subscription.statistics().at_head)


async def forever(stream: Stream) -> None:
    await trio.sleep_forever()


async def test_a_stream_opens_says_something_and_ends(called: Called) -> None:
    async with connect(Stream(["a", "b"], hooks=called.hooks)) as client:
        await client.read()
    assert called.names == ["open", "first_byte", "end"]
    assert [begun for _, begun in called.states] == [False, True, True]
    assert called.states[2][0] == "completed"


@pytest.mark.parametrize("format", ["sse", "ndjson"])
@pytest.mark.parametrize("hold_headers", [True, False])
async def test_the_first_byte_may_be_late(
    autojump_clock: Clock, format: Any, hold_headers: bool
) -> None:
    """The `retry` that an event stream begins with is one."""
    called = Called(StreamHooks, lambda stream: stream.statistics().seconds_open)

    async def late(stream: Stream) -> None:
        await stream.wait(5)
        await stream.send("a")
        await stream.send("b")

    stream = Stream(late, hooks=called.hooks, format=format, hold_headers=hold_headers)
    async with connect(stream) as client:
        await client.read()
    assert called.names == ["open", "first_byte", "end"]
    assert called.states[1] == (0 if format == "sse" and not hold_headers else 5)


async def test_an_entered_stream_has_them_too(called: Called) -> None:
    async with Stream(["a", "b"], hooks=called.hooks) as stream:
        assert called.names == ["open"]
        async for _ in stream.value:
            assert called.names == ["open", "first_byte"]
    assert called.names == ["open", "first_byte", "end"]


async def test_what_has_no_length_is_no_first_byte_of_theirs(autojump_clock: Clock) -> None:
    called = Called(StreamHooks, lambda stream: stream.statistics().bytes)

    async def produce(stream: Stream) -> None:
        for text in ("", "", "a", "b"):
            await stream.send(text)
            await stream.wait(1)

    async with Stream(produce, format="text", hooks=called.hooks) as stream:
        assert [chunk async for chunk in stream.value] == [b"", b"", b"a", b"b"]
    assert called.names == ["open", "first_byte", "end"]
    assert called.states == [0, 1, 2]


async def test_what_was_never_open_has_an_end_alone(called: Called) -> None:
    limits = StreamLimits(total=1)
    async with (
        connect(Stream(forever, limits=limits, hold_headers=False)),
        connect(Stream(forever, limits=limits, hooks=called.hooks)),
    ):
        pass
    async with connect(Stream(forever, hooks=called.hooks), method="HEAD"):
        pass
    assert called.names == ["end", "end"]
    assert [outcome for outcome, _ in called.states] == ["refused", "answered"]


async def test_a_client_that_stalls(called: Called, autojump_clock: Clock) -> None:
    stream = Stream(forever, hooks=called.hooks, stall_timeout=10, hold_headers=False)
    async with connect(stream) as client:
        await trio.testing.wait_all_tasks_blocked()
        client.stall()
        stream.send_nowait("x" * 2**20)
        await trio.sleep(60)
        assert called.names == ["open", "first_byte", "stall", "end"]
        assert called.states[2][0] == "stalled"


async def test_a_server_that_shuts_down(called: Called, autojump_clock: Clock) -> None:
    stream = Stream(forever, hooks=called.hooks, drain_timeout=2, hold_headers=False)
    server = HypercornHere(stream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        nursery.start_soon(server.read, "HTTP/1.1")
        await trio.testing.wait_all_tasks_blocked()
        await server.shut_down()
        await trio.sleep(1)
        assert called.names == ["open", "first_byte", "drain"]
        assert called.states[2][0] is None
    assert called.names == ["open", "first_byte", "drain", "end"]


async def test_an_upstream_that_sends_what_is_no_event(called: Called) -> None:
    body = b"data: a\n\n<html>\ndata: b\n\n"
    kind = {"content-type": "text/event-stream"}
    upstream = httpx.Response(200, headers=kind, stream=Body(body))
    async with connect(Stream(upstream, hooks=called.hooks)) as client:
        await client.read()
    assert sorted(called.names) == ["drop", "end", "first_byte", "open"]


class Body(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body


async def test_they_find_the_context_of_the_request(autojump_clock: Clock) -> None:
    found: list[tuple[str, str]] = []

    def noting(name: str) -> Callable[[Stream], None]:
        return lambda stream: found.append((name, request_id.get()))

    names = ("on_open", "on_first_byte", "on_stall", "on_end")
    hooks = StreamHooks(**{name: noting(name) for name in names})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request_id.set(scope["path"])
        stream = Stream(label="context", hooks=hooks, stall_timeout=10)
        stream.send_nowait("x" * 2**20)
        await stream(scope, receive, send)

    async with connect(app, "/one") as one, connect(app, "/two") as two:
        one.stall()
        two.stall()
        await trio.sleep(60)
    assert sorted(found) == sorted((name, path) for name in names for path in ("/one", "/two"))


async def test_those_of_all_streams_are_called_behind_each_ones_own() -> None:
    order: list[str] = []
    everywhere = StreamHooks(on_end=lambda stream: order.append("everywhere"))
    hook_all(everywhere)
    try:
        own = StreamHooks(on_end=lambda stream: order.append("own"))
        async with connect(Stream(["a"], hooks=own, on_end=lambda _: order.append("on_end"))) as c:
            await c.read()
        async with connect(Stream(["a"])) as c:
            await c.read()
    finally:
        unhook_all(everywhere)
    async with connect(Stream(["a"])) as c:
        await c.read()
    assert order == ["own", "everywhere", "on_end", "everywhere"]


def raising(_: object) -> None:
    raise RuntimeError("a hook's own fault")


async def awaiting(_: object) -> None:
    raise AssertionError("never run")


@pytest.mark.parametrize(
    ("hook", "text"),
    [(raising, "raised"), (lambda stream: awaiting(stream), "returned a coroutine")],
    ids=["raises", "is async after all"],
)
async def test_what_they_do_wrong_is_logged_and_harms_nothing(
    hook: Callable[[Any], object], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    hooks = StreamHooks(on_open=hook, on_first_byte=hook, on_end=hook)
    own = SubscriptionHooks(on_open=hook, on_first_event=hook, on_end=hook)
    async with open_broker() as broker:
        await broker.publish("t", "a")
        subscription = broker.subscribe("t", after="earliest", hooks=own)
        async with connect(Stream(subscription, hooks=hooks)) as client:
            assert (await client.receive_event()).data == "a"
            await broker.publish("t", "b")
            assert (await client.receive_event()).data == "b"
    messages = [record.getMessage() for record in caplog.records]
    names = ("on_open", "on_open", "on_first_byte", "on_first_event", "on_end", "on_end")
    assert sorted(message.split("=")[0] for message in messages) == sorted(names)
    assert all(text in message for message in messages)


async def test_one_that_blocks_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def block(_: Stream) -> None:
        nonlocal now
        now += 0.5

    monkeypatch.setattr("trio_stream.stream.options.hooks.perf_counter", lambda: now)
    caplog.set_level(logging.WARNING, "trio_stream")
    for _ in range(2):
        async with connect(Stream(["a"], hooks=StreamHooks(on_open=block))) as client:
            await client.read()
    [record] = caplog.records
    assert record.getMessage().startswith("on_open= took 0.5 s, in which every stream")


@pytest.mark.parametrize("of", [StreamHooks, SubscriptionHooks])
def test_async_functions_are_refused(of: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="on_open must be a sync function"):
        of(on_open=awaiting)
    with pytest.raises(TypeError, match="on_end must be a callable"):
        of(on_end=5)


def test_on_end_of_a_stream_may_not_be_async_either() -> None:
    with pytest.raises(TypeError, match="on_end must be a sync function"):
        Stream(on_end=awaiting)


async def test_a_hook_may_end_its_stream() -> None:
    hooks = StreamHooks(on_open=lambda stream: stream.close())
    async with connect(Stream(forever, hooks=hooks)) as client:
        await client.read()
        assert client.ended == "complete"


# Subscriptions.


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with open_broker() as broker:
        yield broker


async def test_a_subscription_at_the_head_opens_gives_something_and_leaves(
    broker: Broker, followed: Called
) -> None:
    stream = Stream(broker.subscribe("t", hooks=followed.hooks))
    async with connect(stream) as client:
        await trio.testing.wait_all_tasks_blocked()
        assert followed.names == ["open"]
        for n in range(3):
            await broker.publish("t", n)
            assert (await client.receive_event()).data == str(n)
            assert followed.names == ["open", "first_event"]
    assert followed.names == ["open", "first_event", "end"]


async def test_an_event_that_is_only_passed_on_may_be_the_first(
    broker: Broker, followed: Called
) -> None:
    async with connect(Stream(broker.subscribe("t", hooks=followed.hooks))) as client:
        await trio.testing.wait_all_tasks_blocked()
        await broker.publish("t", "now", keep=False)
        assert (await client.receive_event()).data == "now"
        assert followed.names == ["open", "first_event"]


@pytest.mark.parametrize("options", [{}, {"overflow": "latest"}], ids=["all", "latest"])
async def test_one_that_has_something_to_catch_up(
    broker: Broker, followed: Called, options: dict[str, Any]
) -> None:
    await broker.publish("t", "a")
    subscription = broker.subscribe("t", after="earliest", hooks=followed.hooks, **options)
    async with connect(Stream(subscription, compress="auto")) as client:
        assert (await client.receive_event()).data == "a"
        await broker.publish("t", "b")
        assert (await client.receive_event()).data == "b"
    assert followed.names == ["open", "first_event", "end"]


async def test_a_compressed_stream_at_the_head(broker: Broker, followed: Called) -> None:
    gzip = {"accept-encoding": "gzip"}
    stream = Stream(broker.subscribe("t", hooks=followed.hooks), compress="auto")
    async with connect(stream, headers=gzip) as client:
        await trio.testing.wait_all_tasks_blocked()
        await broker.publish("t", "a")
        assert (await client.receive_event()).data == "a"
    assert followed.names == ["open", "first_event", "end"]


async def test_an_iterator(broker: Broker, followed: Called) -> None:
    async with broker.subscribe("t", after="earliest", hooks=followed.hooks) as events:
        assert followed.names == []
        await broker.publish("t", "a")
        await broker.publish("t", "b")
        await anext(events)
        await anext(events)
        assert followed.names == ["open", "first_event"]
    await events.aclose()
    assert followed.names == ["open", "first_event", "end"]


async def test_one_that_was_never_used_has_no_end(broker: Broker, followed: Called) -> None:
    await broker.subscribe("t", hooks=followed.hooks).aclose()
    assert followed.names == []


async def test_what_newer_events_replace_and_what_is_gone(followed: Called) -> None:
    counted: list[tuple[int, int]] = []

    def note(subscription: Subscription) -> None:
        now = subscription.statistics()
        counted.append((now.conflated, now.gaps))

    hooks = SubscriptionHooks(on_drop=note)
    async with open_broker(history=5) as broker:
        for n in range(10):
            await broker.publish("t", n)
        latest = broker.subscribe("t", after="earliest", overflow="latest", hooks=hooks)
        assert (await anext(latest)).data == "9"
        assert counted == [(4, 0)]
        late = broker.subscribe("t", after="1", hooks=hooks)
        async with connect(Stream(late)) as client:
            assert (await client.receive_event()).event == "gap"
        assert counted == [(4, 0), (0, 1)]


@pytest.mark.parametrize("hooks", [5, "on_end", {"on_end": print}, SubscriptionHooks()])
async def test_what_are_no_hooks_are_refused(broker: Broker, hooks: Any) -> None:
    with pytest.raises(TypeError, match="hooks must be a StreamHooks, not"):
        Stream(hooks=hooks)
    if not isinstance(hooks, SubscriptionHooks):
        with pytest.raises(TypeError, match="hooks must be a SubscriptionHooks, not"):
            broker.subscribe("t", hooks=hooks)


@pytest.fixture(autouse=True)
def log_errors(caplog: pytest.LogCaptureFixture) -> None:
    # Not `at_level`: a test's own `set_level` would find this level, and leave it to other tests.
    caplog.set_level(logging.ERROR, "trio_stream")
