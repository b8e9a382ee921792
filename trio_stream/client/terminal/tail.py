"""The command ``trio-stream tail``: any event stream, readable, as it comes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

import trio

from ...codec.decoder import DEFAULT_MAX_EVENT_BYTES
from ...codec.readings import ReadAs
from ...errors import ContentTypeError, EventTooLargeError, TrioStreamError, UpstreamStatusError
from ..connecting.attempts import AttemptEnded, AttemptOpened, describe
from ..connecting.connector import IDLE_TIMEOUT
from ..connecting.http_client import make_client
from ..event_source import EventSource
from .first_attempt import FirstAttempt
from .interruption import run_until_interrupted
from .paper import open_paper
from .views import Lines, Screen, Values, View
from .wiretap import Wiretap

__all__ = ["ANSWER_TIMEOUT", "Options", "run"]

#: Half a minute: somebody looks at the terminal, or a script is to go on.
ANSWER_TIMEOUT: Final = 30.0

_READ_AS = "an event stream is 'text/event-stream', and --read-as says what else to take"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    content: str | bytes | None = None
    last_event_id: str | None = None
    reconnect: bool | None = None
    idle_timeout: float = IDLE_TIMEOUT
    answer_timeout: float = ANSWER_TIMEOUT
    read_as: ReadAs = "strict"
    max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES
    verify: bool = True
    count: int | None = None
    names: frozenset[str] = frozenset()
    view: Literal["screen", "json", "ndjson"] = "screen"
    comments: bool = False
    verbose: bool = False


def run(options: Options) -> int:
    """Show events until there are no more; the command's exit code.

    Raises:
      KeyboardInterrupt: Ctrl-C, once all is closed.
    """
    # Who says --reconnect wants to wait for a server that is not there yet.
    notes = Notes(must_open=options.count is not None and options.reconnect is None)
    try:
        interrupted = run_until_interrupted(partial(_tail, options, _view(options), notes))
    except (TrioStreamError, ValueError) as exc:
        notes.failure(exc)
        return 1
    if interrupted:
        raise KeyboardInterrupt
    return 0


def _view(options: Options) -> View:
    if options.view == "json":
        return Lines(sys.stdout)
    if options.view == "ndjson":
        return Values(sys.stdout)
    return Screen(open_paper(sys.stdout))


async def _tail(options: Options, view: View, notes: Notes) -> None:
    async with make_client(options.url, verify=options.verify) as client:
        Wiretap(notes.request, verbose=options.verbose).listen_to(client)
        async with EventSource(
            options.url,
            client=client,
            method=options.method,
            content=options.content,
            headers=options.headers,
            last_event_id=options.last_event_id,
            reconnect=options.reconnect,
            idle_timeout=options.idle_timeout,
            answer_timeout=options.answer_timeout,
            read_as=options.read_as,
            max_event_bytes=options.max_event_bytes,
            observer=notes.attempt,
            on_comment=view.comment if options.comments else None,
        ) as source:
            wants_more = await _show(source, options, view, notes)
    if wants_more and not notes.opened:
        notes.no_more()


async def _show(source: EventSource, options: Options, view: View, notes: Notes) -> bool:
    """Show as many events as were asked for; whether that was more than there are."""
    left = options.count
    while left != 0:
        try:
            event = await source.receive()
        except EventTooLargeError as exc:
            notes.left_out(exc)
            continue
        except trio.EndOfChannel:
            return True
        if not options.names or event.event in options.names:
            view.event(event)
            left = None if left is None else left - 1
    notes.enough = True
    return False


class Notes:
    """What happens to the connection, on standard error, apart from the events."""

    def __init__(self, *, must_open: bool) -> None:
        self._paper = open_paper(sys.stderr)
        self._first = FirstAttempt(must_open=must_open)
        #: Whether the last attempt had opened a stream.
        self.opened: bool = False
        #: Whether all that was asked for has come: what more there is, was not to be read.
        self.enough: bool = False

    def request(self, sign: str, text: str) -> None:
        self._note(sign, text, "yellow" if sign == "▲" else "dim")

    def attempt(self, record: AttemptOpened | AttemptEnded) -> None:
        self._first.note(record)
        self.opened = isinstance(record, AttemptOpened) or record.opened
        if isinstance(record, AttemptOpened):
            after = "" if record.last_event_id is None else f" after {record.last_event_id}"
            text = f"connected to {record.url}{after} ({record.seconds * 1000:.0f} ms)"
            self._note("●", text, "green")
            return
        if dropped := _dropped(record, to_its_end=not self.enough):
            self._note("▲", f"not shown, because it is no event: {dropped}", "yellow")
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
        told = error
        if isinstance(error, ContentTypeError):  # which says it in Python
            told = ContentTypeError(error.url, error.content_type, hint=_READ_AS)
        self._note("✗", str(told), "bold red")
        if isinstance(error, UpstreamStatusError | ContentTypeError) and error.body:
            self._paper.write((error.body.rstrip("\n"), ""))

    def _note(self, sign: str, text: str, style: str) -> None:
        self._paper.write((f"{sign} {text}", style))


def _dropped(record: AttemptEnded, *, to_its_end: bool) -> str:
    dropped = record.dropped
    parts = {
        "lines with unknown fields": dropped.unknown_fields,
        "lines that are no field": dropped.stray_lines,
    }
    told = [f"{count} {what}" for what, count in parts.items() if count]
    return ", ".join(
        [*told, *["an unfinished event at the end"] * (dropped.unfinished and to_its_end)]
    )


def _events(count: int) -> str:
    return f"{count} event{'' if count == 1 else 's'}"
