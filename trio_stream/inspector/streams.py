"""What is shown of streams: totals of all, a row of each that the page shows, all of one."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, final

from ..privacy import shown_path
from ..stream import EndedStream, OpenStream, ended_streams, outcome_counts
from ..stream.core.tap import Tap
from ..stream.overview import STUCK
from ..stream.requested import client_of, path_of
from ..stream.task_tree import TaskView
from .lookout import Look, Lookout
from .pace import Pace
from .process import process_name
from .scene import Others, Picture
from .view import Sort, View

if TYPE_CHECKING:
    from ..transport.asgi import Scope

__all__ = ["StreamScene", "picture_of", "totals_of"]

#: Ended streams that are shown.
_ENDED = 20

_KEYS: dict[Sort, Callable[[OpenStream, Look], float]] = {
    "newest": lambda stream, look: stream.number,
    "oldest": lambda stream, look: -stream.number,
    "stuck": lambda stream, look: stream.seconds_stuck,
    "queued": lambda stream, look: stream.statistics.queued_bytes,
    "rate": lambda stream, look: look.rates.get(stream.number, 0.0),
    "events": lambda stream, look: stream.statistics.events,
    "bytes": lambda stream, look: stream.statistics.bytes,
}


@final
class StreamScene:
    """The streams of this process."""

    #: There is nothing to listen to.
    ear = None

    def __init__(
        self, lookout: Lookout, view: View, others: Others | None, *, payloads: bool
    ) -> None:
        self._lookout = lookout
        self._view = view
        self._others = others
        self._payloads = payloads
        self._tap: Tap | None = None
        self._taps = ExitStack()

    def close(self) -> None:
        self._taps.close()

    async def take(self, pace: Pace) -> Picture:
        view, others = self._view, self._others
        if others is None:
            return await self._take(pace)
        await others.ask_all()
        if view.process in (None, process_name()):
            picture = await self._take(pace)
        else:
            picture = await others.picture(view.process, view) or {}
        return picture | {"processes": others.totals}

    async def _take(self, pace: Pace) -> Picture:
        """What there is to see in this process."""
        look = await self._lookout.look()
        with pace:
            picture = picture_of(look, self._view)
            if self._payloads and "stream" in picture:
                picture["stream"]["last"] = self._last_bytes(look)
        return picture

    def _last_bytes(self, look: Look) -> str:
        """What the stream that is looked at has written since then."""
        if self._tap is None:
            chosen = next(one for one in look.streams if one.number == self._view.stream)
            self._tap = self._taps.enter_context(chosen.tapped())
        return self._tap.last.decode(errors="replace")


def picture_of(look: Look, view: View) -> Picture:
    """What a page shows of this process that has this view."""
    found = _found(look, view.find) if view.find else look.streams
    key = _KEYS[view.sort]
    shown = heapq.nlargest(view.rows, found, lambda stream: (key(stream, look), stream.number))
    picture: Picture = {
        "totals": totals_of(look),
        "outcomes": {str(outcome): count for outcome, count in outcome_counts().items()},
        "matching": len(found),
        "order": [stream.number for stream in shown],
        "streams": {str(stream.number): _row(stream, look) for stream in shown},
        "ended": {str(ended.number): _ended_row(ended) for ended in ended_streams()[-_ENDED:]},
    }
    if view.stream is not None:
        chosen = next((one for one in look.streams if one.number == view.stream), None)
        if chosen is not None:
            picture["stream"] = _details(chosen, look)
    return picture


def _found(look: Look, text: str) -> list[OpenStream]:
    text = text.casefold()
    return [stream for stream in look.streams if text in _searched(stream).casefold()]


def _searched(stream: OpenStream) -> str:
    scope, whose = stream.scope, stream.principal
    return f"{_request(scope)} {stream.route} {client_of(scope)} {whose or ''}"


def totals_of(look: Look) -> dict[str, Any]:
    """What is said of all streams together."""
    stuck = queued = queued_bytes = 0
    for stream in look.streams:
        counted = stream.statistics
        stuck += stream.seconds_stuck >= STUCK
        queued += counted.queued
        queued_bytes += counted.queued_bytes
    return {
        "open": len(look.streams),
        "stuck": stuck,
        "queued": queued,
        "queuedBytes": queued_bytes,
        "rate": round(sum(look.rates.values()), 1),
        "byteRate": round(look.byte_rate),
    }


def _row(stream: OpenStream, look: Look) -> dict[str, Any]:
    counted = stream.statistics
    row: dict[str, Any] = {
        "request": _request(stream.scope),
        "client": client_of(stream.scope) or "",
        "since": _unix(look, stream.age),
        "events": counted.events,
        "rate": round(look.rates.get(stream.number, 0.0), 1),
        "bytes": counted.bytes,
        "queued": counted.queued,
    }
    if stream.seconds_stuck >= STUCK:
        row["stuckSince"] = _unix(look, stream.seconds_stuck)
    if counted.outcome is not None:
        row["outcome"] = str(counted.outcome)
    return row


def _details(stream: OpenStream, look: Look) -> dict[str, Any]:
    counted, scope = stream.statistics, stream.scope
    details = _row(stream, look) | {
        "number": stream.number,
        "route": stream.route or "",
        "http": str(scope.get("http_version", "")),
        "agent": _agent(scope),
        "queuedBytes": counted.queued_bytes,
        "peakQueued": counted.peak_queued,
        "waitingSenders": counted.waiting_senders,
        "silentSince": _unix(look, stream.seconds_silent),
    }
    if stream.principal is not None:
        details["principal"] = stream.principal
    tree = stream.task_tree()
    if tree is not None:
        details["tasks"] = _task(tree)
    return details


def _task(task: TaskView) -> dict[str, Any]:
    return {
        "name": task.name,
        "places": list(task.places),
        "children": [_task(child) for child in task.children],
        "more": task.more,
    }


def _ended_row(ended: EndedStream) -> dict[str, Any]:
    counted = ended.statistics
    return {
        "request": ended.request,
        "client": ended.client or "",
        "at": round(ended.at),
        "seconds": round(counted.seconds_open, 1),
        "events": counted.events,
        "bytes": counted.bytes,
        "outcome": str(counted.outcome),
    }


def _request(scope: Scope) -> str:
    return f"{scope['method']} {path_of(scope)}"


def _agent(scope: Scope) -> str:
    named = (value for name, value in scope["headers"] if name.lower() == b"user-agent")
    return shown_path(next(named, b"").decode("latin-1"))


def _unix(look: Look, seconds: float) -> int:
    """When that was, as `time.time` says it: rounded, so that it is the same at each look."""
    return round(look.epoch + look.at - seconds)
