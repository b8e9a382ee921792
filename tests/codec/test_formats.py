from typing import Any

import pytest

from trio_stream.codec import (
    FORMATS,
    PING,
    EncodedEvent,
    ServerSentEvent,
    encode,
    encode_sse,
    get_format,
)

WITHOUT_FIELDS = ["ndjson", "text", "bytes"]


def put(name: str, data: Any) -> bytes:
    return get_format(name).encode(data, None, None, None)


def test_table_of_formats() -> None:
    table = {f.name: (f.content_type, f.has_fields, f.ping) for f in FORMATS.values()}
    assert table == {
        "sse": ("text/event-stream; charset=utf-8", True, PING),
        "ndjson": ("application/x-ndjson", False, b"\n"),
        "text": ("text/plain; charset=utf-8", False, None),
        "bytes": ("application/octet-stream", False, None),
    }
    assert all(get_format(name) is format for name, format in FORMATS.items())
    with pytest.raises(TypeError):
        FORMATS["more"] = FORMATS["sse"]  # type: ignore[index]


def test_unknown_format_is_told_the_ones_there_are() -> None:
    with pytest.raises(ValueError, match="'sse', 'ndjson', 'text', 'bytes'"):
        get_format("json")


def test_sse_is_the_encoder() -> None:
    assert get_format("sse").encode("x", "e", "1", 5) == encode_sse("x", "e", "1", 5)


@pytest.mark.parametrize(
    ("data", "line"),
    [("a\nb", b'"a\\nb"\n'), ({"a": None}, b'{"a":null}\n'), (None, b"null\n"), (1, b"1\n")],
)
def test_ndjson_is_a_json_value_to_a_line(data: Any, line: bytes) -> None:
    assert put("ndjson", data) == line


@pytest.mark.parametrize("data", [b"{}", bytearray(b"{}"), memoryview(b"{}")])
def test_ndjson_has_no_bytes(data: Any) -> None:
    with pytest.raises(TypeError, match="decode them to str first"):
        put("ndjson", data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("é\r\n", "é\r\n".encode()),
        ("", b""),
        (b"half \xe2\x82", b"half \xe2\x82"),
        (memoryview(b"a"), b"a"),
        ({"a": 1}, b'{"a":1}'),
        (None, b"null"),
    ],
)
def test_text_is_text_as_it_is_and_else_json(data: Any, text: bytes) -> None:
    assert put("text", data) == text


def test_text_refuses_half_a_surrogate_pair() -> None:
    with pytest.raises(ValueError, match="surrogate pair"):
        put("text", "\ud800")


@pytest.mark.parametrize("data", [b"\xff\0", bytearray(b"\xff\0"), memoryview(b"\xff\0")])
def test_bytes_are_bytes(data: Any) -> None:
    encoded = put("bytes", data)
    assert encoded == b"\xff\0"
    assert type(encoded) is bytes


@pytest.mark.parametrize("data", ["text", 1, None, {"a": 1}, [1]])
def test_bytes_takes_nothing_else(data: Any) -> None:
    with pytest.raises(TypeError, match=f"takes bytes, not {type(data).__name__}"):
        put("bytes", data)


@pytest.mark.parametrize("name", WITHOUT_FIELDS)
def test_fields_need_the_sse_format(name: str) -> None:
    for fields in [("e", None, None), (None, "", None), (None, None, 0)]:
        with pytest.raises(TypeError, match='use format="sse"'):
            get_format(name).encode(b"x", *fields)
    with pytest.raises(TypeError, match='use format="sse"'):
        put(name, ServerSentEvent("x"))


@pytest.mark.parametrize("name", WITHOUT_FIELDS)
def test_encoded_event_goes_only_into_its_own_format(name: str) -> None:
    assert put(name, EncodedEvent(b"as is", format=name)) == b"as is"
    with pytest.raises(TypeError, match=f"format 'sse' cannot go into a '{name}' stream"):
        put(name, encode("x"))
