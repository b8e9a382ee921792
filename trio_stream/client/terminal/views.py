"""How ``trio-stream tail`` shows events: for people, or for other programs."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Protocol, TextIO
from zlib import crc32

import msgspec

from ...codec import ServerSentEvent
from .paper import Paper, Part

__all__ = ["Lines", "Screen", "Values", "View"]

#: One of them for each event name, always the same.
_COLOURS = ("green", "magenta", "blue", "yellow", "bright_red", "bright_green", "bright_magenta")

#: What makes text no JSON, also where it looks like some.
_NO_JSON = (msgspec.DecodeError, RecursionError, UnicodeError)


class View(Protocol):
    """Where events go."""

    def event(self, event: ServerSentEvent) -> None:
        """An event has come."""

    def comment(self, text: str) -> None:
        """A comment has come, and comments were asked for."""


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


class Values:
    """The data alone, one JSON value a line: JSON as it came, all else as a string."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def event(self, event: ServerSentEvent) -> None:
        self._file.write(_on_one_line(event.data) + "\n")
        self._file.flush()

    def comment(self, text: str) -> None:
        """Comments are no data."""


class Screen:
    """Times, names and ids, JSON laid out, for people."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper

    def event(self, event: ServerSentEvent) -> None:
        head = _head(event)
        length = sum(len(text) for text, _ in head)
        data, style = _laid_out(event.data, room=self._paper.width - length - 1)
        self._paper.write(*head, ("\n" if "\n" in data else " ", ""), (data, style))

    def comment(self, text: str) -> None:
        self._paper.write((f"{_now()} : {text}", "dim italic"))


def _head(event: ServerSentEvent) -> list[Part]:
    name = str(event.event)
    # An event without a name is called "message"; those are most, and need no colour.
    colour = "dim" if name == "message" else _COLOURS[crc32(name.encode()) % len(_COLOURS)]
    head = [(_now(), "dim"), (" ", ""), (name, f"bold {colour}")]
    if event.id:
        head.append((f" {event.id}", "cyan"))
    return head


def _laid_out(data: str, room: int) -> Part:
    """Flat JSON on the line if there is room, other JSON below, in lines; text as it is."""
    try:
        short = msgspec.json.format(data, indent=0)
        # Not every number is JSON that somebody meant; what is laid out is what has parts.
        if short[0] not in "[{":
            return data, ""
        flat = not re.search(r"[\[{]", short[1:])
        whole = short if flat and len(short) <= room else msgspec.json.format(data, indent=2)
    except _NO_JSON:
        return data, ""
    return whole, "json"


def _on_one_line(data: str) -> str:
    """The same JSON without its line ends, numbers as they were written; text as a string of it."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
        return msgspec.json.format(data, indent=-1)
    except _NO_JSON:
        return msgspec.json.encode(data).decode()


def _now() -> str:
    return f"{datetime.now():%H:%M:%S.%f}"[:-3]
