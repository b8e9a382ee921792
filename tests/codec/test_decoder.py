import pickle
from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_stream.codec import EventStreamDecoder, ServerSentEvent
from trio_stream.errors import EventTooLargeError, RemoteProtocolError

from .model import interpret
from .strategies import LINES, any_stream, pieces_of, whole_blocks
from .vectors import VECTORS, Vector

every_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)


def decode(pieces: Iterable[bytes]) -> tuple[list[tuple[str | None, str, str | None]], int | None]:
    decoder = EventStreamDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [(event.event, event.data, event.id) for event in events], decoder.retry


@every_vector
def test_vector_in_one_piece(vector: Vector) -> None:
    assert decode([vector.wire]) == (vector.events, vector.retry)


@every_vector
def test_vector_cut_in_two_anywhere(vector: Vector) -> None:
    for cut in range(len(vector.wire) + 1):
        pieces = [vector.wire[:cut], vector.wire[cut:]]
        assert decode(pieces) == (vector.events, vector.retry), pieces


@every_vector
def test_vector_byte_by_byte(vector: Vector) -> None:
    pieces = [bytes([byte]) for byte in vector.wire]
    assert decode(pieces) == (vector.events, vector.retry)


# The first block of a stream is read with more care than the others, for the byte order mark.
@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if not v.wire.startswith(b"\xef")], ids=lambda vector: vector.name
)
def test_vector_after_another_block(vector: Vector) -> None:
    for wire in (b"\n" + vector.wire, b":\n\n" + vector.wire):
        for cut in range(len(wire) + 1):
            assert decode([wire[:cut], wire[cut:]]) == (vector.events, vector.retry), cut


@every_vector
def test_model_agrees_with_vector(vector: Vector) -> None:
    model = interpret(vector.wire)
    assert ([event[:3] for event in model.events], model.retry) == (vector.events, vector.retry)


def test_vector_names_are_unique() -> None:
    assert len({vector.name for vector in VECTORS}) == len(VECTORS)


@given(st.data(), any_stream, st.none() | st.sampled_from(["", "7"]))
def test_any_bytes_in_any_pieces_mean_what_the_standard_says(
    data: st.DataObject, stream: bytes, last_event_id: str | None
) -> None:
    comments: list[str] = []
    decoder = EventStreamDecoder(last_event_id=last_event_id, on_comment=comments.append)
    pieces = data.draw(pieces_of(stream))
    events = [event for piece in pieces for event in decoder.feed(piece)]
    model = interpret(stream, last_event_id)
    assert [(event.event, event.data, event.id, event.retry) for event in events] == model.events
    assert (decoder.retry, decoder.last_event_id) == (model.retry, model.last_event_id)
    assert comments == model.comments


@given(whole_blocks, st.booleans())
def test_whole_blocks_mean_what_the_standard_says(blocks: list[bytes], together: bool) -> None:
    decoder = EventStreamDecoder()
    pieces = [b"".join(blocks)] if together else blocks
    events = [event for piece in [b"\n", *pieces] for event in decoder.feed(piece)]
    model = interpret(b"\n" + b"".join(blocks))
    assert [(event.event, event.data, event.id, event.retry) for event in events] == model.events
    assert (decoder.retry, decoder.last_event_id) == (model.retry, model.last_event_id)


def test_every_block_of_up_to_three_lines_means_what_the_standard_says() -> None:
    for lines in [lines for count in range(4) for lines in product(LINES, repeat=count)]:
        block = "\n".join([*lines, "", ""]).encode()
        decoder = EventStreamDecoder()
        decoder.feed(b"\n")
        events = decoder.feed(block)
        model = interpret(b"\n" + block)
        assert [(e.event, e.data, e.id, e.retry) for e in events] == model.events, block
        assert (decoder.retry, decoder.last_event_id) == (model.retry, model.last_event_id), block


def test_event_is_given_at_its_blank_line_and_not_later() -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(b"data: a\r") == []
    assert [event.data for event in decoder.feed(b"\r")] == ["a"]
    assert decoder.feed(b"\ndata: b") == []
    assert [event.data for event in decoder.feed(b"\n\n")] == ["b"]


def test_event_says_its_own_retry_and_no_other() -> None:
    decoder = EventStreamDecoder()
    events = decoder.feed(b"retry: 1\n\ndata: a\n\nretry: 2\ndata: b\n\n:\ndata: c\nretry: 3\n\n")
    assert [event.retry for event in events] == [None, 2, 3]
    assert decoder.retry == 3


def test_empty_feed_is_neither_data_nor_an_end() -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(b"data: a\n") == decoder.feed(b"") == []
    decoder.feed(b"\r")
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\ndata: b\n\n") == [ServerSentEvent("b", event="message")]


@pytest.mark.parametrize("digits", ["9" * 30, "9" * 5000, "0" * 5000 + "9" * 20, str(2**63)])
def test_enormous_retry_is_the_largest_number(digits: str) -> None:
    decoder = EventStreamDecoder()
    decoder.feed(f"retry: {digits}\n".encode())
    assert decoder.retry == 2**63 - 1


def test_retry_of_many_zeros_is_zero() -> None:
    decoder = EventStreamDecoder()
    decoder.feed(b"retry: " + b"0" * 5000 + b"\n")
    assert decoder.retry == 0


def test_last_event_id_is_that_of_the_last_whole_block() -> None:
    decoder = EventStreamDecoder()
    assert decoder.last_event_id is None
    decoder.feed(b"id: 1\n\nid: 2\ndata: x\n")
    assert decoder.last_event_id == "1"
    decoder.feed(b"\n")
    assert decoder.last_event_id == "2"


def test_id_from_an_earlier_connection_is_in_force() -> None:
    decoder = EventStreamDecoder(last_event_id="7")
    (event,) = decoder.feed(b"data: x\n\n")
    assert (event.id, decoder.last_event_id) == ("7", "7")


def test_reset_forgets_the_unfinished_block_and_keeps_id_and_retry() -> None:
    decoder = EventStreamDecoder()
    decoder.feed(b"id: 1\nretry: 5\n\nid: 2\nevent: e\nretry: 6\ndata: lost\ndata: als")
    decoder.reset()
    assert decoder.feed(b"\xef\xbb\xbfdata: x\n\n") == [
        ServerSentEvent("x", event="message", id="1")
    ]
    assert (decoder.last_event_id, decoder.retry) == ("1", 6)


def test_reset_forgets_a_final_carriage_return() -> None:
    decoder = EventStreamDecoder()
    decoder.feed(b"data: a\r")
    decoder.reset()
    assert decoder.feed(b"\ndata: b\n\n") == [ServerSentEvent("b", event="message")]


def test_comments_are_told_at_their_line() -> None:
    comments: list[str] = []
    decoder = EventStreamDecoder(on_comment=comments.append)
    decoder.feed(b": a\n:\n::  b\n\n:c\n\ndata: x\n:d\n\n: unfinished")
    assert comments == ["a", "", ":  b", "c", "d"]


def test_comments_are_told_to_who_is_sync() -> None:
    async def keep(text: str) -> None:
        raise AssertionError("never awaited")

    with pytest.raises(TypeError, match="on_comment must be a sync function"):
        EventStreamDecoder(on_comment=keep)  # type: ignore[arg-type]
    decoder = EventStreamDecoder(on_comment=lambda text: keep(text))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="on_comment= returned a coroutine"):
        decoder.feed(b":x\n")


@pytest.mark.parametrize("data", [bytearray(b"data: x\n\n"), memoryview(b"data: x\n\n")])
def test_any_bytes_like_object_can_be_fed(data: bytearray | memoryview) -> None:
    assert EventStreamDecoder().feed(data) == [ServerSentEvent("x", event="message")]


def test_text_cannot_be_fed() -> None:
    with pytest.raises(TypeError, match="bytes"):
        EventStreamDecoder().feed("data: x\n\n")  # type: ignore[arg-type]


def test_line_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    decoder = EventStreamDecoder(max_line_bytes=10)
    assert [event.data for event in decoder.feed(b"data: 1234\n\n")] == ["1234"]
    with pytest.raises(EventTooLargeError) as caught:
        decoder.feed(b"data: 12345\n\n")
    assert (caught.value.what, caught.value.limit) == ("line", 10)


def test_unfinished_line_is_refused_as_soon_as_it_is_too_long() -> None:
    decoder = EventStreamDecoder(max_line_bytes=10)
    assert decoder.feed(b":" + b"x" * 9) == []
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"x")


def test_event_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    decoder = EventStreamDecoder(max_event_bytes=20, max_line_bytes=100)
    assert (
        len(decoder.feed(b"data: 123456789\n" * 2 + b"\n")) == 1
    )  # ten bytes a line, with its end
    with pytest.raises(EventTooLargeError) as caught:
        decoder.feed(b"data: 123456789\n" * 2 + b"data\n")
    assert (caught.value.what, caught.value.limit) == ("event", 20)


def test_comments_without_end_are_no_event() -> None:
    decoder = EventStreamDecoder(max_event_bytes=100)
    for _ in range(100):
        assert decoder.feed(b": ping\nignored: this\n") == []
    assert len(decoder.feed(b"data: x\n\n")) == 1


def test_line_limit_is_the_event_limit_unless_given() -> None:
    with pytest.raises(EventTooLargeError, match="a line of more than 50 bytes"):
        EventStreamDecoder(max_event_bytes=50).feed(b"x" * 51)


def test_default_limit_is_32_mib() -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(b"x" * 2**25) == []
    with pytest.raises(EventTooLargeError, match=str(2**25)):
        decoder.feed(b"x")


def test_events_before_the_one_too_large_are_given_first() -> None:
    decoder = EventStreamDecoder(max_line_bytes=10)
    events = decoder.feed(b"data: a\n\nid: 1\ndata: b\n\ndata: too long\n\ndata: c\n\n")
    assert [event.data for event in events] == ["a", "b"]
    assert decoder.last_event_id == "1"
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"data: d\n\n")
    assert [event.data for event in decoder.feed(b"")] == ["c", "d"]


TOO_LARGE = {
    "a line of data": b"id: 2\ndata: 12345678901\ndata: more\n\n",
    "many lines": b"id: 2\n" + b"data: 123\n" * 10 + b"\n",
    "its id comes last": b"data: 12345678901\nid: 2\n\n",
    "twice": b"id: 2\ndata: 12345678901\n:12345678901\n\n",
    "a comment": b"id: 2\n:123456789012\n\n",
    "CRLF": b"id: 2\r\ndata: 12345678901\r\n\r\n",
}


@pytest.mark.parametrize("wire", TOO_LARGE.values(), ids=TOO_LARGE)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_it_gets_past_what_is_too_large_and_tells_once(wire: bytes, size: int) -> None:
    decoder = EventStreamDecoder(max_line_bytes=12, max_event_bytes=20, last_event_id="1")
    wire = b"data: a\n\n" + wire + b"data: b\n\n"
    pieces = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert all_through(decoder, pieces) == ["a", "line or event", "b"]
    assert decoder.last_event_id == "2"


def test_who_comes_back_after_one_that_is_too_large_has_its_id() -> None:
    decoder = EventStreamDecoder(max_line_bytes=12)
    with pytest.raises(EventTooLargeError) as caught:
        decoder.feed(b"id: 7\ndata: 12345678901")
    assert caught.value.last_event_id == decoder.last_event_id == "7"


def test_a_line_without_end_takes_no_more_memory() -> None:
    decoder = EventStreamDecoder(max_line_bytes=1000)
    told = 0
    for _ in range(100):
        try:
            assert decoder.feed(b"x" * 1000) == []
        except EventTooLargeError:
            told += 1
        assert len(decoder._partial) + len(decoder._behind) <= 1000
    assert told == 1
    assert len(decoder.feed(b"\n\ndata: x\n\n")) == 1


def test_reset_forgets_what_was_too_large() -> None:
    decoder = EventStreamDecoder(max_line_bytes=10)
    decoder.feed(b"data: a\n\ndata: too long")
    decoder.reset()
    assert len(decoder.feed(b"data: x\n\n")) == 1


def all_through(decoder: EventStreamDecoder, pieces: Iterable[bytes]) -> list[str]:
    """The data of all events, and in their midst each error."""
    seen: list[str] = []
    for piece in [*pieces, b""]:
        left: bytes | None = piece
        while left is not None:
            try:
                seen += [event.data for event in decoder.feed(left)]
                left = None
            except EventTooLargeError:
                seen.append("line or event")
                left = b""
    try:
        decoder.feed(b"")  # it tells of the last one when it is fed again
    except EventTooLargeError:
        seen.append("line or event")
    return seen + [event.data for event in decoder.feed(b"")]


def until_too_large(
    decoder: EventStreamDecoder, pieces: Iterable[bytes]
) -> tuple[list[ServerSentEvent], str | None]:
    """The events before the error, and which bound it was."""
    events: list[ServerSentEvent] = []
    try:
        for piece in [*pieces, b""]:
            events += decoder.feed(piece)
    except EventTooLargeError as exc:
        return events, exc.what
    return events, None


@pytest.mark.parametrize("size", [1, 100])
def test_replaced_bytes_count_as_what_replaces_them(size: int) -> None:
    wire = b"\ndata: " + b"\xff" * 10 + b"\n\ndata: " + b"\xff" * 11 + b"\n\n"
    pieces = [wire[start : start + size] for start in range(0, len(wire), size)]
    events, what = until_too_large(EventStreamDecoder(max_event_bytes=31), pieces)
    assert ([event.data for event in events], what) == (["\ufffd" * 10], "event")


@given(st.data(), any_stream, st.integers(1, 40), st.integers(1, 40))
def test_limits_mean_the_same_in_any_pieces(
    data: st.DataObject, stream: bytes, max_event_bytes: int, max_line_bytes: int
) -> None:
    first, second = (
        EventStreamDecoder(max_event_bytes=max_event_bytes, max_line_bytes=max_line_bytes)
        for _ in range(2)
    )
    bytewise = [stream[i : i + 1] for i in range(len(stream))]
    pieces = data.draw(pieces_of(stream))
    assert until_too_large(first, pieces) == until_too_large(second, bytewise)
    first.reset()
    second.reset()
    assert all_through(first, pieces) == all_through(second, bytewise)
    assert first.dropped == second.dropped
    assert first.last_event_id == second.last_event_id


def test_error_names_the_peer_and_survives_pickling() -> None:
    error = EventTooLargeError("event", 5)
    assert isinstance(error, RemoteProtocolError)
    assert str(error) == "the peer sent an event of more than 5 bytes"
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.what, copy.limit, str(copy)) == ("event", 5, str(error))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("piece", "count"), [(b"x" * 64, 2**19), (b"data: xy\n" * 7, 2**17)], ids=["long", "many"]
)
def test_large_event_in_small_pieces_costs_no_more_for_each_byte(piece: bytes, count: int) -> None:
    """A second or two; what goes over all that there is for each piece takes many minutes."""
    decoder = EventStreamDecoder(max_event_bytes=2**26)
    assert list(decoder.feed(b"data: ")) == []
    for _ in range(count):
        for _ in decoder.feed(piece):
            raise AssertionError
    assert len(list(decoder.feed(b"\n\n"))) == 1


Dropped = tuple[int, int, bool]  # unknown fields, stray lines, whether the last event is unfinished

DROPPED: list[tuple[str, bytes, Dropped]] = [
    ("nothing", b":\nretry: 5\nid: 1\nevent: x\ndata: x\n\nid: 2\n\n: comment", (0, 0, False)),
    ("an empty stream", b"", (0, 0, False)),
    ("blanks at the end", b"data: x\n\n  ", (0, 0, False)),
    ("an unknown field", b"data: x\ndatum: y\n\n", (1, 0, False)),
    ("one without a colon", b"ping\n\ndata: x\n\n", (1, 0, False)),
    ("ten thousand", b"foo: bar\n" * 10_000 + b"\n", (10_000, 0, False)),
    ("another case", b"Data: x\n\n", (1, 0, False)),
    ("JSON between events", b'data: x\n\n{"error": 1}\n\ndata: y\n\n', (0, 1, False)),
    ("HTML", b"<html>\n<p>Bad Gateway</p>\n</html>\n\n", (0, 3, False)),
    ("plain text", b"data: x\n\nInternal Server Error\n\n", (0, 1, False)),
    ("a blank before the colon", b"data : x\n\n", (0, 1, False)),
    ("no blank line", b"data: x\n\ndata: y\n", (0, 0, True)),
    ("no line end", b"data: x\n\ndata: y", (0, 0, True)),
    ("half a name", b"data: x\n\nda", (0, 0, True)),
    ("only a name", b"event: x\n", (0, 0, True)),
    ("only an id", b"id: 5\n", (0, 0, True)),
    ("JSON at the end", b'data: x\n\n{\n"error": 1\n}\n', (0, 3, True)),
    ("a comment behind the data", b"data: y\n:", (0, 0, True)),
    ("one line end of CRLF", b"data: x\r\n\r\ndata: y\r\n", (0, 0, True)),
    ("one CR", b"data: x\r\rdata: y\r", (0, 0, True)),
]


@pytest.mark.parametrize(("name", "wire", "dropped"), DROPPED, ids=[row[0] for row in DROPPED])
@pytest.mark.parametrize("size", [1, 10_000_000])
def test_what_is_dropped_is_counted(name: str, wire: bytes, dropped: Dropped, size: int) -> None:
    decoder = EventStreamDecoder()
    for start in range(0, len(wire), size):
        decoder.feed(wire[start : start + size])
    told = decoder.dropped
    assert (told.unknown_fields, told.stray_lines, told.unfinished) == dropped
    assert bool(told) == any(dropped)
    decoder.reset()
    assert not decoder.dropped


def test_of_what_is_dropped_the_beginning_is_kept() -> None:
    decoder = EventStreamDecoder()
    decoder.feed(b"data: x\n\n" + b"{" * 1000 + b"\n}\n\n")
    assert decoder.drops.first_stray == "{" * 200


@pytest.mark.parametrize("event", [b"data: y\n\n", b"id: 1\nevent: e\ndata: y\n\n", b"data:y\n\n"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_whether_the_stream_ends_astray(event: bytes, size: int) -> None:
    decoder = EventStreamDecoder()

    def feed(wire: bytes) -> bool:
        for start in range(0, len(wire), size):
            decoder.feed(wire[start : start + size])
        return decoder.dropped.ends_astray

    assert not feed(b"data: x\n\n" + event)
    assert feed(event + b'{"error": 1}\n\n')
    assert feed(b":\n\n")
    assert not feed(event)
    assert not feed(event * 3)
    assert not feed(b"{}\n\n" + event)
    assert feed(b"{}\n")
