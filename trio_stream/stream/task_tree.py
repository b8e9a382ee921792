"""The tasks of a stream as a tree, and where each of them waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trio

__all__ = ["TaskView", "view_task"]

#: Tasks that a tree has at most, and places of each.
_MOST_TASKS = 200
_MOST_PLACES = 30


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as `OpenStream.task_tree` saw it."""

    #: Its name, which is its function's unless it was given one.
    name: str
    #: Where it waits, the innermost call last: ``module.function:line``, without any value.
    places: tuple[str, ...]
    #: The tasks of the nurseries that it has open, the oldest nursery first.
    children: tuple[TaskView, ...]
    #: How many more children there are, which are left out of a tree of more than 200 tasks.
    more: int = 0


def view_task(task: trio.lowlevel.Task) -> TaskView:
    """A task with all that it is the parent of."""
    return _view(task, iter(range(_MOST_TASKS - 1)))


def _view(task: trio.lowlevel.Task, left: Iterator[int]) -> TaskView:
    views, more = [], 0
    for nursery in task.child_nurseries:
        for child in sorted(nursery.child_tasks, key=lambda child: child.name):
            if next(left, None) is None:
                more += 1
            else:
                views.append(_view(child, left))
    return TaskView(task.name, tuple(_places(task)), tuple(views), more)


def _places(task: trio.lowlevel.Task) -> list[str]:
    places = []
    try:
        for frame, line in task.iter_await_frames():
            places.append(_place(frame, line))
    except TypeError:  # Trio's word for an awaitable that it cannot look into
        places.append("...")
    if len(places) > _MOST_PLACES:
        half = _MOST_PLACES // 2
        places[half:-half] = [f"... {len(places) - 2 * half} more ..."]
    return places


def _place(frame: FrameType, line: int) -> str:
    return f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}:{line}"
