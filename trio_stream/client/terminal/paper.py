"""Where the command line writes for people: in colour where rich is installed, plain where not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from typing import Any, Protocol, TextIO

__all__ = ["Paper", "Part", "open_paper", "rich_is_missing", "unstyled", "visible"]

#: Text, and how it looks: a style of rich's, "json", or "".
Part = tuple[str, str]

#: What would move the cursor, change colours or turn text around: an event must not write over the
#: terminal what it likes.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


class Paper(Protocol):
    """What can be written on, a line or more at a time."""

    @property
    def width(self) -> int:
        """How many characters fit on a line."""

    def write(self, *parts: Part) -> None:
        """Write these one behind the other, and end the line."""


class Plain:
    """Without colours, for any file."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @property
    def width(self) -> int:
        return shutil.get_terminal_size().columns

    def write(self, *parts: Part) -> None:
        self._file.write(f"{unstyled(parts)}\n")
        self._file.flush()


class Coloured:
    """In colour, where the file is a terminal that has them and nobody says otherwise."""

    def __init__(self, console: Any, text: Any, highlight: Any) -> None:
        self._console = console
        self._text = text
        self._highlight = highlight

    @property
    def width(self) -> int:
        width: int = self._console.width
        return width

    def write(self, *parts: Part) -> None:
        pieces = [
            self._highlight(self._text(visible(text)))
            if style == "json"
            else self._text(visible(text), style)
            for text, style in parts
        ]
        self._console.print(self._text.assemble(*pieces))


def open_paper(file: TextIO) -> Paper:
    """Paper on this file: rich's, if it is installed."""
    try:
        from rich.console import Console
        from rich.highlighter import JSONHighlighter
        from rich.text import Text
    except ModuleNotFoundError as exc:
        if not rich_is_missing(exc):
            raise
        return Plain(file)

    class RaisingConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would exit by itself

    console = RaisingConsole(file=file, highlight=False, soft_wrap=True)
    return Coloured(console, Text, JSONHighlighter())


def rich_is_missing(error: ModuleNotFoundError) -> bool:
    """Whether it is not installed, and not something that it needs."""
    return error.name is not None and error.name.partition(".")[0] == "rich"


def unstyled(parts: Sequence[Part]) -> str:
    """These one behind the other, without how they look."""
    return "".join(visible(text) for text, _ in parts)


def visible(text: str) -> str:
    """Text whose every character can be seen, control characters as ``\\x1b``."""
    return _INVISIBLE.sub(lambda match: repr(match[0])[1:-1], text)
