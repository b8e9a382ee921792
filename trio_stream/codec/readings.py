"""Bytes that are no event stream, as the texts that they hold: lines, JSON values, or chunks.

Bytes in, texts out: no I/O. Each of these has a `feed`, and an `end` for what the body's end
completes.
"""

from __future__ import annotations

import codecs
import re
from typing import Any, Literal, Protocol, get_args

import msgspec

from ..checks import check_choice
from ..errors import EventTooLargeError, RemoteProtocolError
from .media_type import Kind

__all__ = [
    "READ_AS",
    "ChunkReading",
    "JsonReading",
    "LineReading",
    "ReadAs",
    "Reading",
    "check_read_as",
    "open_reading",
]

#: How the body of a response is read: by its content type and, where that does not tell, its first
#: bytes; by its content type alone; or as one of these, whatever it says.
ReadAs = Literal["auto", "strict", "sse", "json", "lines", "text"]
READ_AS: tuple[ReadAs, ...] = get_args(ReadAs)


def check_read_as(read_as: str) -> None:
    """`TypeError` or `ValueError` for what is none of these."""
    check_choice("read_as", read_as, READ_AS)


class Reading(Protocol):
    """Turns a body's bytes, however they are cut up, into texts."""

    def feed(self, data: bytes) -> list[str]:
        """Take the next bytes; give the texts that they complete.

        Raises:
          EventTooLargeError: one was larger than allowed. It is skipped, and feeding goes on.
          RemoteProtocolError: it is no text.
        """

    def end(self) -> list[str]:
        """What the body's end completes; raises what `feed` does."""

    @property
    def unfinished(self) -> bool:
        """Whether there is something that the body's end does not complete."""

    @property
    def has_more(self) -> bool:
        """Whether not all that was fed has been read: feed nothing, to go on."""


def open_reading(
    kind: Kind, max_bytes: int, charset: str = "utf-8", *, strict: bool = False
) -> Reading:
    """The reading for a kind of body: ``"json"``, ``"lines"``, or else text in chunks."""
    if kind == "json":
        return JsonReading(max_bytes)
    if kind == "lines":
        return LineReading(max_bytes)
    return ChunkReading(charset, strict=strict)


class _Pieces:
    """What lines and values have in common: a buffer with a bound, and what is skipped."""

    _what: Literal["line", "event"]

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        # How much of the buffer has been looked at: O(n) however it is cut up.
        self._seen = 0
        self._skips = False
        self._error: EventTooLargeError | None = None
        self.has_more: bool = False

    def feed(self, data: bytes) -> list[str]:
        self.has_more = False
        if self._error is not None:
            error, self._error = self._error, None
            self._buffer += data
            self.has_more = True
            raise error
        self._buffer += data
        texts: list[str] = []
        try:
            while (end := self._find_end()) >= 0:
                self._cut(end, texts)
            self._skip_if_too_large()
        except EventTooLargeError as exc:
            self.has_more = True
            if not texts:
                raise
            self._error = exc
        return texts

    def _find_end(self) -> int:
        """Where the first text in the buffer ends, or -1; all up to there has been looked at."""
        raise NotImplementedError

    def _cut(self, end: int, texts: list[str]) -> None:
        """What ends here is whole."""
        piece = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._seen = 0
        skips, self._skips = self._skips, False
        if skips:
            return
        if len(piece) > self._max_bytes:
            raise EventTooLargeError(self._what, self._max_bytes)
        if text := piece.decode("utf-8", "replace").strip(_BLANK):
            texts.append(text)

    def _skip_if_too_large(self) -> None:
        """Forget what is in the buffer, and all of it that is to come, if it is too much."""
        too_large = len(self._buffer) > self._max_bytes
        if too_large or self._skips:
            del self._buffer[: self._seen]
            self._seen = 0
        if too_large and not self._skips:
            self._skips = True
            raise EventTooLargeError(self._what, self._max_bytes)


#: Around values: what JSON calls whitespace, and the record separator of RFC 7464.
_BLANK = " \t\r\n\x1e\ufeff"


class LineReading(_Pieces):
    """Each line a text, blank ones left out; the last needs no line end."""

    _what = "line"
    unfinished: bool = False

    def _find_end(self) -> int:
        end = self._buffer.find(b"\n", self._seen)
        self._seen = len(self._buffer)
        return end if end < 0 else end + 1

    def end(self) -> list[str]:
        texts = self.feed(b"")
        self._cut(len(self._buffer), texts)
        return texts


_NOT_BLANK = re.compile(rb"[^ \t\r\n\x1e]").search
_END_OF_LINE = re.compile(rb"[\r\n\x1e]").search
_TOKEN = re.compile(rb"[\"{}\[\]]").search
_REST_OF_STRING = re.compile(rb"(?:[^\"\\]++|\\.)*+", re.DOTALL).match


class JsonReading(_Pieces):
    """Each JSON value a text, whether lines, blanks, record separators or nothing divides them.

    What is no object or array, be it JSON or not, is a text for each line. Nothing is changed but
    the blanks around it.
    """

    _what = "event"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._depth = 0
        self._in_string = False

    @property
    def unfinished(self) -> bool:
        return self._depth > 0

    def _find_end(self) -> int:
        buffer = self._buffer
        if not self._depth:
            first = _NOT_BLANK(buffer)
            if first is None:
                return -1
            begin = first.start()
            end_of_line = buffer.find(b"\n", begin)
            if end_of_line >= 0 and _is_json(bytes(buffer[begin:end_of_line])):
                return end_of_line
            if self._skips or first[0] not in (b"{", b"["):
                end = _END_OF_LINE(buffer, begin)
                self._seen = len(buffer)
                return -1 if end is None else end.end()
            self._depth, self._seen = 1, begin + 1
        return self._find_bracket()

    def _find_bracket(self) -> int:
        """Where the brackets that have been opened are all closed, or -1."""
        buffer = self._buffer
        while True:
            if self._in_string:
                rest = _REST_OF_STRING(buffer, self._seen)
                assert rest is not None
                self._seen = rest.end()
                if buffer[self._seen : self._seen + 1] != b'"':
                    return -1
                self._seen += 1
                self._in_string = False
            token = _TOKEN(buffer, self._seen)
            if token is None:
                self._seen = len(buffer)
                return -1
            self._seen = token.end()
            if token[0] == b'"':
                self._in_string = True
            else:
                self._depth += 1 if token[0] in (b"{", b"[") else -1
                if not self._depth:
                    return self._seen

    def end(self) -> list[str]:
        texts = self.feed(b"")
        if not self.unfinished:
            self._cut(len(self._buffer), texts)
        return texts


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


class ChunkReading:
    """Each chunk a text, as it comes; a character that is split between two is in the second.

    Args:
      charset: its name; one that is unknown is UTF-8.
      strict: whether what is no text is an error, and not U+FFFD.
    """

    unfinished = has_more = False

    def __init__(self, charset: str = "utf-8", *, strict: bool = False) -> None:
        try:
            info = codecs.lookup(charset)
        except LookupError:  # a peer's charset may be any word at all
            info = codecs.lookup("utf-8")
        self._decode: Any = info.incrementaldecoder("strict" if strict else "replace").decode

    def feed(self, data: bytes) -> list[str]:
        return self._texts(data, final=False)

    def end(self) -> list[str]:
        return self._texts(b"", final=True)

    def _texts(self, data: bytes, *, final: bool) -> list[str]:
        try:
            text = self._decode(data, final)
        except UnicodeDecodeError:
            raise RemoteProtocolError(
                "the peer named no type of text, and sent what is none; "
                'a Stream passes it on with format="bytes"'
            ) from None
        return [text] if text else []
