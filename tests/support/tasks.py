"""Proof that nothing is left: tasks and open async generators, before and after."""

import functools
import gc
from collections.abc import Awaitable, Callable, Iterator
from types import AsyncGeneratorType
from typing import Any

import trio
import trio.testing
from trio.lowlevel import Task

AsyncGenerator = AsyncGeneratorType[Any, Any]


def root_task() -> Task:
    task = trio.lowlevel.current_root_task()
    assert task is not None
    return task


def subtasks(task: Task) -> list[Task]:
    return [child for nursery in task.child_nurseries for child in nursery.child_tasks]


def all_tasks() -> set[Task]:
    """Every task of this Trio run, system tasks included."""
    found: set[Task] = set()
    waiting = [root_task()]
    while waiting:
        task = waiting.pop()
        found.add(task)
        waiting += subtasks(task)
    return found


def system_tasks() -> set[Task]:
    """The system tasks of this Trio run: what `trio.lowlevel.spawn_system_task` started."""
    main = trio.lowlevel.current_task()
    while main.parent_nursery is not None and main.parent_nursery.parent_task is not root_task():
        main = main.parent_nursery.parent_task
    return set(subtasks(root_task())) - {main}


def open_generators() -> set[AsyncGenerator]:
    """The async generators of this run that have been started and are neither done nor closed."""
    # Trio has no public name for them. Should it move, the attribute error says so.
    generators = trio._core._run.GLOBAL_RUN_CONTEXT.runner.asyncgens.alive
    return {agen for agen in generators if agen.ag_frame is not None}


def task_tree(marked: set[Task] | None = None) -> str:
    """All tasks as an indented text, the marked ones with an arrow."""

    def lines(task: Task, depth: int) -> Iterator[str]:
        arrow = "-> " if marked and task in marked else "   "
        yield f"{arrow}{'    ' * depth}{task.name}"
        for child in subtasks(task):
            yield from lines(child, depth + 1)

    return "\n".join(lines(root_task(), 0))


class NothingLeft:
    """Asserts, when awaited, that no task and no async generator is there that wasn't at `begin`.

    What the test runner and fixtures had running before the test's own body is none of its
    business. `conftest` calls `begin` before the body and the object itself after it; a test may
    call it in between, as often as it likes.
    """

    def begin(self) -> None:
        self._tasks = all_tasks()
        self._generators = open_generators()

    async def __call__(self) -> None:
        """Wait until all tasks are blocked, so that those about to end can, then look."""
        await trio.testing.wait_all_tasks_blocked()
        left = all_tasks() - self._tasks
        assert not left, f"{len(left)} tasks were left running:\n{task_tree(left)}"
        gc.collect()  # an abandoned generator warns now, and not in a later test
        generators = open_generators() - self._generators
        assert not generators, f"async generators were left open: {generators}"


class NoSystemTaskLeft(NothingLeft):
    """What every async test is asked: system tasks are those that end with no nursery."""

    def begin(self) -> None:
        self._tasks = system_tasks()

    async def __call__(self) -> None:
        left = system_tasks() - self._tasks
        assert not left, f"{len(left)} system tasks were left running:\n{task_tree(left)}"


def leaving_nothing(
    test: Callable[..., Awaitable[None]], guard: NothingLeft
) -> Callable[..., Awaitable[None]]:
    """The same test, with a look at what it left when its body is over."""

    @functools.wraps(test)
    async def checked(*args: Any, **kwargs: Any) -> None:
        guard.begin()
        await test(*args, **kwargs)
        await guard()

    return checked
