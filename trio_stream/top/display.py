"""Where pictures are shown: a terminal, whose screen each writes anew, or a file, one by one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from ..client.terminal.paper import Part, open_paper, rich_is_missing, unstyled, visible

__all__ = ["Display", "open_display"]

Lines = Sequence[Sequence[Part]]


class Display(Protocol):
    """What can be shown on."""

    @property
    def width(self) -> int:
        """How many characters fit on a line."""

    @property
    def height(self) -> int:
        """How many lines there is room for."""

    def show(self, lines: Lines) -> None:
        """Show these, instead of the last ones."""

    def write(self, text: str) -> None:
        """Write a line as it is."""

    def note(self, sign: str, text: str) -> None:
        """Say what happens to the connection."""


@contextmanager
def open_display(file: TextIO, *, plain: bool) -> Iterator[Display]:
    """A display on this file: in colour where it is a terminal and rich is installed."""
    if plain or not file.isatty():
        yield _Pages(file)
        return
    try:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text
    except ModuleNotFoundError as exc:
        if not rich_is_missing(exc):
            raise
        yield _Screen(file)
        return

    # Without a thread that refreshes: what is shown changes when a picture comes.
    with Live(console=Console(file=file), screen=True, auto_refresh=False) as live:
        display = _Coloured(live, Text)
        yield display
    notes = open_paper(sys.stderr)
    for text in display.warnings:  # the screen is gone, and with it what was said there
        notes.write((text, "yellow"))


class _Pages:
    """One picture after another, with a line between them, for any file."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._notes = open_paper(sys.stderr)

    @property
    def width(self) -> int:
        return 10_000  # whoever reads a file cuts its lines

    @property
    def height(self) -> int:
        return 54  # 50 rows, where there is no screen

    def show(self, lines: Lines) -> None:
        self.write("\n".join([*map(unstyled, lines), ""]))

    def write(self, text: str) -> None:
        self._file.write(f"{text}\n")
        self._file.flush()

    def note(self, sign: str, text: str) -> None:
        self._notes.write((f"{sign} {text}", "yellow"))


class _Screen(_Pages):
    """A terminal without colours."""

    @property
    def width(self) -> int:
        return shutil.get_terminal_size().columns

    @property
    def height(self) -> int:
        return shutil.get_terminal_size().lines

    def show(self, lines: Lines) -> None:
        fitting = [*map(unstyled, lines)][: self.height - 1]
        # To the upper left corner, and each line to its end; then all that is below.
        self._file.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in fitting) + "\x1b[J")
        self._file.flush()


class _Coloured:
    """A terminal, by rich."""

    def __init__(self, live: Any, text: Any) -> None:
        self._live = live
        self._text = text
        self._lines: Lines = ()
        #: What is to be said when the screen is gone.
        self.warnings: list[str] = []

    @property
    def width(self) -> int:
        width: int = self._live.console.width
        return width

    @property
    def height(self) -> int:
        height: int = self._live.console.height
        return height

    def show(self, lines: Lines) -> None:
        self._lines = lines
        self._draw(lines)

    def write(self, text: str) -> None:
        self._draw([[(text, "")]])

    def note(self, sign: str, text: str) -> None:
        """Below what was shown last, until there is a picture again."""
        if sign == "▲":
            self.warnings.append(f"{sign} {text}")
        self._draw([*self._lines[: self.height - 1], [(f"{sign} {text}", "yellow")]])

    def _draw(self, lines: Lines) -> None:
        drawn = self._text(no_wrap=True, overflow="ellipsis")
        for line in lines[: self.height]:
            for text, style in line:
                drawn.append(visible(text), style)
            drawn.append("\n")
        self._live.update(drawn, refresh=True)
