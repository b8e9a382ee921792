import copy
import enum
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from trio_stream.codec import (
    PING,
    EncodedEvent,
    ServerSentEvent,
    check_event_name,
    check_id,
    check_retry,
    encode,
    encode_comment,
    encode_retry,
    encode_sse,
    unwrap,
)


class Colour(str, enum.Enum):  # noqa: UP042 - its str() is not its value
    RED = "red"


class Markup(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not this"

    def __format__(self, spec: str, /) -> str:
        return "nor this"


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        ("hello", b"data: hello\n\n"),
        ("", b"data: \n\n"),
        (" a ", b"data:  a \n\n"),
        ("a\nb", b"data: a\ndata: b\n\n"),
        ("a\r\nb\rc\n", b"data: a\ndata: b\ndata: c\ndata: \n\n"),
        ("\n\r", b"data: \ndata: \ndata: \n\n"),
        ("a\x0b\x0c\x1c\x85\u2028b\0", "data: a\x0b\x0c\x1c\x85\u2028b\0\n\n".encode()),
        ("é€\U0001f600", "data: é€\U0001f600\n\n".encode()),
        (b"a\r\nb", b"data: a\ndata: b\n\n"),
        (bytearray(b"a"), b"data: a\n\n"),
        (memoryview("é".encode()), "data: é\n\n".encode()),
        (Colour.RED, b"data: red\n\n"),
        (Markup("<b>\n</b>"), b"data: <b>\ndata: </b>\n\n"),
        (None, b"data: null\n\n"),
        (1.5, b"data: 1.5\n\n"),
        ({"a": ["b\n", None]}, b'data: {"a":["b\\n",null]}\n\n'),
    ],
)
def test_data_on_the_wire(data: Any, wire: bytes) -> None:
    assert encode_sse(data) == wire
    assert encode(data) == EncodedEvent(wire)
    if data is not None:
        assert encode_sse(ServerSentEvent(data)) == wire


def test_fields_stand_before_the_data_in_one_order() -> None:
    assert (
        encode_sse("x\ny", "tick", "7", 5) == b"id: 7\nevent: tick\nretry: 5\ndata: x\ndata: y\n\n"
    )
    assert encode_sse([1], "tick", 7, 0) == b"id: 7\nevent: tick\nretry: 0\ndata: [1]\n\n"
    event = ServerSentEvent("x", event="e", id="", retry=1, comment="a\rb")
    assert encode_sse(event) == b": a\n: b\nid: \nevent: e\nretry: 1\ndata: x\n\n"


def test_kinds_of_str_and_int_are_written_as_what_they_hold() -> None:
    class Number(int, enum.Enum):
        ONE = 1

    assert encode_sse("x", Colour.RED, Markup("1")) == b"id: 1\nevent: red\ndata: x\n\n"
    assert encode_sse("x", None, Number.ONE, Number.ONE) == b"id: 1\nretry: 1\ndata: x\n\n"


@pytest.mark.parametrize("name", ["", "message"])
def test_unnamed_events_have_no_event_line(name: str) -> None:
    assert (
        encode_sse("x", name)
        == encode_sse(ServerSentEvent("x", event=name), "tick")
        == b"data: x\n\n"
    )
    assert encode_sse(ServerSentEvent(id="1", event=name)) == b"id: 1\n\n"


def test_own_fields_of_an_event_win_over_the_arguments() -> None:
    bare = ServerSentEvent("x")
    assert encode_sse(bare, "tick", "7", 5) == encode_sse("x", "tick", "7", 5)
    full = ServerSentEvent("x", event="own", id="own", retry=0)
    assert encode_sse(full, "tick", "7", 5) == encode_sse(full)


def test_block_without_data_carries_id_retry_and_comment_but_no_name() -> None:
    assert encode_sse(ServerSentEvent(id="")) == b"id: \n\n"
    assert encode_sse(ServerSentEvent(retry=9)) == b"retry: 9\n\n"
    assert encode_sse(ServerSentEvent(comment="hi"), "tick") == b": hi\n\n"
    assert encode_sse(ServerSentEvent(comment="hi"), "tick", "7", 5) == b": hi\nid: 7\nretry: 5\n\n"
    assert encode_sse(ServerSentEvent(), retry=5) == b"retry: 5\n\n"


def test_event_that_no_client_would_dispatch_is_refused() -> None:
    with pytest.raises(ValueError, match="give 'done' data"):
        encode_sse(ServerSentEvent(event="done"))
    with pytest.raises(ValueError, match="empty"):
        encode_sse(ServerSentEvent(), "tick")


def test_event_inside_an_event_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be of type ServerSentEvent"):
        encode(ServerSentEvent(ServerSentEvent("x")))
    with pytest.raises(TypeError, match="cannot be of type EncodedEvent"):
        encode(ServerSentEvent(encode("x")))


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", "\n", "a\u20ac\n"])
def test_name_or_id_that_would_end_its_line_is_refused(bad: str) -> None:
    for check in (check_event_name, check_id):
        with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
            check(bad)
    for event in (
        ServerSentEvent("x", event=bad),
        ServerSentEvent("x", id=bad),
        ServerSentEvent(id=bad),
    ):
        with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
            encode_sse(event)
    with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
        encode("x", event=bad)
    with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
        encode(["x"], id=bad)


@pytest.mark.parametrize("fine", ["", " a ", "a:b", "tab\there", "\u2028\x85\x0b", "\u20ac"])
def test_any_other_name_or_id_is_fine(fine: str) -> None:
    assert check_event_name(fine) == check_id(fine) == fine


def test_id_may_be_a_number() -> None:
    assert check_id(0) == "0"
    assert check_id(-(10**30)) == "-" + "1" + "0" * 30
    assert encode("x", id=7) == EncodedEvent(b"id: 7\ndata: x\n\n", id="7")


@pytest.mark.parametrize("bad", [True, 1.5, b"1", ["1"]])
def test_id_of_another_type_is_refused(bad: Any) -> None:
    with pytest.raises(
        TypeError, match=f"an event id is a str or an int, not {type(bad).__name__}"
    ):
        encode("x", id=bad)


@pytest.mark.parametrize("bad", [1, b"tick", True])
def test_name_of_another_type_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=f"an event name is a str, not {type(bad).__name__}"):
        encode("x", event=bad)


def test_retry_is_a_number_of_milliseconds() -> None:
    assert check_retry(0) == 0
    assert encode_retry(2**63 - 1) == b"retry: 9223372036854775807\n"
    for bad in (True, 1.5, "1"):
        with pytest.raises(TypeError, match="milliseconds"):
            encode("x", retry=bad)  # type: ignore[arg-type]
    for number in (-1, 2**63):
        with pytest.raises(ValueError, match="milliseconds"):
            encode_retry(number)


def test_text_that_utf8_cannot_carry_is_refused() -> None:
    bad = "\ud800"
    attempts: list[Callable[[], object]] = [
        lambda: encode(bad),
        lambda: encode(bad + "\n"),
        lambda: encode([bad]),
        lambda: encode("x", event=bad),
        lambda: encode("x", id=bad),
        lambda: encode_comment(bad),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match="surrogate pair"):
            attempt()


@pytest.mark.parametrize("bad", [b"\xff", bytearray(b"a\xe2\x82"), memoryview(b"\xed\xa0\x80")])
def test_bytes_that_are_not_utf8_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="base64"):
        encode(bad)


def test_comments() -> None:
    assert PING == b":\n"
    assert encode_comment("") == b": \n\n"
    assert encode_comment("a\r\ndata: b\rc") == b": a\n: data: b\n: c\n\n"


def test_encode_remembers_the_id_that_is_on_the_wire() -> None:
    assert encode("x").id is None
    assert encode("x", id="").id == ""
    assert encode(ServerSentEvent("x", id="own"), id="argument").id == "own"
    assert encode(ServerSentEvent("x"), id=3).id == "3"
    assert encode(ServerSentEvent(id=3)).id == "3"  # type: ignore[arg-type]


def test_encoded_event_is_taken_as_it_is() -> None:
    encoded = encode("x", id="1")
    assert encode(encoded) is encoded
    assert encode_sse(encoded) == unwrap(encoded, "sse") == b"id: 1\ndata: x\n\n"


def test_fields_cannot_be_added_to_an_encoded_event() -> None:
    for fields in ({"event": "e"}, {"id": "1"}, {"retry": 0}):
        with pytest.raises(TypeError, match=r"give them to encode\(\) instead"):
            encode(encode("x"), **fields)


def test_encoded_event_of_another_format_is_refused() -> None:
    line = EncodedEvent(b"{}\n", format="ndjson")
    with pytest.raises(TypeError, match="format 'ndjson' cannot go into a 'sse' stream"):
        encode_sse(line)
    assert unwrap(line, "ndjson") == b"{}\n"


def test_encoded_event_holds_any_bytes_and_copies_what_could_change() -> None:
    buffer = bytearray(b"data: x\n\n")
    for data in (buffer, memoryview(buffer)):
        encoded = EncodedEvent(data)  # type: ignore[arg-type]
        assert type(encoded.data) is bytes
        assert encoded == EncodedEvent(b"data: x\n\n")
    assert EncodedEvent(b"\xff\0 anything").data == b"\xff\0 anything"
    with pytest.raises(TypeError, match=r"use encode\(value\)"):
        EncodedEvent({"data": "x"})  # type: ignore[arg-type]


def test_encoded_event_takes_text() -> None:
    class Framed(str):
        __slots__ = ()

    for text in ("data: ä\n\n", Framed("data: ä\n\n")):
        encoded = EncodedEvent(text)
        assert encoded == EncodedEvent("data: ä\n\n".encode())
        assert type(encoded.data) is bytes
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        EncodedEvent("\ud800")


FRAMED = [
    "data: 1\n\n",
    "data:1\n\n",
    "data: \n\n",
    "event: tick\ndata: 1\n\n",
    "event: tick\r\nid: 5\r\ndata: 1\r\n\r\n",
    "event: tick\rdata: 1\r\r",
    "id: 5\nretry: 10\ndata: 1\ndata: 2\n\n\n",
    ": a comment\ndata\ndata: 1\n\n",
    "data: 1\n\nevent: end\ndata: 2\n\n",
    "retry: 3000\n\n",
    'data: {"type":"RUN_STARTED"}\n\n',
]

PROSE = [
    "The data: 1\n\n",
    "data: 1",
    "data: 1\n",
    "data: 1\ndata: 2",
    "data: 1\n\nis one event\n\n",
    "data: 1\n\nand so on",
    " data: 1\n\n",
    "Data: 1\n\n",
    "date: 1\n\n",
    "data\n\n",
    "data:\n\n",
    "id\n\n",
    ":\n\n",
    ": yes\n\n",
    "\n\n",
    "\r\n\r\n",
    "",
]


@pytest.mark.parametrize("text", FRAMED)
def test_text_that_is_an_event_already_is_not_framed_again(text: str) -> None:
    class Framed(str):
        __slots__ = ()

    for data in (text, Framed(text), text.encode(), bytearray(text.encode())):
        for fields in ({}, {"event": "a"}, {"id": "5"}):
            with pytest.raises(ValueError, match=r"EncodedEvent\(text\)"):
                encode(data, **fields)  # type: ignore[arg-type]
    assert EncodedEvent(text).data == text.encode()
    assert encode_sse(ServerSentEvent(text)).startswith(b"data: ")


@pytest.mark.parametrize("text", PROSE)
def test_what_only_looks_a_little_like_it_is_data(text: str) -> None:
    for data in (text, text.encode(), memoryview(text.encode())):
        assert encode_sse(data) == encode_sse(ServerSentEvent(data))


def test_to_look_at_text_costs_no_more_than_its_length() -> None:
    encode_sse("data: 1\n:\n" * 100_000 + "x\n\n")


def test_frame_is_one_http_chunk_built_once() -> None:
    encoded = EncodedEvent(b"x" * 26)
    assert encoded.frame == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert encoded.frame is encoded.frame


def test_frame_of_no_bytes_does_not_end_the_body() -> None:
    assert EncodedEvent(b"").frame == b""


def test_encoded_event_is_a_value() -> None:
    encoded = EncodedEvent(b"x", id="1")
    before = hash(encoded)
    assert encoded.frame
    assert hash(encoded) == before
    assert encoded == EncodedEvent(b"x", id="1")
    assert encoded != EncodedEvent(b"x")
    assert encoded != EncodedEvent(b"x", id="1", format="ndjson")
    assert copy.deepcopy(encoded) == pickle.loads(pickle.dumps(encoded)) == encoded
    with pytest.raises(AttributeError):
        encoded.data = b"y"  # type: ignore[misc]


def test_repr_of_an_encoded_event_is_short() -> None:
    assert repr(EncodedEvent(b"x")) == "<EncodedEvent sse 1 bytes: b'x'>"
    long = repr(EncodedEvent(b"x" * 1000, id="1", format="ndjson"))
    assert long == f"<EncodedEvent ndjson id='1' 1000 bytes: {b'x' * 32!r}...>"


def test_server_sent_event_is_a_value() -> None:
    event = ServerSentEvent("x", event="e", id="1")
    assert event == ServerSentEvent("x", event="e", id="1")
    assert event != ServerSentEvent("x", event="e")
    assert len({event, ServerSentEvent("x", event="e", id="1")}) == 1
    assert copy.deepcopy(event) == pickle.loads(pickle.dumps(event)) == event
    assert repr(ServerSentEvent("x")) == (
        "ServerSentEvent(data='x', event=None, id=None, retry=None, comment=None)"
    )
    with pytest.raises(AttributeError):
        event.data = "y"  # type: ignore[misc]
    with pytest.raises(TypeError):
        ServerSentEvent("x", "e")  # type: ignore[call-arg]


def test_json_of_an_event_is_the_senders_business() -> None:
    assert ServerSentEvent('{"a": [1]}').json() == {"a": [1]}
    with pytest.raises(ValueError, match=r"the sender's data is not JSON: .*byte"):
        ServerSentEvent("[DONE]").json()
    with pytest.raises(ValueError, match="not JSON") as raised:
        ServerSentEvent("secret").json()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "data",
    [r'"\ud800"', r'{"a": ["x\uDC00y"]}', r'"\ud83d\u0041"', r'{"\udfff": 1}', r'"\\\ud800"'],
)
def test_json_of_half_a_surrogate_pair_says_that(data: str) -> None:
    """And not that the data are truncated."""
    with pytest.raises(ValueError, match="holds half of a surrogate pair") as raised:
        ServerSentEvent(data).json()
    assert data not in str(raised.value)


@pytest.mark.parametrize(
    "data", [r'"\u12"', '"', "NaN", r'"\ud800', "[" * 5000, r'"\\ud800" x', "1" * 5000 + "x"]
)
def test_json_of_what_is_none_says_that(data: str) -> None:
    with pytest.raises((ValueError, RecursionError)) as raised:
        ServerSentEvent(data).json()
    assert "surrogate pair, as" not in str(raised.value)


def test_json_of_both_halves_of_a_pair_is_one_character() -> None:
    assert ServerSentEvent(r'"\ud83d\ude00 \\ud800"').json() == "\N{GRINNING FACE} \\ud800"
