"""What the HTML standard says that bytes mean, one row for each rule: (name, bytes, events, retry).

An event is (its name, its data, the id in force when it was dispatched). An id is `None` while
there has been none, which a browser reports as the empty string. The first group of rows are the
standard's own examples, https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["VECTORS", "Vector"]

Event = tuple[str, str, str | None]


class Vector(NamedTuple):
    name: str
    wire: bytes
    events: list[Event]
    retry: int | None = None


def _only(*data: str) -> list[Event]:
    """Unnamed events without an id."""
    return [("message", text, None) for text in data]


EXAMPLES = [
    Vector(
        "messages of one and of two lines",
        b"data: This is the first message.\n"
        b"\n"
        b"data: This is the second message, it\n"
        b"data: has two lines.\n"
        b"\n"
        b"data: This is the third message.\n"
        b"\n",
        _only(
            "This is the first message.",
            "This is the second message, it\nhas two lines.",
            "This is the third message.",
        ),
    ),
    Vector(
        "named events",
        b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
        [("add", "73857293", None), ("remove", "2153", None), ("add", "113411", None)],
    ),
    Vector("three lines of data", b"data: YHOO\ndata: +2\ndata: 10\n\n", _only("YHOO\n+2\n10")),
    Vector(
        "comment, id, reset id, leading space",
        b": test stream\n\n"
        b"data: first event\nid: 1\n\n"
        b"data:second event\nid\n\n"
        b"data:  third event\n\n",
        [
            ("message", "first event", "1"),
            ("message", "second event", ""),
            ("message", " third event", ""),
        ],
    ),
    Vector(
        "the last block without its blank line is dropped",
        b"data\n\ndata\ndata\n\ndata:",
        _only("", "\n"),
    ),
    Vector(
        "one space after the colon is no data",
        b"data:test\n\ndata: test\n\n",
        _only("test", "test"),
    ),
]

LINES = [
    Vector("LF", b"data: a\n\ndata: b\n\n", _only("a", "b")),
    Vector("CR", b"data: a\r\rdata: b\r\r", _only("a", "b")),
    Vector("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", _only("a", "b")),
    Vector(
        "all line ends mixed", b"data: a\r\ndata\rdata: b\n\r\ndata: c\r\n\r", _only("a\n\nb", "c")
    ),
    Vector("LF then CR is a blank line", b"data: a\n\rdata: b\n\r", _only("a", "b")),
    Vector("CR, CRLF is a blank line", b"data: a\r\r\ndata: b\r\r\n", _only("a", "b")),
    Vector("CRLF is one line end", b"data: a\r\ndata: b\r\n\r\n", _only("a\nb")),
    Vector(
        "other separators are data",
        b"data: a\x0bb\x0cc\x1cd\xc2\x85e\xe2\x80\xa8f\n\n",
        _only("a\x0bb\x0cc\x1cd\x85e\u2028f"),
    ),
    Vector("many blank lines", b"\n\n\r\n\r\rdata: a\n\n\n\n\ndata: b\n\n\n", _only("a", "b")),
    Vector("nothing", b"", []),
    Vector("an unfinished line", b"data: a", []),
    Vector("a line without its blank line", b"data: a\n", []),
    Vector("an unfinished line end", b"data: a\n\ndata: b\r", _only("a")),
]

ENCODING = [
    Vector("byte order mark", b"\xef\xbb\xbfdata: a\n\n", _only("a")),
    Vector("byte order mark before a blank line", b"\xef\xbb\xbf\ndata: a\n\n", _only("a")),
    Vector(
        "only one byte order mark", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", _only("b")
    ),
    Vector("byte order mark that is too late", b"\n\xef\xbb\xbfdata: a\n\ndata: b\n\n", _only("b")),
    Vector("byte order mark in data", b"data: \xef\xbb\xbfa\n\n", _only("\ufeffa")),
    Vector("part of a byte order mark", b"\xef\xbbdata: a\n\ndata: b\n\n", _only("b")),
    Vector(
        "multi-byte characters",
        "data: h\u00e9 \u20ac \U0001f600\n\n".encode(),
        _only("h\u00e9 \u20ac \U0001f600"),
    ),
    Vector("a byte that is not UTF-8", b"data: a\xffb\n\n", _only("a\ufffdb")),
    Vector(
        "a character cut short by a line end", b"data: a\xe2\x82\ndata: b\n\n", _only("a\ufffd\nb")
    ),
    Vector(
        "a character cut short by another",
        b"data: \xf0\x9f\x98\xe2\x82\xac\n\n",
        _only("\ufffd\u20ac"),
    ),
    Vector(
        "surrogates and overlong forms",
        b"data: \xed\xa0\x80|\xc0\xaf|\xf4\x90\x80\x80\n\n",
        _only("\ufffd\ufffd\ufffd|\ufffd\ufffd|\ufffd\ufffd\ufffd\ufffd"),
    ),
    Vector("NUL in data", b"data: a\0b\n\ndata:\0\n\n", _only("a\0b", "\0")),
    Vector(
        "names in UTF-8",
        "event: caf\u00e9\nid: \u20ac\ndata: x\n\n".encode(),
        [("caf\u00e9", "x", "\u20ac")],
    ),
]

FIELDS = [
    Vector("a field without a colon", b"data\n\n", _only("")),
    Vector("a field without a value", b"data:\n\ndata: \n\n", _only("", "")),
    Vector("only the first space is removed", b"data:  a \n\ndata:\ta\n\n", _only(" a ", "\ta")),
    Vector("only the first colon counts", b"data: a: b:c\n\ndata::\n\n", _only("a: b:c", ":")),
    Vector(
        "names are exact",
        b"Data: 1\ndata\0: 2\n data: 3\nda-ta: 4\ndata : 5\nDATA: 6\ndata: 7\n\n",
        _only("7"),
    ),
    Vector(
        "unknown fields are ignored",
        b"data: a\nfoo: b\njust text\n: comment\ndata: c\n\n",
        _only("a\nc"),
    ),
    Vector("comments", b":\n: a\n::\n:data: no\ndata: yes\n:\0\n: \n\n:\n\n", _only("yes")),
    Vector("data lines with and without space", b"data:a\ndata: b\ndata:c\n\n", _only("a\nb\nc")),
    Vector("data lines that say data", b"data: a\ndata: data: b\n\n", _only("a\ndata: b")),
    Vector("a comment parts nothing", b"data: a\n:\ndata: b\n\n", _only("a\nb")),
    Vector("a comment of 2000 bytes", b":" + b"x" * 2000 + b"\ndata: a\n\n", _only("a")),
]

NAMES = [
    Vector("the last name wins", b"event: a\nevent: b\ndata: x\n\n", [("b", "x", None)]),
    Vector("a name after the data", b"data: x\nevent: a\n\n", [("a", "x", None)]),
    Vector("an empty name is none", b"event:\ndata: x\n\nevent\ndata: y\n\n", _only("x", "y")),
    Vector("an empty name takes one back", b"event: a\nevent:\ndata: x\n\n", _only("x")),
    Vector(
        "a name is for one event",
        b"event: a\ndata: x\n\ndata: y\n\n",
        [("a", "x", None), *_only("y")],
    ),
    Vector("a block without data resets the name", b"event: a\n\ndata: x\n\n", _only("x")),
    Vector("a block without data is no event", b"event: a\nid: 1\nretry: 5\n\n", [], 5),
    Vector("a name keeps its spaces", b"event:  a b \ndata: x\n\n", [(" a b ", "x", None)]),
    Vector("a name takes one space", b"event:  a\ndata: x\n\n", [(" a", "x", None)]),
    Vector("NUL in a name", b"event: a\0b\ndata: x\n\n", [("a\0b", "x", None)]),
]

IDS = [
    Vector(
        "an id before and after the data",
        b"id: 1\ndata: x\n\ndata: y\nid: 2\n\n",
        [("message", "x", "1"), ("message", "y", "2")],
    ),
    Vector(
        "an id persists",
        b"id: 1\ndata: x\n\ndata: y\n\nevent: e\ndata: z\n\n",
        [("message", "x", "1"), ("message", "y", "1"), ("e", "z", "1")],
    ),
    Vector(
        "an id of a block without data persists", b"id: 1\n\ndata: x\n\n", [("message", "x", "1")]
    ),
    Vector(
        "an empty id resets",
        b"id: 1\ndata: x\n\nid:\ndata: y\n\ndata: z\n\n",
        [("message", "x", "1"), ("message", "y", ""), ("message", "z", "")],
    ),
    Vector(
        "an id with NUL is ignored",
        b"id: 1\ndata: x\n\nid: 2\0\ndata: y\n\nid: \0003\nid: 4\0\ndata: z\n\n",
        [("message", "x", "1"), ("message", "y", "1"), ("message", "z", "1")],
    ),
    Vector("an id after the data wins", b"id: 1\ndata: x\nid: 2\n\n", [("message", "x", "2")]),
    Vector(
        "an id with NUL after the data", b"id: 1\ndata: x\nid: 2\0\n\n", [("message", "x", "1")]
    ),
    Vector(
        "the last id wins", b"id: 1\nid: 2\nid: 3\0\ndata: x\nid: 4\n\n", [("message", "x", "4")]
    ),
    Vector(
        "an id that no header can carry",
        "id: \u2026 \ndata: x\n\n".encode(),
        [("message", "x", "\u2026 ")],
    ),
    Vector("an id takes one space", b"id:  1\ndata: x\n\n", [("message", "x", " 1")]),
    Vector("names are not ids", b"ID: 1\nid2: 2\ndata: x\n\n", _only("x")),
]

RETRIES = [
    Vector("retry", b"retry: 3000\ndata: x\n\n", _only("x"), 3000),
    Vector("retry counts at its line", b"retry: 3000\n", [], 3000),
    Vector("retry with its line unfinished", b"retry: 3000", []),
    Vector("the last retry wins", b"retry: 1\n\nretry: 2\nretry: 3\n\n", [], 3),
    Vector(
        "retry is digits and nothing else",
        b"retry: 1000x\nretry: -1\nretry: +5\nretry: 1_000\nretry: 1.5\nretry:  7\nretry: 8 \n"
        b"retry: 0x10\nretry: 1e3\ndata: x\n\n",
        _only("x"),
    ),
    Vector(
        "retry between the others", b"id: 1\nretry: 7\nevent: e\ndata: x\n\n", [("e", "x", "1")], 7
    ),
    Vector(
        "retry is ASCII digits",
        "retry: \u0661\u0662\nretry: \uff11\nretry: \u00b2\ndata: x\n\n".encode(),
        _only("x"),
    ),
    Vector("retry is not Arabic digits", "retry: \u0661\ndata: x\n\n".encode(), _only("x")),
    Vector("an empty retry is ignored", b"retry: 5\n\nretry:\nretry\nretry: \n\n", [], 5),
    Vector("retry of zero", b"retry: 0\n\n", [], 0),
    Vector("retry with leading zeros", b"retry: 0010\n\n", [], 10),
]

#: Every vector.
VECTORS = [*EXAMPLES, *LINES, *ENCODING, *FIELDS, *NAMES, *IDS, *RETRIES]
