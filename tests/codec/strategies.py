"""What the codec's properties draw from."""

from __future__ import annotations

import operator
from itertools import pairwise

from hypothesis import strategies as st

# The ends of lines, what only looks like one, and what a field is made of.
_TROUBLE = ["\r", "\n", "\r\n", "\n\n", ":", " ", "\0", "\ufeff", "\x0b", "\x0c", "\x85", "\u2028"]
_WORDS = ["data", "event", "id", "retry", "data: ", "\nid: 1\n", "1", "\u20ac", "\U0001f600", "a"]

any_text = st.lists(
    st.one_of(
        st.sampled_from(_TROUBLE + _WORDS), st.text(st.characters(codec="utf-8"), max_size=3)
    ),
    max_size=8,
).map("".join)

one_line = any_text.map(lambda text: text.translate({10: "", 13: "", 0: ""}))

_PIECES = [piece.encode() for piece in [*_TROUBLE, *_WORDS, "event: ", "id: ", "retry: ", "7"]]
_BROKEN = [
    b"\xef\xbb\xbf",
    b"\xef",
    b"\xe2\x82",
    b"\xff",
    b"\xf0\x9f\x98",
    b"\xbf",
    b"\xed\xa0\x80",
]

# Bytes that look enough like an event stream to reach every rule. Half of them begin with a blank
# line, because the first block is read in another way than the others.
any_stream = st.builds(
    operator.add,
    st.sampled_from([b"", b"\n"]),
    st.lists(
        st.one_of(
            st.sampled_from(_PIECES + _BROKEN),
            st.sampled_from([b"data: x\n\n", b"id: 3\ndata: y\n\n", b":\n\n", b"retry: 9\n"]),
            st.binary(max_size=4),
        ),
        max_size=30,
    ).map(b"".join),
)


# Lines that the decoder's fast path knows, and those that only look like them.
LINES = [
    *("id: 1", "id:2", "id:  3", "id: ", "id", "id: 4\0", "id: \u20ac"),
    *("event: tick", "event:tock", "event:", "event: id: 1", "retry: 5", "retry: 5x"),
    *("data: x", "data:y", "data:  z", "data: ", "data", "data: data: x", "data: id: 9"),
    *(": data: x", "xdata: x", "\x85data: x", " data: x", ""),
]

# Whole blocks, as servers write them: all with one kind of line end.
whole_blocks = st.builds(
    lambda blocks, end: [end.join([*lines, "", ""]).encode() for lines in blocks],
    st.lists(st.lists(st.sampled_from(LINES), max_size=5), max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
)


@st.composite
def pieces_of(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """The stream, cut anywhere, also twice at the same place."""
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    bounds = [0, *cuts, len(stream)]
    return [stream[a:b] for a, b in pairwise(bounds)]
