"""Event objects of other libraries mean here what they mean there."""

from collections.abc import Callable
from typing import Any

import fastapi.sse
import httpx2
import httpx_sse
import pytest
import sse_starlette

from tests.stream.helpers import body_of, events_of
from trio_stream import EncodedEvent, ServerSentEvent, Stream, encode, open_broker
from trio_stream.codec import as_event, encode_sse

DECODED: list[Any] = [httpx2.ServerSentEvent, httpx_sse.ServerSentEvent]
WRITTEN: list[Any] = [sse_starlette.ServerSentEvent, fastapi.sse.ServerSentEvent]


class Own(sse_starlette.ServerSentEvent):
    pass


@pytest.mark.parametrize("kind", [*DECODED, sse_starlette.ServerSentEvent, Own])
def test_all_fields_are_its(kind: Any) -> None:
    event = kind(data="a\nb", event="tick", id="7", retry=5)
    assert encode_sse(event) == b"id: 7\nevent: tick\nretry: 5\ndata: a\ndata: b\n\n"
    assert encode(event).id == "7"


@pytest.mark.parametrize("kind", DECODED)
def test_a_decoder_says_message_where_there_was_no_name_and_nothing_for_no_id(kind: Any) -> None:
    assert as_event(kind(data="a")) == ServerSentEvent("a")
    assert encode_sse(kind(data="a"), "tick", "7") == b"id: 7\nevent: tick\ndata: a\n\n"


@pytest.mark.parametrize("kind", WRITTEN)
def test_comments_and_blocks_without_data(kind: Any) -> None:
    assert encode_sse(kind(comment="a")) == b": a\n\n"
    assert encode_sse(kind(id="7")) == b"id: 7\n\n"


def test_fastapis_text_is_json_and_its_raw_data_is_not() -> None:
    kind = fastapi.sse.ServerSentEvent
    assert encode_sse(kind(data="a")) == b'data: "a"\n\n'
    assert encode_sse(kind(data={"a": 1}, event="tick")) == b'event: tick\ndata: {"a":1}\n\n'
    assert encode_sse(kind(raw_data="a\nb")) == b"data: a\ndata: b\n\n"


def test_json_of_sse_starlettes() -> None:
    assert encode_sse(sse_starlette.JSONServerSentEvent({"a": 1})) == b'data: {"a":1}\n\n'


@pytest.mark.parametrize(
    "event",
    [
        ServerSentEvent("a"),
        ServerSentEvent("a", event="x", id="1", retry=5),
        encode("a"),
        httpx2.ServerSentEvent(data="a"),
        httpx_sse.ServerSentEvent(data="a"),
        sse_starlette.ServerSentEvent(data="a"),
        fastapi.sse.ServerSentEvent(data="a"),
        Own(data="a"),
    ],
)
@pytest.mark.parametrize(
    "around", [lambda e: [e, e], lambda e: (e,), lambda e: [1, {"a": (e,)}], lambda e: {"a": e}]
)
async def test_events_within_a_value_are_told_where_to_go(
    event: Any, around: Callable[[Any], Any]
) -> None:
    async with open_broker() as broker:
        stream = Stream()
        for act in (
            lambda value: encode(value),
            lambda value: encode(ServerSentEvent(value)),
            stream.send_nowait,
            Stream(format="ndjson").send_nowait,
            Stream(format="text").send_nowait,
        ):
            with pytest.raises(TypeError, match="send_many sends several events, and publish_many"):
                act(around(event))
        with pytest.raises(TypeError, match="publish_many publishes them"):
            await broker.publish("t", around(event))


def test_what_only_looks_like_an_event_is_a_value() -> None:
    value = [{"data": "a", "retry": None, "comment": None, "_frame": None}]
    assert encode(value).data.startswith(b'data: [{"data":"a","retry":null')


@pytest.mark.parametrize("kind", WRITTEN)
def test_what_would_break_out_of_its_field_is_refused(kind: Any) -> None:
    event = kind(data="a")
    event.event = "a\nb"
    with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
        encode_sse(event)


def test_a_class_of_the_same_name_elsewhere_is_a_value() -> None:
    kind = type("ServerSentEvent", (dict,), {"__module__": "their_fastapi.sse"})
    assert as_event(kind(data="x")) is None
    for value in ("x", b"x", {"event": "a", "data": "b"}, 5, None, EncodedEvent(b"x")):
        assert as_event(value) is None


async def test_in_a_stream_they_have_names_and_ids_of_their_own() -> None:
    numbers = iter(range(9))
    source = [
        httpx2.ServerSentEvent(data="a", event="own", id="7"),
        sse_starlette.ServerSentEvent("b"),
        fastapi.sse.ServerSentEvent(data={}, id="8"),
    ]
    events = await events_of(Stream(source, event="tick", ids=lambda: next(numbers)))
    assert [(event.event, event.id) for event in events] == [
        ("own", "7"),
        ("tick", "0"),
        ("tick", "8"),
    ]


@pytest.mark.parametrize("format", ["ndjson", "text", "bytes"])
async def test_other_formats_have_no_events(format: Any) -> None:
    with pytest.raises(TypeError, match="send the event's data"):
        await Stream(format=format).send(httpx_sse.ServerSentEvent(data="a"))


async def test_in_a_topic_they_are_events_too() -> None:
    async with open_broker() as broker:
        with pytest.raises(ValueError, match="ids of its own"):
            await broker.publish("t", httpx2.ServerSentEvent(data="a", id="7"))
        with pytest.raises(ValueError, match="without data"):
            await broker.publish("t", sse_starlette.ServerSentEvent())
        await broker.publish("t", sse_starlette.ServerSentEvent("a", event="tick"))
        async for event in broker.subscribe("t", after="earliest"):
            assert (event.event, event.data) == ("tick", "a")
            break


async def test_framed_text_fails_the_stream_and_what_is_wrapped_does_not() -> None:
    framed = "event: tick\ndata: a\n\n"
    assert (await body_of(Stream([EncodedEvent(framed)], retry=False))) == framed.encode()
    with pytest.raises(ValueError, match="would be framed again"):
        await body_of(Stream([framed]))
