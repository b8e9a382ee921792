"""The command: listens to an inspector's feed, and shows each picture."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias

import httpx
import msgspec
import trio

from ..client.connecting.attempts import AttemptEnded, AttemptOpened, describe
from ..client.connecting.http_client import make_client
from ..client.event_source import EventSource
from ..client.terminal.first_attempt import FirstAttempt
from ..client.terminal.interruption import run_until_interrupted
from ..client.terminal.paper import open_paper
from ..client.terminal.wiretap import Wiretap
from ..codec import ServerSentEvent
from ..errors import ContentTypeError, TrioStreamError
from ..inspector.patch import patched
from ..inspector.view import MOST_ROWS, Sort
from .display import Display, open_display
from .table import table_of

__all__ = ["Options", "run"]

_Picture: TypeAlias = dict[str, Any]

#: Lines of the screen besides the rows: totals, an empty line, the heads, a status.
_OTHER_LINES = 4

#: Seconds without a byte, after which the screen would be of long ago: an inspector has a ping
#: after 15 where nothing changes.
_IDLE_TIMEOUT = 20.0

_NO_FEED = "that is no inspector, which answers with an event stream"

_NO_INSPECTOR = "the server says that there is no more (204), as an inspector never does"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    verify: bool = True
    find: str = ""
    sort: Sort = "newest"
    rows: int | None = None
    count: int | None = None
    view: Literal["screen", "json"] = "screen"


class _NoInspectorError(TrioStreamError):
    """What is at the address is not an inspector's."""


def run(options: Options) -> int:
    """Show pictures until it is interrupted, or has shown enough; the command's exit code.

    Raises:
      KeyboardInterrupt: Ctrl-C, once all is closed.
    """
    notes = open_paper(sys.stderr)
    try:
        with open_display(sys.stdout, plain=options.view == "json") as display:
            interrupted = run_until_interrupted(partial(_top, options, display))
    except ContentTypeError as exc:
        told = ContentTypeError(exc.url, exc.content_type, hint=_NO_FEED)
        notes.write((f"✗ {told}", "bold red"))
        return 1
    except (TrioStreamError, ValueError) as exc:
        notes.write((f"✗ {exc}", "bold red"))
        return 1
    if interrupted:
        raise KeyboardInterrupt
    return 0


async def _top(options: Options, display: Display) -> None:
    rows = options.rows or display.height - _OTHER_LINES
    view = {"find": options.find, "sort": options.sort, "rows": str(min(max(rows, 1), MOST_ROWS))}
    url = str(httpx.URL(options.url).copy_merge_params(view))
    top = _Top(options, display)
    async with make_client(url, verify=options.verify) as client:
        Wiretap(display.note, verbose=False).listen_to(client)
        async with EventSource(
            url,
            client=client,
            headers=options.headers,
            idle_timeout=_IDLE_TIMEOUT,
            observer=top.attempt,
        ) as source:
            while options.count is None or top.shown < options.count:
                try:
                    event = await source.receive()
                except trio.EndOfChannel:  # a 204: an inspector has always more
                    raise _NoInspectorError(_NO_INSPECTOR) from None
                top.hear(event)


class _Top:
    """What has been heard so far, and is shown."""

    def __init__(self, options: Options, display: Display) -> None:
        self.shown = 0
        self._options = options
        self._display = display
        self._first = FirstAttempt(must_open=options.count is not None)
        self._about: _Picture | None = None
        self._picture: _Picture = {}
        #: What to add to this machine's time for the server's.
        self._skew = 0.0

    def hear(self, event: ServerSentEvent) -> None:
        try:
            self._hear(event.event, msgspec.json.decode(event.data))
        except (LookupError, TypeError, AttributeError, msgspec.DecodeError):
            text = "what is there is an event stream, and not an inspector's"
            raise _NoInspectorError(text) from None

    def _hear(self, name: str | None, value: _Picture) -> None:
        if name == "about":
            self._about, self._picture = value, {}
            self._skew = value["now"] - time.time()
        else:
            self._picture = patched(self._picture, value)
            self._show()
            self.shown += 1

    def attempt(self, record: AttemptOpened | AttemptEnded) -> None:
        self._first.note(record)
        if isinstance(record, AttemptEnded) and record.delay is not None:
            why = describe(record.error)
            self._display.note("○", f"{why}; connecting again in {record.delay:.1f} s")

    def _show(self) -> None:
        about = self._about
        if about is None:
            raise LookupError("it has not said what it is")
        if self._options.view == "json":
            whole = {"process": about["process"], **self._picture}
            self._display.write(msgspec.json.encode(whole).decode())
        else:
            now = time.time() + self._skew
            self._display.show(table_of(about, self._picture, now, self._display.width))
