"""Seeing the live streams of this process, and ending one from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .lifetime import Lifetime
from .outcome import Outcome
from .registry import current_registry
from .state import StreamState
from .statistics import StreamStatistics, statistics_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import trio

__all__ = ["OpenStream", "open_streams", "outcome_counts"]


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A live stream as `open_streams` saw it. No payload is in it."""

    #: Seconds since it was served.
    age: float
    #: The request's method and path.
    request: str
    #: The client's address and port as the server knows them, or None on a Unix socket.
    client: tuple[str, int] | None
    #: The names of the tasks in its nursery, its own first.
    tasks: tuple[str, ...]
    statistics: StreamStatistics
    _state: StreamState = field(repr=False)

    def close(self) -> None:
        """End it as `Stream.close` does."""
        self._state.end(Outcome.CLOSED)


def open_streams() -> tuple[OpenStream, ...]:
    """The streams that are being served in this Trio run, the oldest first.

    Raises:
      RuntimeError: called from outside Trio.
    """
    watched = current_registry().streams
    streams = [_describe(served.state) for served in watched if isinstance(served, Lifetime)]
    return tuple(sorted(streams, key=lambda stream: -stream.age))


def outcome_counts() -> Mapping[Outcome, int]:
    """How many streams of this Trio run have ended, by outcome; not those that were entered.

    What was answered without being run is there, too: a HEAD ``answered``, a refusal ``refused``.

    Raises:
      RuntimeError: called from outside Trio.
    """
    return dict(current_registry().outcomes)


def _describe(state: StreamState) -> OpenStream:
    scope = state.scope or {}
    client = scope.get("client")
    statistics = statistics_of(state)
    return OpenStream(
        age=statistics.seconds_open,
        request=f"{scope.get('method')} {scope.get('path')}",
        client=tuple(client) if client else None,
        tasks=_task_names(state.tasks.nursery),
        statistics=statistics,
        _state=state,
    )


def _task_names(nursery: trio.Nursery | None) -> tuple[str, ...]:
    if nursery is None:
        return ()
    return (nursery.parent_task.name, *sorted(task.name for task in nursery.child_tasks))
