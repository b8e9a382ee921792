"""The command ``trio-stream tail``: any event stream, readable, as it comes."""

from __future__ import annotations

import logging
import re
import sys
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TextIO
from zlib import crc32

import msgspec
import trio
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from ..codec import ServerSentEvent
from ..codec.decoder import DEFAULT_MAX_EVENT_BYTES
from ..codec.readings import ReadAs
from ..errors import ContentTypeError, EventTooLargeError, TrioStreamError, UpstreamStatusError
from .attempts import AttemptEnded, AttemptOpened, describe
from .event_source import EventSource
from .http_client import make_client

__all__ = ["Options", "run"]

#: One of them for each event name, always the same.
_COLOURS = ("green", "magenta", "blue", "yellow", "bright_red", "bright_green", "bright_magenta")

#: What would move the cursor, change colours or turn text around: an event must not write over the
#: terminal what it likes.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    content: str | bytes | None = None
    last_event_id: str | None = None
    reconnect: bool | None = None
    idle_timeout: float | None = None
    read_as: ReadAs = "strict"
    max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES
    verify: bool = True
    count: int | None = None
    json: bool = False
    comments: bool = False


class View(Protocol):
    """Where events go."""

    def event(self, event: ServerSentEvent) -> None:
        """An event has come."""

    def comment(self, text: str) -> None:
        """A comment has come, and comments were asked for."""


def run(options: Options) -> int:
    """Show events until there are no more; the command's exit code."""
    # The screen says what the log would say.
    logging.getLogger("trio_stream").addHandler(logging.NullHandler())
    notes = Notes()
    view: View = Lines(sys.stdout) if options.json else Screen()
    try:
        trio.run(_tail, options, view, notes)
    except (TrioStreamError, ValueError) as exc:
        notes.failure(exc)
        return 1
    return 0


async def _tail(options: Options, view: View, notes: Notes) -> None:
    async with (
        make_client(options.url, verify=options.verify) as client,
        EventSource(
            options.url,
            client=client,
            method=options.method,
            content=options.content,
            headers=options.headers,
            last_event_id=options.last_event_id,
            reconnect=options.reconnect,
            idle_timeout=options.idle_timeout,
            read_as=options.read_as,
            max_event_bytes=options.max_event_bytes,
            observer=notes.attempt,
            on_comment=view.comment if options.comments else None,
        ) as source,
    ):
        left = options.count
        while left != 0:
            try:
                view.event(await source.receive())
            except EventTooLargeError as exc:
                notes.left_out(exc)
                continue
            except trio.EndOfChannel:
                break
            left = None if left is None else left - 1
    if left != 0 and not notes.opened:
        notes.no_more()


class Lines:
    """One JSON object a line, for other programs."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def event(self, event: ServerSentEvent) -> None:
        self._write({"event": event.event, "id": event.id, "data": event.data})

    def comment(self, text: str) -> None:
        self._write({"comment": text})

    def _write(self, value: dict[str, object]) -> None:
        self._file.write(msgspec.json.encode(value).decode() + "\n")
        self._file.flush()


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would exit by itself


class Screen:
    """Names and ids in colour, JSON laid out, for people."""

    def __init__(self) -> None:
        self._console = _Console(highlight=False, soft_wrap=True)
        self._json = JSONHighlighter()

    def event(self, event: ServerSentEvent) -> None:
        head = self._head(event)
        data = self._data(event.data, room=self._console.width - head.cell_len - 1)
        between = "\n" if "\n" in data.plain else " "
        self._console.print(Text.assemble(head, between, data))

    def comment(self, text: str) -> None:
        self._console.print(Text(f"{_now()} : {visible(text)}", "dim italic"))

    def _head(self, event: ServerSentEvent) -> Text:
        name = str(event.event)
        # An event without a name is called "message"; those are most, and need no colour.
        colour = "dim" if name == "message" else _COLOURS[crc32(name.encode()) % len(_COLOURS)]
        head = Text.assemble((_now(), "dim"), " ", (visible(name), f"bold {colour}"))
        if event.id:
            head.append(f" {visible(str(event.id))}", "cyan")
        return head

    def _data(self, data: str, room: int) -> Text:
        """Flat JSON on the line if there is room, other JSON below, in lines; text as it is."""
        try:
            short = msgspec.json.format(data, indent=0)
            # Not every number is JSON that somebody meant; what is laid out is what has parts.
            if short[0] not in "[{":
                return _text(data)
            flat = not re.search(r"[\[{]", short[1:])
            text = short if flat and len(short) <= room else msgspec.json.format(data, indent=2)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return _text(data)
        return self._json(_text(text))


class Notes:
    """What happens to the connection, on standard error, apart from the events."""

    def __init__(self) -> None:
        self._console = _Console(stderr=True, highlight=False, soft_wrap=True)
        #: Whether the last attempt had opened a stream.
        self.opened = False

    def attempt(self, record: AttemptOpened | AttemptEnded) -> None:
        self.opened = isinstance(record, AttemptOpened) or record.opened
        if isinstance(record, AttemptOpened):
            after = "" if record.last_event_id is None else f" after {record.last_event_id}"
            text = f"connected to {record.url}{after} ({record.seconds * 1000:.0f} ms)"
            self._note("●", text, "green")
            return
        if record.dropped:
            self._note("▲", f"not shown, because it is no event: {_dropped(record)}", "yellow")
        came = f", {_events(record.events)}" if record.opened else ""
        if record.delay is not None:
            text = f"{describe(record.error)}{came}; connecting again in {record.delay:.1f} s"
            self._note("○", text, "yellow")
        elif record.opened and record.error is None:
            self._note("■", f"closed{came}", "yellow")

    def left_out(self, error: EventTooLargeError) -> None:
        self._note("▲", f"{error}; it is left out: see --max-event-size", "yellow")

    def no_more(self) -> None:
        self._note("■", "the server says that there is no more", "yellow")

    def failure(self, error: Exception) -> None:
        self._note("✗", str(error), "bold red")
        if isinstance(error, UpstreamStatusError | ContentTypeError) and error.body:
            self._console.print(_text(error.body.rstrip("\n")))

    def _note(self, sign: str, text: str, style: str) -> None:
        self._console.print(Text(f"{sign} {visible(text)}", style))


def visible(text: str) -> str:
    """Text whose every character can be seen, control characters as ``\\x1b``."""
    return _INVISIBLE.sub(lambda match: repr(match[0])[1:-1], text)


def _text(text: str) -> Text:
    return Text(visible(text))


def _now() -> str:
    return f"{datetime.now():%H:%M:%S.%f}"[:-3]


def _dropped(record: AttemptEnded) -> str:
    dropped = record.dropped
    parts = {
        "lines with unknown fields": dropped.unknown_fields,
        "lines that are no field": dropped.stray_lines,
    }
    told = [f"{count} {what}" for what, count in parts.items() if count]
    return ", ".join([*told, *["an unfinished event at the end"] * dropped.unfinished])


def _events(count: int) -> str:
    return f"{count} event{'' if count == 1 else 's'}"
