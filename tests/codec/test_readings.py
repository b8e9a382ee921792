"""Lines, JSON values and chunks, out of bytes that are cut up in any way."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_stream.codec.readings import (
    READ_AS,
    ChunkReading,
    JsonReading,
    LineReading,
    Reading,
    check_read_as,
)
from trio_stream.errors import EventTooLargeError, RemoteProtocolError

from .strategies import pieces_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(), JSON) | st.lists(JSON), max_size=5)

WATCH: list[dict[str, Any]] = [
    {"type": "ADDED", "object": {"name": f'a "b" \\ {{[{n}', "list": [[], {}, [n]]}}
    for n in range(4)
]


def read(reading: Reading, pieces: Iterable[bytes]) -> list[str]:
    return [text for piece in pieces for text in reading.feed(piece)] + reading.end()


def cut(wire: bytes, size: int) -> list[bytes]:
    return [wire[start : start + size] for start in range(0, len(wire), size)]


def all_through(reading: Reading, pieces: Iterable[bytes]) -> list[str]:
    """All texts, and in their midst each error."""
    seen: list[str] = []
    for piece in [*pieces, b"", b"", b""]:  # each tells of one
        left: bytes | None = piece
        while left is not None:
            try:
                seen += reading.feed(left)
                left = None
            except EventTooLargeError:
                seen.append("too large")
                left = b""
    return seen + reading.end()


@pytest.mark.parametrize("size", [1, 2, 7, 100_000])
@pytest.mark.parametrize("between", [b"\n", b"", b"\r\n", b"\n\x1e", b"  ", b"\n\n\n"])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_values_are_whole_however_they_are_written(
    indent: int | None, between: bytes, size: int
) -> None:
    texts = [json.dumps(value, indent=indent) for value in WATCH]
    wire = between.join(text.encode() for text in texts)
    reading = JsonReading(10_000)
    assert read(reading, cut(b"\x1e" + wire, size)) == texts
    assert not reading.unfinished


@given(st.data(), OBJECTS, st.sampled_from(["", "\n", "\x1e"]), st.none() | st.just(1))
def test_json_values_come_back_as_they_were(
    data: st.DataObject, values: list[Any], between: str, indent: int | None
) -> None:
    texts = [json.dumps(value, indent=indent, ensure_ascii=False) for value in values]
    wire = between.join(texts).encode("utf-8", "surrogatepass")
    assert [json.loads(text) for text in read(JsonReading(2**20), data.draw(pieces_of(wire)))] == [
        json.loads(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
        for text in texts
    ]


@pytest.mark.parametrize("size", [1, 100])
def test_a_value_is_there_as_soon_as_it_is_whole(size: int) -> None:
    reading = JsonReading(1000)
    given = [text for piece in cut(b'{"a": 1}{"b": [2', size) for text in reading.feed(piece)]
    assert given == ['{"a": 1}']
    assert reading.unfinished
    assert reading.end() == []


@pytest.mark.parametrize("size", [1, 100])
def test_what_is_no_object_is_a_text_for_each_line(size: int) -> None:
    wire = b'12\n"x"\nnull\nnot JSON\n\n {"a":1} \nlast'
    expected = ["12", '"x"', "null", "not JSON", '{"a":1}', "last"]
    assert read(JsonReading(1000), cut(wire, size)) == expected
    assert read(LineReading(1000), cut(wire, size)) == expected


@pytest.mark.parametrize("size", [1, 5, 64, 10_000])
@pytest.mark.parametrize("reading", [JsonReading, LineReading])
def test_what_is_too_large_is_told_and_left_behind(
    reading: type[JsonReading] | type[LineReading], size: int
) -> None:
    large = b'{"b":"%b"}\n' % (b"x" * 1000)
    wire = b'{"a":1}\n' + large + b'{"c":1}\n' + large * 2 + b'{"d":1}\n'
    assert all_through(reading(100), cut(wire, size)) == [
        *('{"a":1}', "too large", '{"c":1}', "too large", "too large", '{"d":1}')
    ]


@pytest.mark.parametrize("reading", [JsonReading, LineReading])
def test_one_without_end_takes_no_more_memory(
    reading: type[JsonReading] | type[LineReading],
) -> None:
    endless = reading(1000)
    told = 0
    for _ in range(100):
        try:
            endless.feed(b'["' + b"x" * 500)
        except EventTooLargeError:
            told += 1
        assert len(endless._buffer) <= 2000
    assert told == 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("reading", [JsonReading, LineReading])
def test_a_large_one_in_small_pieces_costs_no_more_for_each_byte(
    reading: type[JsonReading] | type[LineReading],
) -> None:
    """A second or two; what goes over all that there is for each piece takes many minutes."""
    large = reading(2**26)
    piece = b"x" * 64
    assert large.feed(b'{"a":"') == []
    for _ in range(2**19):
        assert large.feed(piece) == []
    assert len([*large.feed(b'"}\n'), *large.end()]) == 1


def test_chunks_come_as_they_are_but_for_split_characters() -> None:
    assert read(ChunkReading(), [b"caf\xc3", b"\xa9", b" x"]) == ["caf", "é", " x"]
    assert read(ChunkReading("latin-1"), [b"caf\xe9"]) == ["café"]
    assert read(ChunkReading("nonsense"), ["é".encode(), b"\xff"]) == ["é", "\ufffd"]


@pytest.mark.parametrize("wire", [b"\x89PNG", b"caf\xc3"])
def test_what_is_no_text_is_an_error_where_that_is_not_sure(wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match='format="bytes"'):
        read(ChunkReading(strict=True), [wire])


def test_the_words_for_it() -> None:
    for word in READ_AS:
        check_read_as(word)
    with pytest.raises(ValueError, match="read_as must be one of 'auto', 'strict', 'sse'"):
        check_read_as("html")
