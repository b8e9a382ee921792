"""decode(encode(x)) is x, with CR and CRLF read as LF and an empty event name as "message"."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_stream.codec import (
    EventStreamDecoder,
    ServerSentEvent,
    encode,
    encode_comment,
    encode_retry,
    encode_sse,
)
from trio_stream.codec.encoder import is_framed

from .strategies import any_text, one_line, pieces_of

events = st.builds(
    ServerSentEvent,
    any_text,
    event=st.none() | one_line,
    id=st.none() | one_line,
    retry=st.none() | st.integers(0, 2**63 - 1),
    comment=st.none() | any_text,
)
blocks_without_data = st.builds(
    ServerSentEvent,
    id=one_line,
    retry=st.none() | st.integers(0, 10_000),
    comment=st.none() | any_text,
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=10,
)


def with_lf(text: str) -> str:
    return re.sub("\r\n|\r", "\n", text)


def decode(wire: bytes) -> list[ServerSentEvent]:
    return EventStreamDecoder().feed(wire)


@given(st.data(), st.lists(events | blocks_without_data, max_size=6))
def test_decoding_gives_what_was_encoded_in_any_pieces(
    data: st.DataObject, sent: list[ServerSentEvent]
) -> None:
    comments: list[str] = []
    decoder = EventStreamDecoder(on_comment=comments.append)
    wire = b"".join(encode(event).data for event in sent)
    received = [event for piece in data.draw(pieces_of(wire)) for event in decoder.feed(piece)]

    expected: list[ServerSentEvent] = []
    id_in_force: str | None = None
    for event in sent:
        id_in_force = id_in_force if event.id is None else event.id
        if event.data is not None:
            expected.append(
                ServerSentEvent(
                    with_lf(event.data),
                    event=event.event or "message",
                    id=id_in_force,
                    retry=event.retry,
                )
            )
    assert received == expected
    assert decoder.last_event_id == id_in_force
    retries = [event.retry for event in sent if event.retry is not None]
    assert decoder.retry == (retries[-1] if retries else None)
    told = [event.comment for event in sent if event.comment is not None]
    assert comments == [line for text in told for line in with_lf(text).split("\n")]


@given(any_text, one_line, one_line)
def test_decoded_event_is_encoded_as_the_same_event(data: str, event: str, id: str) -> None:
    sent = ServerSentEvent(data)  # bare, text that is framed already would be refused
    (first,) = decode(encode_sse(sent, event, id, 5))
    (second,) = decode(encode_sse(first))
    assert second == first


@given(any_text)
def test_no_text_can_add_a_field_or_an_event(data: str) -> None:
    for value in (data, data.encode(), ServerSentEvent(data)):
        if not isinstance(value, ServerSentEvent) and is_framed(value):
            with pytest.raises(ValueError, match="framed again"):
                encode_sse(value)
            continue
        decoder = EventStreamDecoder()
        assert [event.data for event in decoder.feed(encode_sse(value))] == [with_lf(data)]
        assert (decoder.last_event_id, decoder.retry) == (None, None)


@given(any_text)
def test_no_comment_can_add_a_field_or_an_event(text: str) -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(encode_comment(text)) == []
    assert decoder.feed(encode_sse(ServerSentEvent(comment=text))) == []
    assert (decoder.last_event_id, decoder.retry) == (None, None)
    assert decoder.feed(b"data: x\n\n") == [ServerSentEvent("x", event="message")]


@given(any_text)
def test_a_name_or_id_is_exact_or_refused(text: str) -> None:
    for fields in ({"event": text}, {"id": text}):
        if re.search("[\r\n\0]", text):
            with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
                encode("data", **fields)  # type: ignore[arg-type]
        else:
            (event,) = decode(encode("data", **fields).data)  # type: ignore[arg-type]
            assert event == ServerSentEvent(
                "data", event=fields.get("event") or "message", id=fields.get("id")
            )


@given(json_values)
def test_json_comes_back_equal_and_on_one_line(value: object) -> None:
    if isinstance(value, str):
        value = [value]
    wire = encode_sse(value)
    (event,) = decode(wire)
    assert (event.json(), json.loads(event.data)) == (value, value)
    assert wire.count(b"\n") == 2


@given(st.integers(0, 2**63 - 1))
def test_retry_alone(retry: int) -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(encode_retry(retry)) == []
    assert decoder.retry == retry
