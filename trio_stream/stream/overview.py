"""Seeing the live streams of this process, how others ended, and ending one from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from .core.state import StreamState
from .core.statistics import StreamStatistics, statistics_of
from .core.tap import Tap
from .life.lifetime import Lifetime
from .options.principals import check_principal
from .outcome import Outcome
from .registry import current_registry
from .requested import route_of
from .task_tree import TaskView, view_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..transport.asgi import Scope

__all__ = ["STUCK", "OpenStream", "each_open_stream", "open_streams", "outcome_counts"]

#: Seconds after which a client that takes nothing of an unfinished write is said to be stuck: less
#: is a busy network.
STUCK = 1.0


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A live stream as `open_streams` saw it. No payload is in it."""

    #: Of no other stream of this Trio run.
    number: int
    #: Seconds since it was served.
    age: float
    #: The request's method and path.
    request: str
    #: Whose it is, as `Stream.principal`.
    principal: str | None
    #: The client's address and port as the server knows them, or None on a Unix socket.
    client: tuple[str, int] | None
    #: The names of the tasks in its nursery, its own first.
    tasks: tuple[str, ...]
    statistics: StreamStatistics
    #: Seconds since bytes last left for the client, pings included.
    seconds_silent: float
    #: Seconds since the client last took a byte while a write is unfinished; 0 while none is.
    seconds_stuck: float
    _state: StreamState = field(repr=False)

    @property
    def scope(self) -> Scope:
        """The ASGI scope of its request."""
        scope: Scope = self._state.scope
        return scope

    @property
    def route(self) -> str | None:
        """Its ``label``, or ``/orders/{id}``, where the framework says that, or the path.

        That is without a query, and shortened.
        """
        return route_of(self._state.scope, self._state.options.telling.label)

    def task_tree(self) -> TaskView | None:
        """The task that serves it, now, with all tasks below; None before it runs.

        Some 20 us for each task.
        """
        nursery = self._state.tasks.nursery
        return None if nursery is None else view_task(nursery.parent_task)

    @contextmanager
    def tapped(self) -> Iterator[Tap]:
        """Keep the last bytes that it writes, while in this block: its payloads.

        Its events then take the longer way, by its writer. Costs other streams nothing.
        """
        tap = self._state.listen()
        try:
            yield tap
        finally:
            self._state.listen_no_more()

    def close(self) -> None:
        """End it as `Stream.close` does."""
        self._state.end(Outcome.CLOSED)


def each_open_stream(principal: str | None = None) -> Iterator[OpenStream]:
    """What `open_streams` lists, one after another, each as it is when it is asked for.

    For whoever looks at thousands, and lets other tasks run in between. Raises what that does.
    """
    for served in current_registry().streams:
        if not (isinstance(served, Lifetime) and served.state.watched is served):
            continue
        if principal is None or principal == served.state.principal:
            yield _describe(served)


def open_streams(*, principal: str | int | None = None) -> tuple[OpenStream, ...]:
    """The streams that are being served in this Trio run, the oldest first.

    Args:
      principal: whose; None for all.

    Raises:
      TypeError, ValueError: what nobody can be known by.
      RuntimeError: called from outside Trio.
    """
    whose = None if principal is None else check_principal(principal)
    return tuple(each_open_stream(whose))


def outcome_counts() -> Mapping[Outcome, int]:
    """How many streams of this Trio run have ended, by outcome; not those that were entered.

    What was answered without being run is there, too: a HEAD ``answered``, a refusal ``refused``.

    Raises:
      RuntimeError: called from outside Trio.
    """
    return dict(current_registry().outcomes)


def _describe(served: Lifetime) -> OpenStream:
    state, now = served.state, trio.current_time()
    scope, transport = state.scope or {}, state.transport
    client: Any = scope.get("client")
    statistics = statistics_of(state)
    stuck_since = None if transport is None else transport.stuck_since
    return OpenStream(
        number=served.number,
        age=statistics.seconds_open,
        request=f"{scope.get('method')} {scope.get('path')}",
        principal=state.principal,
        client=tuple(client) if client else None,
        tasks=_task_names(state.tasks.nursery),
        statistics=statistics,
        seconds_silent=0.0 if transport is None else now - transport.last_write,
        seconds_stuck=0.0 if stuck_since is None else now - stuck_since,
        _state=state,
    )


def _task_names(nursery: trio.Nursery | None) -> tuple[str, ...]:
    if nursery is None:
        return ()
    return (nursery.parent_task.name, *sorted(task.name for task in nursery.child_tasks))
