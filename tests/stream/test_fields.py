"""Names, ids and retry: of one event, of the stream, and of events encoded before."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER, body_of, events_of
from trio_stream import EncodedEvent, ServerSentEvent, Stream, encode
from trio_stream.testing import connect


async def test_each_field_is_sent_with_its_event() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("a", event="tick", id="7", retry=1500)

    assert await body_of(Stream(callback)) == (
        PRIMER + b"id: 7\nevent: tick\nretry: 1500\ndata: a\n\n"
    )


async def test_the_streams_event_names_those_without_a_name() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("a")
        await stream.send("b", event="own")
        await stream.send(ServerSentEvent("c", event="its"))
        await stream.send(ServerSentEvent("d"))
        await stream.send("e", event="message")

    events = await events_of(Stream(callback, event="tick"))
    assert [event.event for event in events] == ["tick", "own", "its", "tick", "message"]


async def test_event_holds_for_what_is_sent_after_it_was_set() -> None:
    async def callback(stream: Stream) -> None:
        for name in ("a", "b", None):
            stream.event = name
            assert stream.event == name
            await stream.send("x")

    assert [event.event for event in await events_of(Stream(callback))] == ["a", "b", "message"]


async def test_it_names_the_events_of_an_automatic_source() -> None:
    events = await events_of(Stream(["a", ServerSentEvent("b", event="own")], event="tick"))
    assert [event.event for event in events] == ["tick", "own"]


async def test_retry_is_in_the_primer() -> None:
    assert await body_of(Stream(["a"], retry=1234)) == b"retry: 1234\ndata: a\n\n"


async def test_without_one_the_primer_says_what_browsers_do_anyway() -> None:
    assert await body_of(Stream([])) == b"retry: 3000\n"


async def test_false_leaves_it_out() -> None:
    assert await body_of(Stream(["a"], retry=False)) == b"data: a\n\n"
    async with Stream(["a"], retry=False) as stream:
        assert b"".join([chunk async for chunk in stream.value]) == b"data: a\n\n"


@pytest.mark.parametrize("first", [0, 500])
async def test_false_may_be_changed_and_be_set_later(first: int) -> None:
    async def callback(stream: Stream) -> None:
        for name, retry in [("a", False), ("b", first), ("c", False), ("d", first)]:
            stream.retry = retry
            assert stream.retry is retry
            await stream.send(name)
            await trio.testing.wait_all_tasks_blocked()

    assert await body_of(Stream(callback, retry=False)) == (
        b"data: a\n\nretry: %d\ndata: b\n\ndata: c\n\nretry: %d\ndata: d\n\n" % (first, first)
    )


async def test_false_taken_back_before_the_first_byte_is_the_default() -> None:
    stream = Stream(["a"], retry=False)
    stream.retry = None
    assert await body_of(stream) == PRIMER + b"data: a\n\n"


async def test_false_leaves_the_retry_of_an_event_alone() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("a", retry=5)

    assert await body_of(Stream(callback, retry=False)) == b"retry: 5\ndata: a\n\n"


async def test_the_headers_go_out_without_a_first_line() -> None:
    async with connect(Stream(retry=False)) as client:
        assert client.status == 200


async def test_a_changed_retry_goes_out_once_before_the_next_event() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("a")
        await trio.testing.wait_all_tasks_blocked()
        stream.retry = 500
        stream.retry = 500
        await stream.send("b", event="named")
        stream.retry = 500
        await stream.send("c")

    assert await body_of(Stream(callback)) == (
        PRIMER + b"data: a\n\nretry: 500\nevent: named\ndata: b\n\ndata: c\n\n"
    )


async def test_changed_after_the_end_it_goes_nowhere() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("a")
        await trio.testing.wait_all_tasks_blocked()
        stream.close()
        stream.retry = 500
        with pytest.raises(trio.ClosedResourceError):
            stream.send_nowait("b")

    assert await body_of(Stream(callback)) == PRIMER + b"data: a\n\n"


async def test_set_before_the_first_byte_it_is_the_primers() -> None:
    stream = Stream()
    stream.retry = 700
    stream.send_nowait("a")
    stream.close()
    assert await body_of(stream) == b"retry: 700\ndata: a\n\n"


async def test_a_pending_retry_is_not_lost_with_an_event_that_finds_no_room() -> None:
    stream = Stream(buffer=1)
    async with connect(stream) as client:
        await trio.testing.wait_all_tasks_blocked()
        client.stall()
        await stream.send("under way")
        await trio.testing.wait_all_tasks_blocked()
        await stream.send("queued")
        stream.retry = 500
        with pytest.raises(trio.WouldBlock):
            stream.send_nowait("refused")
        with trio.CancelScope() as scope:
            scope.cancel()
            await stream.send("refused")
        client.resume()
        await stream.send("later")
        stream.close()
        data = [event.data async for event in client.events()]
        assert data == ["under way", "queued", "later"]
        assert client.retry == 500


async def test_a_retry_that_cannot_be_sent_changes_nothing() -> None:
    stream = Stream(retry=100)
    for bad, error in [(-1, ValueError), (1.5, TypeError), (True, TypeError), ("1", TypeError)]:
        with pytest.raises(error):
            stream.retry = bad  # type: ignore[assignment]
    assert stream.retry == 100


async def test_an_event_name_that_cannot_be_sent_changes_nothing() -> None:
    stream = Stream(event="tick")
    for bad, error in [("a\nb", ValueError), ("a\0", ValueError), (5, TypeError)]:
        with pytest.raises(error):
            stream.event = bad  # type: ignore[assignment]
    assert stream.event == "tick"


async def test_ids_gives_each_event_without_one_an_id() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("a")
        await stream.send("b", id="own")
        await stream.send(ServerSentEvent("c", id="its"))
        await stream.send(ServerSentEvent("d"))

    events = await events_of(Stream(callback, ids=itertools.count(1).__next__))
    assert [event.id for event in events] == ["1", "own", "its", "2"]


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize("field", ["event", "id"])
async def test_no_field_can_be_injected(field: str, bad: str) -> None:
    stream = Stream()
    with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
        await stream.send("x", **{field: bad})  # type: ignore[arg-type]
    assert stream.statistics().events == 0


async def test_an_id_of_the_callable_is_checked_too() -> None:
    stream = Stream(ids=lambda: "1\ndata: evil")
    with pytest.raises(ValueError, match="an event id cannot hold"):
        await stream.send("x")


async def test_an_encoded_event_is_sent_as_it_is() -> None:
    once = encode({"n": 1}, event="tick", id=7)

    async def callback(stream: Stream) -> None:
        await stream.send(once)
        stream.send_nowait(EncodedEvent(b": in wire form already\n\n"))

    stream = Stream(callback, event="not for it", ids=lambda: "nor this")
    assert await body_of(stream) == PRIMER + once.data + b": in wire form already\n\n"


async def test_any_number_of_streams_take_one() -> None:
    once = encode("x")
    for _ in range(3):
        assert await body_of(Stream([once])) == PRIMER + once.data


async def test_a_pending_retry_goes_before_an_encoded_event() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("a")
        await trio.testing.wait_all_tasks_blocked()
        stream.retry = 500
        await stream.send(encode("b"))

    assert await body_of(Stream(callback)) == PRIMER + b"data: a\n\nretry: 500\ndata: b\n\n"


@pytest.mark.parametrize("fields", [{"event": "a"}, {"id": "1"}, {"retry": 5}])
async def test_fields_cannot_be_added_to_an_encoded_event(fields: dict[str, str | int]) -> None:
    with pytest.raises(TypeError, match=r"give them to encode\(\) instead"):
        await Stream().send(encode("x"), **fields)  # type: ignore[arg-type]


async def test_an_encoded_event_of_another_format_is_refused() -> None:
    with pytest.raises(TypeError, match="in format 'sse' cannot go into a 'ndjson' stream"):
        await Stream(format="ndjson").send(encode("x"))
    with pytest.raises(TypeError, match="in format 'ndjson' cannot go into a 'sse' stream"):
        await Stream().send(EncodedEvent(b"{}\n", format="ndjson"))


@pytest.mark.parametrize("turns", range(12))
async def test_a_retry_that_is_set_while_the_stream_begins_goes_out_once(turns: int) -> None:
    async def app(stream: Stream) -> None:
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        stream.retry = 7000
        stream.send_nowait("one")
        stream.send_nowait("two")

    async def slow_to_start(scope: Any, receive: Any, send: Any) -> None:
        async def slow_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                for _ in range(4):
                    await trio.lowlevel.checkpoint()
            await send(message)

        await Stream(app)(scope, receive, slow_send)

    for _ in range(5):  # Trio runs tasks in any order
        async with connect(slow_to_start) as client:
            body = await client.read()
        assert body.count(b"retry: 7000\n") == 1
        assert body.endswith(b"data: one\n\ndata: two\n\n")


# A function that makes the names.


class Said(dict[str, str]):
    @property
    def type(self) -> str:
        return self["type"]


async def test_a_function_makes_the_names_of_items() -> None:
    events = await events_of(Stream([Said(type="a"), Said(type="b")], event=lambda it: it.type))
    assert [(event.event, event.data) for event in events] == [
        ("a", '{"type":"a"}'),
        ("b", '{"type":"b"}'),
    ]


async def test_of_an_event_without_a_name_it_gets_the_data() -> None:
    asked = []

    def name(item: Any) -> str | None:
        asked.append(item)
        return "made" if item == "b" else None

    source = [
        ServerSentEvent("a", event="own"),
        ServerSentEvent("b", id="5"),
        ServerSentEvent("c"),
        ServerSentEvent(id="6"),
        encode("d", event="its"),
        "b",
    ]
    events = await events_of(Stream(source, event=name))
    assert [event.event for event in events] == ["own", "made", "message", "its", "made"]
    assert asked == ["b", "c", "b"]


async def test_a_name_given_with_the_event_wins_over_the_function() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("a", event="given")
        await stream.send("b")
        stream.event = "fixed"
        await stream.send("c")
        stream.event = str.upper
        assert stream.event == str.upper
        await stream.send("d")

    events = await events_of(Stream(callback, event=lambda item: "made"))
    assert [event.event for event in events] == ["given", "made", "fixed", "D"]


def broken(item: Any) -> str:
    raise LookupError("no type")


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (broken, LookupError, "no type"),
        (lambda item: "a\nb", ValueError, "cannot hold CR, LF or NUL"),
        (lambda item: 5, TypeError, "an event name is a str"),
    ],
)
async def test_a_function_that_fails_fails_the_stream(
    function: Any, error: Any, words: str
) -> None:
    error_event = ServerSentEvent("failed")

    async def source() -> AsyncIterator[Any]:
        yield encode("first")
        yield "second"

    with pytest.raises(error, match=words) as raised:
        async with connect(Stream(source(), event=function, error_event=error_event)) as client:
            # What the stream says of itself is no item: the function is not asked.
            assert [event.data async for event in client.events()] == ["first", "failed"]
    assert "event= is a function" in raised.value.__notes__[0]


async def test_the_farewell_is_no_item_either() -> None:
    stream = Stream(event=broken, farewell_event=ServerSentEvent("bye"), farewell="proper")
    async with connect(stream) as client:
        await trio.testing.wait_all_tasks_blocked()
        client.cancel_app()
        assert [event.data async for event in client.events()] == ["bye"]


async def test_a_function_that_must_be_awaited_is_refused() -> None:
    async def name(item: Any) -> str:
        raise AssertionError("never called")

    with pytest.raises(TypeError, match="function must be a sync function"):
        Stream(event=name)  # type: ignore[arg-type]
