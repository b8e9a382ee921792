"""One stream, whatever happens to it and in whatever order: it ends once, for all who know it."""

import logging
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trio_stream import Outcome, Stream, StreamLimits, open_streams, outcome_counts
from trio_stream.transport.asgi import Message

from .test_every_way_out import full, scope_of

USES = ["served", "refused", "HEAD", "entered"]
STEPS = ["hold", "task", "fail", "close", "cancel", "leave", "stall", "resume", "wait", "turn"]


class Course:
    """The stream, whoever knows it, and what they can do to it."""

    def __init__(self, use: str) -> None:
        self.use = use
        self.opened = self.closed = self.holding = 0
        self.told: list[Outcome | None] = []
        self.gone, self.scope = trio.Event(), trio.CancelScope()
        self.flows = trio.Event()
        self.flows.set()
        self.limits = full() if use == "refused" else StreamLimits(total=1)
        self.stream = Stream(
            buffer=2, limits=self.limits, stall_timeout=20, on_end=self.tell, max_duration=100
        )

    def tell(self, stream: Stream) -> None:
        assert self.opened == self.closed  # all of it has ended before
        self.told.append(stream.outcome)

    async def receive(self) -> Message:
        await self.gone.wait()
        self.gone = trio.Event()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await trio.lowlevel.checkpoint()
        await self.flows.wait()

    async def run(self) -> None:
        with self.scope:
            try:
                if self.use == "entered":
                    async with self.stream:
                        async for _ in self.stream.value:
                            await self.flows.wait()
                else:
                    method = "HEAD" if self.use == "HEAD" else "GET"
                    await self.stream(scope_of(method=method), self.receive, self.send)
            except* KeyError:
                pass

    async def hold(self) -> None:
        self.holding += 1
        try:
            while True:
                try:
                    await self.stream.send("held")
                except RuntimeError:  # not served yet
                    if self.stream.outcome is not None:
                        raise
                await trio.sleep(1)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            self.holding -= 1

    async def task(self) -> None:
        self.opened += 1
        try:
            while True:
                await self.stream.send("task")
                await trio.sleep(1)
        finally:
            self.closed += 1

    async def fail(self) -> None:
        raise KeyError("mine")

    def start(self, task: Any) -> None:
        try:
            self.stream.start_soon(task)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            pass  # also in the turn before there is an outcome

    async def step(self, step: str, nursery: trio.Nursery) -> None:
        match step:
            case "hold":
                nursery.start_soon(self.hold)
            case "task":
                self.start(self.task)
            case "fail":
                self.start(self.fail)
            case "close":
                self.stream.close()
            case "cancel":
                self.scope.cancel()
            case "leave":
                self.gone.set()
            case "stall":
                if self.flows.is_set():  # whoever waits for it to flow is to be found again
                    self.flows = trio.Event()
            case "resume":
                self.flows.set()
            case "wait":
                await trio.sleep(7)
            case _:
                await trio.lowlevel.checkpoint()


async def follow(use: str, before: list[str], after: list[str]) -> None:
    course = Course(use)
    counted = sum(outcome_counts().values())
    known: set[Outcome] = set()
    with trio.fail_after(10_000):
        async with trio.open_nursery() as nursery:
            for step in before:
                await course.step(step, nursery)
            async with trio.open_nursery() as serving:
                serving.start_soon(course.run)
                for step in after:
                    await course.step(step, nursery)
                    if course.stream.outcome is not None:
                        known.add(course.stream.outcome)
                course.flows.set()
    # Also what none of these steps has ended has expired by now.
    outcome = course.stream.outcome
    assert outcome is not None
    assert course.told == [outcome]
    assert known <= {outcome, *(() if outcome not in ("disconnected", "stalled") else known)}
    assert course.opened == course.closed
    assert course.holding == 0
    assert open_streams() == ()
    assert sum(outcome_counts().values()) == counted + (use != "entered")
    assert course.limits.statistics().open == (use == "refused")
    with pytest.raises((trio.ClosedResourceError, trio.BrokenResourceError)):
        course.stream.send_nowait("late")


# Started in the turn in which the last task has ended, and nobody has said so yet.
@example(use="served", before=[], after=["wait", "fail", "turn", "task"])
@settings(max_examples=300)
@given(
    use=st.sampled_from(USES),
    before=st.lists(st.sampled_from([s for s in STEPS if s != "cancel"]), max_size=5),
    after=st.lists(st.sampled_from(STEPS), max_size=12),
)
def test_whatever_happens_it_ends_once(use: str, before: list[str], after: list[str]) -> None:
    logging.getLogger("trio_stream").setLevel(logging.CRITICAL + 1)
    try:
        trio.run(follow, use, before, after, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        logging.getLogger("trio_stream").setLevel(logging.NOTSET)
