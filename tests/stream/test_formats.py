"""What values become in each format, from a stream to its client."""

import dataclasses
import datetime
import enum
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stream.helpers import PRIMER, body_of, data_of
from trio_stream import EncodedEvent, ServerSentEvent, Stream
from trio_stream.testing import connect


@dataclasses.dataclass
class Price:
    bid: float
    at: datetime.date


class Side(enum.Enum):
    BUY = "buy"


PRICE = Price(1.5, datetime.date(2026, 11, 22))


async def test_events_are_text_or_json() -> None:
    values = ["text", b"bytes", {"a": [1, None]}, PRICE, Side.BUY, uuid.UUID(int=7), 1, True]
    assert await data_of(Stream(values)) == [
        "text",
        "bytes",
        '{"a":[1,null]}',
        '{"bid":1.5,"at":"2026-11-22"}',
        '"buy"',
        '"00000000-0000-0000-0000-000000000007"',
        "1",
        "true",
    ]


async def test_a_data_line_for_each_line() -> None:
    assert await body_of(Stream(["a\nb\r\nc\rd\n"])) == (
        PRIMER + b"data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"
    )


async def test_a_comment_is_dispatched_by_nobody() -> None:
    stream = Stream([ServerSentEvent(comment="for the log"), "a"])
    async with connect(stream) as client:
        assert [event.data async for event in client.events()] == ["a"]
        assert client.comments == ["for the log"]


@given(texts=st.lists(st.text(), max_size=5), size=st.integers(1, 40))
async def test_any_text_comes_back_with_its_line_ends_as_lf(texts: list[str], size: int) -> None:
    events = map(ServerSentEvent, texts)  # bare, text that is framed already would be refused
    async with connect(Stream(list(events)), socket_buffer=size) as client:
        read = [event.data async for event in client.events()]
    assert read == [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]


async def test_json_lines() -> None:
    values = ["text\n", {"a": 1}, PRICE, None]
    assert await body_of(Stream(values, format="ndjson")) == (
        b'"text\\n"\n{"a":1}\n{"bid":1.5,"at":"2026-11-22"}\nnull\n'
    )


async def test_json_lines_are_not_made_of_bytes() -> None:
    with pytest.raises(TypeError, match="JSON has no bytes: decode them to str first"):
        await Stream(format="ndjson").send(b"{}")


async def test_json_lines_that_are_in_wire_form_already() -> None:
    line = EncodedEvent(b'{"a": 1}\n', format="ndjson")
    assert await body_of(Stream([line], format="ndjson")) == line.data


async def test_text_is_text_bytes_or_json() -> None:
    values = ["<p>caf\u00e9</p>", b"\xff", {"a": 1}]
    assert await body_of(Stream(values, format="text")) == (
        "<p>caf\u00e9</p>".encode() + b'\xff{"a":1}'
    )


async def test_bytes_are_bytes_like_only() -> None:
    values = [b"a", bytearray(b"b"), memoryview(b"c")]
    assert await body_of(Stream(values, format="bytes")) == b"abc"
    with pytest.raises(TypeError, match="takes bytes, not str; encode it first"):
        await Stream(format="bytes").send("text")


@pytest.mark.parametrize("format", ["ndjson", "text", "bytes"])
async def test_only_event_streams_have_events(format: Any) -> None:
    with pytest.raises(TypeError, match="has no events; send the event's data"):
        await Stream(format=format).send(ServerSentEvent("x"))


@pytest.mark.parametrize("format", ["ndjson", "text", "bytes"])
async def test_a_failure_breaks_every_format_off(format: Any) -> None:
    async def callback(stream: Stream) -> None:
        await stream.send(b"x" if format != "ndjson" else 1)
        raise KeyError("mine")

    async with connect(Stream(callback, format=format), raise_app_exceptions=False) as client:
        assert await client.read() == (b"x" if format != "ndjson" else b"1\n")
        assert client.ended == "broken"
