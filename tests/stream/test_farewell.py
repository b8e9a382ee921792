"""The end of a stream whose producer had more to say, in the way that its client understands."""

import logging
import re
from collections.abc import Callable
from typing import Any, Literal

import pytest
import trio
import trio.testing

from tests.support.hypercorn_here import PROTOCOLS, HypercornHere
from tests.support.raw import EVENT_SOURCE
from tests.support.tasks import NothingLeft
from trio_stream import ServerSentEvent, Stream
from trio_stream.testing import connect

from .test_every_way_out import deaf, scope_of, silent

Clock = trio.testing.MockClock
Ended = Literal["complete", "broken"]

ERROR = ServerSentEvent({"type": "error"})


async def forever(stream: Stream) -> None:
    await stream.send("one", id=1)
    await trio.sleep_forever()


async def ended(
    stream: Stream, *, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[str, bytes]:
    """How it ends when the server is over, and what comes behind its first event then."""
    async with connect(stream, method=method, headers=headers) as client:
        seen = b""
        while b"one" not in seen:
            seen += await client.receive_chunk()
        client.cancel_app()
        rest = await client.read()
        assert client.ended is not None
        return client.ended, rest


FETCH = {"accept": "*/*"}
FETCHES: list[tuple[str, dict[str, str]]] = [
    ("POST", {}),
    ("GET", FETCH),
    ("GET", {"accept": "text/event-stream"}),
    ("GET", {"accept": "text/event-stream, text/html", "cache-control": "no-cache"}),
    ("POST", {"accept": "text/event-stream", "cache-control": "no-cache"}),
]


@pytest.mark.parametrize(("method", "headers"), FETCHES)
async def test_by_itself_it_is_broken_for_who_reads_the_response(
    method: str, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    stream = Stream(forever)
    end, rest = await ended(stream, method=method, headers=headers)
    assert end == "broken"
    assert 3000 <= int(re.findall(rb"retry: (\d+)\n$", rest)[0]) < 13_000
    assert stream.outcome == "shutdown"
    assert caplog.records == []


async def test_it_says_no_retry_where_none_is_wanted() -> None:
    stream = Stream(forever, retry=False, farewell_event=ERROR)
    assert await ended(stream, method="POST") == ("broken", b'data: {"type":"error"}\n\n')


@pytest.mark.parametrize("headers", [EVENT_SOURCE, {}])
async def test_by_itself_it_is_proper_for_an_event_source(headers: dict[str, str]) -> None:
    """And for a program that says nothing of what it accepts, as no `fetch` does."""
    stream = Stream(forever)
    assert (await ended(stream, headers=headers))[0] == "complete"
    assert stream.outcome == "shutdown"


@pytest.mark.parametrize(("farewell", "end"), [("proper", "complete"), ("broken", "broken")])
@pytest.mark.parametrize(("method", "headers"), [*FETCHES, ("GET", EVENT_SOURCE)])
async def test_it_is_as_the_stream_has_it(
    method: str, headers: dict[str, str], farewell: Any, end: Ended
) -> None:
    stream = Stream(forever, farewell=farewell)
    assert (await ended(stream, method=method, headers=headers))[0] == end


@pytest.mark.parametrize("format", ["ndjson", "text", "bytes"])
async def test_other_formats_end_as_told(format: Any) -> None:
    async def pause(stream: Stream) -> None:
        await stream.send(b"one" if format == "bytes" else "one")
        await trio.sleep_forever()

    for farewell, end in (("auto", "broken"), ("broken", "broken"), ("proper", "complete")):
        stream = Stream(pause, format=format, farewell=farewell)  # type: ignore[arg-type]
        assert await ended(stream, headers=FETCH) == (end, b"")


@pytest.mark.parametrize("times", [{"max_duration": 10}, {"expires_at": 1}])
async def test_so_does_one_whose_time_is_over(
    times: dict[str, float], autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for headers, end in ((FETCH, "broken"), (EVENT_SOURCE, "complete")):
        stream = Stream(forever, farewell_event=ERROR, **times)  # type: ignore[arg-type]
        async with connect(stream, headers=headers) as client:
            body = await client.read()
            assert client.ended == end
        assert body.endswith(b'data: {"type":"error"}\n\n')
        assert stream.outcome == "expired"
    assert caplog.records == []


async def test_one_that_ends_by_itself_is_whole() -> None:
    async def last_words(stream: Stream) -> None:
        await stream.send("one")
        stream.close()

    for stream in (Stream(["one"]), Stream(last_words)):
        async with connect(stream) as client:
            await client.read()
            assert client.ended == "complete"


# An event of one's own.


def by_stream(stream: Stream) -> ServerSentEvent:
    assert stream.outcome == "shutdown"
    assert stream.scope is not None
    return ERROR


@pytest.mark.parametrize("farewell_event", [ERROR, by_stream])
async def test_an_event_of_ones_own_comes_behind_the_retry(farewell_event: Any) -> None:
    """In one block with it: some clients obey a `retry` at the end of a block with data alone."""
    stream = Stream(forever, farewell_event=farewell_event, ids=lambda: "never")
    _, rest = await ended(stream)
    assert re.fullmatch(rb'retry: \d+\ndata: {"type":"error"}\n\n', rest)


async def test_it_takes_the_streams_name() -> None:
    stream = Stream(forever, farewell_event=ERROR, event="tick")
    _, rest = await ended(stream)
    assert b"\nevent: tick\ndata: " in rest


def raises(stream: Stream) -> ServerSentEvent:
    raise ZeroDivisionError("its own")


@pytest.mark.parametrize(
    ("farewell_event", "message"),
    [
        (raises, "ZeroDivisionError: its own"),
        (lambda stream: {"type": "error"}, "not of type dict"),
        (lambda stream: ServerSentEvent(comment="x"), "without data"),
        (lambda stream: ServerSentEvent("x", event="a\nb"), "ValueError"),
    ],
)
async def test_a_function_that_fails_is_logged_and_the_farewell_goes_on(
    farewell_event: Callable[[Stream], Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    stream = Stream(forever, farewell_event=farewell_event)
    end, rest = await ended(stream, headers=EVENT_SOURCE)
    assert (end, stream.outcome) == ("complete", "shutdown")
    assert re.fullmatch(rb"retry: \d+\n", rest)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "farewell_event= failed" in caplog.text
    assert message in caplog.text


async def test_a_function_may_have_nothing_to_say(caplog: pytest.LogCaptureFixture) -> None:
    _, rest = await ended(Stream(forever, farewell_event=lambda stream: None))
    assert re.fullmatch(rb"retry: \d+\n", rest)
    assert caplog.records == []


@pytest.mark.parametrize("protocol", ["in memory", *PROTOCOLS])
@pytest.mark.parametrize("farewell_event", [raises, lambda stream: None])
async def test_it_ends_when_its_time_is_over_also_with_nothing_to_say(
    farewell_event: Any, protocol: str, autojump_clock: Clock
) -> None:
    stream = Stream(forever, max_duration=5, farewell_event=farewell_event, farewell="proper")
    with trio.fail_after(60):
        if protocol == "in memory":
            async with connect(stream) as client:
                await client.read()
                assert client.ended == "complete"
        else:
            assert await ask_here(stream, protocol)
    assert stream.outcome == "expired"


@pytest.mark.parametrize("protocol", ["in memory", *PROTOCOLS])
async def test_text_without_a_length_may_be_the_last(protocol: str, autojump_clock: Clock) -> None:
    """Written by nobody, and nothing comes behind it."""

    async def last(stream: Stream) -> None:
        await stream.send("a")
        await trio.sleep(1)
        stream.send_nowait("")
        stream.close()

    stream = Stream(last, format="text")
    with trio.fail_after(60):
        if protocol == "in memory":
            async with connect(stream) as client:
                assert await client.read() == b"a"
        else:
            assert await ask_here(stream, protocol)


async def ask_here(stream: Stream, protocol: str) -> bool:
    """Whether its client takes it for whole, over a connection of Hypercorn's."""
    server, answers = HypercornHere(stream), []

    async def ask() -> None:
        answers.append(await server.read(protocol))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await server.run()
    return answers[0].whole


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("how", ["served", "entered", "cancelled"])
async def test_a_function_that_ends_the_program_does_so_by_the_streams_call(
    how: str, error: BaseException, autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    """Not in the task that looks after the time of all streams, which is Trio's own."""

    def end(stream: Stream) -> ServerSentEvent:
        raise error

    stream = Stream(forever, max_duration=5, farewell_event=end)

    async def use() -> None:
        with trio.fail_after(60), trio.move_on_after(1 if how == "cancelled" else 60):
            if how == "entered":
                async with stream:
                    async for _ in stream.value:
                        pass
            else:
                await stream(scope_of(), silent, deaf)

    with pytest.raises(type(error)) as caught:
        await use()
    assert caught.value is error
    await no_task_left()


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"farewell": "quick"}, ValueError, "farewell must be one of 'auto', 'proper', 'broken'"),
        ({"farewell": None}, TypeError, "farewell must be"),
        ({"farewell_event": "bye"}, TypeError, "farewell_event must be a callable"),
        ({"farewell_event": {"type": "error"}}, TypeError, "farewell_event must be a callable"),
        ({"farewell_event": ServerSentEvent(retry=1)}, ValueError, "without data"),
        ({"farewell_event": ServerSentEvent("x", id="a\n")}, ValueError, "id"),
        ({"farewell_event": ERROR, "format": "ndjson"}, TypeError, "needs format='sse'"),
        ({"error_event": ServerSentEvent(retry=1)}, ValueError, "without data"),
        ({"error_end": "proper"}, ValueError, "needs error_event="),
        ({"error_end": "auto", "error_event": ERROR}, ValueError, "error_end must be"),
        ({"on_end": ERROR}, TypeError, "on_end must be a callable"),
        ({"ids": ERROR}, TypeError, "ids must be a callable"),
    ],
)
def test_misuse(keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Stream(**keywords)


# The end behind an error event.


async def fails(stream: Stream) -> None:
    await stream.send("one")
    await stream.wait(1)
    raise ZeroDivisionError


def without_data(error: BaseException) -> ServerSentEvent:
    return ServerSentEvent(comment="x")


def nothing(error: BaseException) -> None:
    return None


@pytest.mark.parametrize(
    ("keywords", "end"),
    [
        ({"error_event": ERROR, "error_end": "proper"}, "complete"),
        ({"error_event": lambda error: ERROR, "error_end": "proper"}, "complete"),
        ({"error_event": ERROR, "error_end": "broken"}, "broken"),
        ({"error_event": ERROR}, "broken"),
        # What is not told would look like success.
        ({"error_event": nothing, "error_end": "proper"}, "broken"),
        ({"error_event": raises, "error_end": "proper"}, "broken"),
        ({"error_event": without_data, "error_end": "proper"}, "broken"),
    ],
)
async def test_a_failure_that_is_told_may_end_properly(
    keywords: dict[str, Any], end: Ended, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    stream = Stream(fails, **keywords)
    raised: list[BaseException] = []

    async def app(*request: Any) -> None:
        try:
            await stream(*request)
        except ZeroDivisionError as error:
            raised.append(error)

    async with connect(app) as client:
        body = await client.read()
        assert client.ended == end
    assert raised  # for the server's log, either way
    assert body.startswith(b"retry: 3000\ndata: one\n\n")
    assert body.endswith(b'{"type":"error"}\n\n') or end == "broken"
    assert stream.outcome == "failed"
