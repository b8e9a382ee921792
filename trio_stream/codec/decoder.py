"""``text/event-stream`` bytes to events, by the rules of the HTML standard, section 9.2.6.

Bytes in, events out: no I/O, so that the client, the proxy and the tests read by the same rules.
Quotations are from https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from ..checks import check_callable, check_count, check_text, refuse_coroutine
from ..errors import EventTooLargeError
from .dropped import DropCounter, DroppedInput
from .encoder import MAX_RETRY
from .event import ServerSentEvent

__all__ = ["DEFAULT_MAX_EVENT_BYTES", "EventStreamDecoder"]

#: 32 MiB: half as much again as the largest events seen, pictures of image models in base64,
#: and what a process can lose to one bad peer without noticing.
DEFAULT_MAX_EVENT_BYTES = 32 * 1024 * 1024

# Quantifiers that end in "+" never give back what they took, so no input costs more than O(n). "."
# is all but LF; NULs, which an id must not hold, are looked for apart.

# A block of one line of data, as one event at a time is mostly written.
_EVENT = re.compile(r"(?:id: ?+(.++)\n|)(?:event: ?+(.++)\n|)data: ?+(.*+)\n\n").fullmatch

# A block as nearly every server writes it: named fields, the data, perhaps the id, a blank line; or
# else any block at all.
_BLOCKS = re.compile(
    r"(?:id: ?+(.++)\n|event: ?+(.++)\n|retry: ?+([0-9]{1,18})\n)*+"
    r"data: ?+(.*+(?:\ndata: .*+)*+)\n"
    r"(?:id: ?+(.++)\n|)\n"
    r"|((?:.++\n)*+\n++)"
).findall


class EventStreamDecoder:
    """Turns the bytes of an event stream into its events, however the bytes are cut up.

    What it holds between two calls is at most one unfinished line and the data of one unfinished
    event: ``max_line_bytes + max_event_bytes``, with the defaults 64 MiB, and an eighth more
    while they grow; and after an `EventTooLargeError`, until it is fed again, what came behind.

    Args:
      max_event_bytes: how much data one event may have, in bytes of its data lines.
      max_line_bytes: how long one line may be, of whatever kind; `None` is `max_event_bytes`.
      last_event_id: the id to begin with, from an earlier connection.
      on_comment: called with the text of each comment line, without its colon and one space. Sync.

    Attributes:
      retry: the last reconnection time that the peer asked for, in milliseconds.
      last_event_id: what to hand back as ``Last-Event-ID``: `None` while the peer has set none,
        ``""`` after it reset it.
      drops: what was dropped since the last `reset`, as it is counted; `dropped` is a snapshot.
    """

    def __init__(
        self,
        *,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        max_line_bytes: int | None = None,
        last_event_id: str | None = None,
        on_comment: Callable[[str], None] | None = None,
    ) -> None:
        check_count("max_event_bytes", max_event_bytes)
        check_count("max_line_bytes", max_line_bytes, "None is max_event_bytes", or_none=True)
        check_text("last_event_id", last_event_id, or_none=True)
        check_callable("on_comment", on_comment, "takes a comment's text", takes=1, or_none=True)
        self.retry: int | None = None
        self.last_event_id = last_event_id
        self._max_event_bytes = max_event_bytes
        self._max_line_bytes = max_event_bytes if max_line_bytes is None else max_line_bytes
        self._on_comment: Callable[[str], object] | None = on_comment
        self.reset()

    def reset(self) -> None:
        """Begin with a new connection: what is unfinished is dropped, `retry` and the id stay."""
        # "One leading U+FEFF BYTE ORDER MARK character must be ignored if any are present."
        self._at_first_line = True
        # A CR ends its line at once; if it was the last byte, a LF to come belongs to it.
        self._after_cr = False
        # The bytes of a line whose end is not there yet. One bytearray, grown in place: joining
        # pieces anew at each call would cost O(n^2) for a long line in many pieces.
        self._partial = bytearray()
        # Whether the next byte belongs to a block that has begun already; the very first one does,
        # because of the byte order mark.
        self._in_block = True
        # The data buffer, UTF-8, each line followed by a LF; empty means: dispatch nothing.
        self._data = bytearray()
        self._event = ""
        # The id buffer. The standard has it start empty, which would make a client forget its id
        # at the first event after a reconnection; browsers carry it over, and so does this.
        self._id = self.last_event_id
        self._block_retry: int | None = None
        # In so few bytes of UTF-8, nothing can pass a limit.
        self._harmless_bytes = min(self._max_event_bytes, self._max_line_bytes)
        # The rest of a block that is too large is skipped, but for its id, and of a line that is
        # too long all is.
        self._skips_block = self._skips_line = False
        # What is to be raised at the next call, and what was fed behind it.
        self._error: EventTooLargeError | None = None
        self._behind = b""
        # Whether any of these says that bytes cannot simply be added to the unfinished line.
        self._careful = False
        self.drops: DropCounter = DropCounter()

    @property
    def dropped(self) -> DroppedInput:
        """What has come since the last `reset` and is in no event."""
        return self.drops.snapshot(unfinished=self._is_unfinished())

    @property
    def has_more(self) -> bool:
        """Whether it has not read all that it was fed: feed it nothing, and it goes on."""
        return self._error is not None or bool(self._behind)

    def _is_unfinished(self) -> bool:
        if self._data or self._event or self._id != self.last_event_id or self.drops.in_block:
            return True
        rest = self._partial.strip()
        return bool(rest) and not rest.startswith(b":")

    def feed(self, data: bytes | bytearray | memoryview) -> list[ServerSentEvent]:
        """Take the next bytes; give the events that they complete.

        An event is given as soon as the line end of its blank line is there. One that the
        connection's end leaves unfinished is never given.

        Raises:
          TypeError: it is no bytes-like object.
          EventTooLargeError: the peer sent more than this decoder holds. Events that came before
            in the same bytes are given first; the next call raises. The one after that goes on
            behind the event: feed nothing, to get what is there already.
        """
        if type(data) is not bytes:
            data = memoryview(data).tobytes()
        if self._after_cr or 13 in data:  # `b"\r" in data` would take ten times as long
            data = self._with_lf(data)
        if self._in_block:
            fits = len(self._partial) + len(data) <= self._max_line_bytes
            if 10 in data or not fits or self._careful:
                return self._read_pieces(data)
            # Part of a line, as most pieces of a large event are.
            self._partial += data
            return []
        if not data.endswith(b"\n\n") or len(data) > self._harmless_bytes:
            return self._read_pieces(data)
        # The fast path: whole blocks, and often a single one, as servers write their events. 0.5 us
        # for one with nothing but data, 0.8 with a name and an id: a quarter of line by line.
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return self._read_pieces(data)
        if text.startswith("data: ") and "\n" not in (line := text[6:-2]):
            return [ServerSentEvent(line, event="message", id=self._id)]
        if block := _EVENT(text):
            id, event, line = block.groups()
            if id and "\0" not in id:
                self._id = self.last_event_id = id
            return [ServerSentEvent(line, event=event or "message", id=self._id)]
        events: list[ServerSentEvent] = []
        self._read_blocks(text, events)
        if self.drops.stray_lines:
            self.drops.fed(len(events))
        return events

    def _with_lf(self, data: bytes) -> bytes:
        """The same lines, each ended by one LF."""
        # "Lines must be separated by either a CRLF pair, a single LF, or a single CR."
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        without_cr = data.replace(b"\r", b"")
        if len(data) - len(without_cr) == data.count(b"\r\n"):
            return without_cr  # each has its LF; three quarters of what replacing pairs takes
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _read_pieces(self, data: bytes) -> list[ServerSentEvent]:
        """Process bytes that may begin and end inside of a block."""
        if self._error is not None:
            error, self._error = self._error, None
            self._behind += data
            raise error
        data, self._behind = self._behind + data, b""
        events: list[ServerSentEvent] = []
        try:
            self._read(data, events)
            self._careful = self._skips_line
        except EventTooLargeError as exc:
            self._in_block = self._careful = True
            if not events:
                raise
            self._error = exc
        finally:
            if self.drops.stray_lines:
                self.drops.fed(len(events))
        return events

    def _read(self, data: bytes, events: list[ServerSentEvent]) -> None:
        if self._in_block:
            begun, blank, data = data.partition(b"\n\n")
            try:
                self._read_lines(begun + blank, events)
            except EventTooLargeError:
                self._behind += data
                raise
        end = data.rfind(b"\n\n") + 2
        # A third, because a byte that is not UTF-8 becomes U+FFFD, which takes three.
        if 2 <= end <= self._harmless_bytes // 3:
            self._read_blocks(data[:end].decode("utf-8", "replace"), events)
            data = data[end:]
        if data:
            self._read_lines(data, events)

    def _read_blocks(self, text: str, events: list[ServerSentEvent]) -> None:
        """Process whole blocks: what `_read_line` would do, at C's speed."""
        last_id = self._id
        if text.startswith("data: "):
            # Perhaps one line of data each, as language models send them. 0.15 us an event.
            lines = text[6:-2].split("\n\ndata: ")
            if "\n" not in "".join(lines):
                events += [ServerSentEvent(line, event="message", id=last_id) for line in lines]
                return
        # 0.5 us an event, where line by line it would be 2.
        blocks = [("", "", "", "", "", text)] if "\0" in text else _BLOCKS(text)
        for id, event, retry, data, late_id, others in blocks:
            if others:
                self._read_others(others, events)
                last_id = self._id
                continue
            if id or late_id:
                last_id = self._id = self.last_event_id = late_id or id
            own_retry = None
            if retry:
                own_retry = self.retry = int(retry)
            if "\n" in data:
                data = data.replace("\ndata: ", "\n")
            events.append(
                ServerSentEvent(data, event=event or "message", id=last_id, retry=own_retry)
            )

    def _read_others(self, text: str, events: list[ServerSentEvent]) -> None:
        """Process whole blocks, line by line."""
        for line in text[:-1].split("\n"):
            self._read_line(line, events)

    def _read_lines(self, data: bytes, events: list[ServerSentEvent]) -> None:
        """Process the lines that end in these bytes, and keep the rest."""
        if self._skips_line:
            _, end, data = data.partition(b"\n")
            self._skips_line = not end
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = bytes(self._partial) + lines[0]
            self._partial.clear()
            self._in_block = bool(lines[-1])
            left = iter(lines)
            try:
                for line in left:
                    self._read_whole_line(line, events)
            except EventTooLargeError:
                self._behind = b"\n".join([*left, rest])
                raise
        if rest and not self._skips_line:
            self._in_block = True
            self._partial += rest
            if len(self._partial) > self._max_line_bytes:
                self._partial.clear()
                self._skips_line = True
                self._skip_block("line", self._max_line_bytes)

    def _read_whole_line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if len(line) > self._max_line_bytes:
            self._skip_block("line", self._max_line_bytes)
            return
        text = line.decode("utf-8", "replace")
        if self._at_first_line:
            self._at_first_line = False
            text = text.removeprefix("\ufeff")
        self._read_line(text, events)

    def _skip_block(self, what: Literal["line", "event"], limit: int) -> None:
        """Leave the rest of this block out, and say so, once for each block."""
        self._data.clear()
        self._at_first_line = False
        if not self._skips_block:
            self._skips_block = True
            # Whoever comes back must get past it.
            self.last_event_id = self._id
            raise EventTooLargeError(what, limit, self._id)

    def _read_line(self, line: str, events: list[ServerSentEvent]) -> None:
        name, _, value = line.partition(":")
        # "If value starts with a U+0020 SPACE character, remove it from value."
        if value[:1] == " ":
            value = value[1:]
        if name == "data":
            if self._skips_block:
                return
            self._data += f"{value}\n".encode()
            if len(self._data) > self._max_event_bytes:
                self._skip_block("event", self._max_event_bytes)
        elif name == "event":
            self._event = value
        elif name == "id":
            # "If the field value does not contain U+0000 NULL"
            if "\0" not in value:
                self._id = value
        elif name == "retry":
            # "If the field value consists of only ASCII digits"
            if value.isascii() and value.isdigit():
                self.retry = self._block_retry = _read_retry(value)
        elif not line:
            self._dispatch(events)
        elif name:
            self.drops.drop(line, name, len(events))
            if self.drops.stray_lines:
                # From now on it matters what comes last, so all is read line by line.
                self._harmless_bytes = 0
        elif self._on_comment is not None:
            refuse_coroutine("on_comment", self._on_comment(value))

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        """Process the blank line that ends a block."""
        self.last_event_id = self._id
        # "If the data buffer is an empty string, set the data buffer and the event type buffer to
        # the empty string and return."
        if self._data:
            data = self._data[:-1].decode()
            self._data.clear()
            events.append(
                ServerSentEvent(
                    data, event=self._event or "message", id=self._id, retry=self._block_retry
                )
            )
        self._event = ""
        self._block_retry = None
        self._skips_block = self.drops.in_block = False


def _read_retry(digits: str) -> int:
    # Python refuses to read thousands of digits; any that are too many mean the largest.
    digits = digits.lstrip("0")
    return min(int(digits or "0"), MAX_RETRY) if len(digits) < 20 else MAX_RETRY
