"""Which streams are told that their server's worker begins to shut down: its own, each once."""

from __future__ import annotations

from math import inf

import trio
import trio.testing

from trio_stream.stream.registry import current_registry


class Worker:
    def __init__(self) -> None:
        self.terminated = trio.Event()


class Served:
    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.shares: list[float] = []
        current_registry().add(self, inf)
        current_registry().join_worker(self, worker)

    def check(self, now: float) -> float:
        return inf

    def shut_down(self, share: float) -> None:
        self.shares.append(share)

    def leave(self) -> None:
        current_registry().discard(self)


async def test_its_own_are_told_in_the_order_in_which_they_came() -> None:
    one, other = Worker(), Worker()
    served = [Served(one), Served(other), Served(one)]
    await trio.testing.wait_all_tasks_blocked()
    one.terminated.set()
    await trio.testing.wait_all_tasks_blocked()
    assert [stream.shares for stream in served] == [[0], [], [0.5]]
    served.append(Served(one))
    assert served[-1].shares == [0]
    for stream in served:
        stream.leave()
    await trio.testing.wait_all_tasks_blocked()
    assert [stream.shares for stream in served] == [[0], [], [0.5], [0]]


async def test_one_that_comes_as_the_last_leaves_in_that_very_turn_is_told_once() -> None:
    worker = Worker()
    first = Served(worker)
    await trio.testing.wait_all_tasks_blocked()
    worker.terminated.set()
    first.leave()
    second = Served(worker)
    await trio.testing.wait_all_tasks_blocked()
    assert (first.shares, second.shares) == ([], [0])
    second.leave()
    await trio.testing.wait_all_tasks_blocked()
