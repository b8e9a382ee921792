"""One stream, whatever happens to it and in whatever order: it ends once, for all who know it."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.hypercorn_here import Answer, HypercornHere
from trio_stream import (
    Outcome,
    ServerSentEvent,
    Stream,
    StreamLimits,
    StreamMiddleware,
    open_streams,
    outcome_counts,
)
from trio_stream.stream.options.principals import current_principals
from trio_stream.transport.asgi import Message, Receive, Scope, Send

from .test_every_way_out import full, scope_of

#: Over a connection of Hypercorn's it is written directly, but for what a middleware copies.
CONNECTIONS = {
    "HTTP/1.1": "HTTP/1.1",
    "HTTP/2": "HTTP/2",
    "copied": "HTTP/1.1",
    "copied, HTTP/2": "HTTP/2",
    "copied, TLS": "HTTP/1.1",
    "HTTP/1.1, TLS": "HTTP/1.1",
    "HTTP/2, TLS": "HTTP/2",
}
#: What it does by itself as time goes by.
TIMES: dict[str, dict[str, Any]] = {
    "no times": {},
    "silence": {"first_event_timeout": 3, "idle_timeout": 5},
    "gathering": {"flush_every": 2, "idle_timeout": 9, "drain_over": 3},
    "an event in silence": {
        "ping": 3,
        "ping_event": ServerSentEvent("still here"),
        "drain_over": 3,
    },
}
USES = ["served", "refused", "HEAD", "entered", *CONNECTIONS]
BEFORE = ["hold", "task", "many", "polite", "fail", "close", "leave", "stall", "resume", "wait"]
BEFORE += ["turn", "log out", "no database"]
AFTER = [*BEFORE, "cancel", "cancel call", "drain", "disconnect"]


def nothing(about: object) -> None:
    """Called for the last words, of which there are none."""


def fails(about: object) -> ServerSentEvent:
    raise ZeroDivisionError


#: What there is to say at an end that was not meant, or after a failure.
WORDS: dict[str, Any] = {
    "no words": None,
    "words": ServerSentEvent("bye", event="bye"),
    "nothing to say": nothing,
    "words that fail": fails,
}
#: A course without either, as the examples are.
PLAIN: dict[str, Any] = {"words": "no words", "times": "no times"}


class Course:
    """The stream, whoever knows it, and what they can do to it."""

    def __init__(self, use: str, words: str, times: str) -> None:
        self.use = use
        self.opened = self.closed = self.holding = 0
        self.told: list[Outcome | None] = []
        self.gone = trio.Event()
        self.scope, self.call_scope = trio.CancelScope(), trio.CancelScope()
        self.flows = trio.Event()
        self.flows.set()
        #: What `authorize` says, if it can be asked.
        self.verdict: str | int = "ann"
        self.database = True
        self.asked = 0
        self.limits = full() if use == "refused" else StreamLimits(total=1)
        self.stream = Stream(
            buffer=2,
            limits=None if use == "entered" else self.limits,  # there is no request
            principal="ann",
            authorize=None if use == "entered" else self.authorize,
            recheck=None if use == "entered" else 5,
            stall_timeout=20,
            max_duration=100,
            drain_timeout=2,
            farewell="broken",
            farewell_event=WORDS[words],
            error_event=WORDS[words],
            on_end=self.tell,
            **TIMES[times],
        )
        app = self.call if not use.startswith("copied") else StreamMiddleware(self.call_copying)
        # The kernel makes some 4 KiB of that room.
        tls = use.endswith("TLS")
        self.server = HypercornHere(app, room=1, tls=tls) if use in CONNECTIONS else None
        self.answer: Answer | None = None
        self.drained = False

    def tell(self, stream: Stream) -> None:
        assert self.opened == self.closed  # all of it has ended before
        self.told.append(stream.outcome)

    async def authorize(self, scope: Scope) -> str | int:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.asked > 1 and not self.database:
            raise LookupError
        return self.verdict

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
                elif self.server is not None:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self.hear_of_drain)
                        await self.server.run()
                        nursery.cancel_scope.cancel()
                else:
                    method = "HEAD" if self.use == "HEAD" else "GET"
                    await self.call(scope_of(method=method), self.receive, self.send)
            except* (KeyError, trio.TooSlowError):
                pass

    async def call(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.call_scope:
            await self.stream(scope, receive, send)

    async def call_copying(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def copy(message: Message) -> None:
            await send({**message, "body": bytes(bytearray(message.get("body", b"")))})

        await self.call(scope, receive, copy)

    async def read(self) -> None:
        if self.server is not None:
            self.answer = await self.server.read(CONNECTIONS[self.use], lambda: self.flows)

    async def hear_of_drain(self) -> None:
        await self.stream.draining.wait()
        self.drained = self.stream.outcome is None

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
        await self.send_on(lambda: self.stream.send("task"))

    async def many(self) -> None:
        await self.send_on(lambda: self.stream.send_many(["many", "more"]))

    async def send_on(self, send: Callable[[], Awaitable[None]]) -> None:
        self.opened += 1
        try:
            while True:
                await send()
                await trio.sleep(1)
        finally:
            self.closed += 1

    async def polite(self) -> None:
        while not self.stream.draining.is_set():
            await self.stream.send("polite")
            await trio.sleep(1)

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
            case "many":
                self.start(self.many)
            case "polite":
                self.start(self.polite)
            case "fail":
                self.start(self.fail)
            case "close":
                self.stream.close()
            case "log out":
                self.verdict = 401
            case "no database":
                self.database = not self.database
            case "disconnect":
                current_principals().disconnect("ann", 0.0)
            case "cancel":
                self.scope.cancel()
            case "cancel call":
                self.call_scope.cancel()
            case "drain":
                if self.server is not None:
                    await self.server.shut_down()
            case "leave":
                self.gone.set()
                if self.server is not None:
                    await trio.aclose_forcefully(self.server.client)
            case "stall":
                if self.flows.is_set():  # whoever waits for it to flow is to be found again
                    self.flows = trio.Event()
            case "resume":
                self.flows.set()
            case "wait":
                await trio.sleep(7)
            case _:
                await trio.lowlevel.checkpoint()


async def follow(use: str, words: str, times: str, before: list[str], after: list[str]) -> None:
    course = Course(use, words, times)
    counted = sum(outcome_counts().values())
    known: set[Outcome] = set()
    with trio.fail_after(10_000):
        async with trio.open_nursery() as nursery:
            for step in before:
                await course.step(step, nursery)
            async with trio.open_nursery() as serving:
                serving.start_soon(course.read)
                serving.start_soon(course.run)
                for step in after:
                    await course.step(step, nursery)
                    if course.stream.outcome is not None:
                        known.add(course.stream.outcome)
                course.flows.set()
            if course.server is not None and not course.told:
                # The connection has ended before it was asked for anything. Now it is served.
                try:
                    await course.stream(scope_of(), course.receive, course.send)
                except* (KeyError, trio.TooSlowError):
                    pass
    # Also what none of these steps has ended has expired by now.
    outcome = course.stream.outcome
    assert outcome is not None
    assert course.told == [outcome]
    assert known <= {outcome, *(() if outcome not in ("disconnected", "stalled") else known)}
    assert course.opened == course.closed
    assert course.holding == 0
    assert open_streams() == open_streams(principal="ann") == ()
    assert current_principals()._streams == {}
    assert sum(outcome_counts().values()) == counted + (use != "entered")
    assert course.limits.statistics().open == (use == "refused")
    with pytest.raises((trio.ClosedResourceError, trio.BrokenResourceError)):
        course.stream.send_nowait("late")
    if course.answer is not None and course.answer.whole:
        # Only what was meant to end looks so, and who is sent away by a shutdown is told when to
        # come back.
        assert outcome in ("completed", "closed", "refused")
        told = course.answer.received.count(b"retry: ") - 1
        assert told == 1 if course.drained else told <= ("drain" in after)


# Started in the turn in which the last task has ended, and nobody has said so yet.
@example(use="served", **PLAIN, before=[], after=["wait", "fail", "turn", "task"])
# Nothing is left to write, and the kernel does not take what was: nobody may ask it over and over.
@example(use="HTTP/2", **PLAIN, before=["stall", "task", "turn"], after=["wait"])
@example(use="copied, HTTP/2", **PLAIN, before=["stall", "hold"], after=["wait", "wait"])
# Its producer obeys the shutdown, and its client is spread all the same.
@example(use="HTTP/1.1", **PLAIN, before=["polite"], after=["wait", "drain", "wait"])
@example(use="HTTP/2", **PLAIN, before=["polite"], after=["wait", "drain", "wait"])
@example(use="HTTP/2, TLS", **PLAIN, before=["polite"], after=["wait", "drain", "wait"])
@example(use="copied", **PLAIN, before=["polite"], after=["wait", "drain", "wait"])
@settings(max_examples=400)
@given(
    use=st.sampled_from(USES),
    words=st.sampled_from([*WORDS]),
    times=st.sampled_from([*TIMES]),
    before=st.lists(st.sampled_from(BEFORE), max_size=5),
    after=st.lists(st.sampled_from(AFTER), max_size=12),
)
def test_whatever_happens_it_ends_once(
    use: str, words: str, times: str, before: list[str], after: list[str]
) -> None:
    logging.getLogger("trio_stream").setLevel(logging.CRITICAL + 1)
    try:
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(follow, use, words, times, before, after, clock=clock)
    finally:
        logging.getLogger("trio_stream").setLevel(logging.NOTSET)
