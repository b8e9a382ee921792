"""README's comparison with others, seen: one generator is the response of each, on Hypercorn."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from gc import collect
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fastapi
import fastapi.sse
import pytest
import sse_starlette
import trio
import trio.testing

from tests.support.hypercorn_here import HypercornHere
from tests.support.raw import send_request
from trio_stream import ServerSentEvent, Stream

README = Path(__file__).parents[2] / "README.md"

Generator = Callable[[], AsyncIterator[Any]]


def of_fastapi(events: Generator) -> Any:
    api = fastapi.FastAPI()
    api.get("/", response_class=fastapi.sse.EventSourceResponse)(events)
    return api


def of_sse_starlette(events: Generator) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await sse_starlette.EventSourceResponse(events())(scope, receive, send)

    return app


def of_this(events: Generator) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Stream(events())(scope, receive, send)

    return app


#: By the columns of README's table: what makes a response of a generator, and what an event.
COLUMNS: dict[str, tuple[Callable[[Generator], Any], Callable[..., Any]]] = {
    "trio_stream": (of_this, ServerSentEvent),
    "sse-starlette": (of_sse_starlette, sse_starlette.ServerSentEvent),
    "FastAPI": (of_fastapi, fastapi.sse.ServerSentEvent),
}
each = pytest.mark.parametrize("column", COLUMNS)


def rows() -> dict[str, list[str]]:
    """The lines of the table, its head first, by their first cells."""
    lines = [line for line in README.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return {line[0]: line for line in cells}


def cell(row: str, column: str) -> str:
    """What the table says of it."""
    [head, *_] = rows().values()
    [place] = [place for place, name in enumerate(head) if name.startswith(column)]
    return rows()[row][place]


@pytest.mark.parametrize("column", ["sse-starlette", "FastAPI"])
def test_it_names_the_versions_that_were_seen(column: str) -> None:
    [head, *_] = rows().values()
    [title] = [name for name in head if name.startswith(column)]
    assert title == f"{column} {'.'.join(version(column).split('.')[:2])}"


class Exchange:
    """A client that has asked for the response, and what has come of it."""

    def __init__(self, here: HypercornHere) -> None:
        self.here = here
        self.received = b""

    async def read(self, seconds: float) -> bytes:
        """All that comes in this time, or until the response ends."""
        with trio.move_on_after(seconds), suppress(trio.BrokenResourceError):
            while piece := await self.here.client.receive_some():
                self.received += piece
        return self.received


@asynccontextmanager
async def exchange(
    column: str, events: Generator, room: int | None = None
) -> AsyncIterator[Exchange]:
    here = HypercornHere(COLUMNS[column][0](events), room=room)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await send_request(here.client, "/", "connection: close")
        try:
            yield Exchange(here)
        finally:  # which ends what is left of it: a write of Hypercorn's cannot be cancelled
            await trio.aclose_forcefully(here.client)


def endless(log: list[str], *, silent: bool) -> Generator:
    """Waits for its second event for ever, or gives more than a client that does not read takes."""

    async def events() -> AsyncIterator[str]:
        try:
            yield "first"
            while not silent:
                yield "x" * 100_000
            await trio.sleep_forever()
        finally:
            log.append("left")
            await trio.sleep(1)
            log.append("awaited")

    return events


@each
async def test_the_client_leaves(column: str, autojump_clock: trio.testing.MockClock) -> None:
    log: list[str] = []
    async with exchange(column, endless(log, silent=True)) as client:
        await client.read(1)
        await trio.aclose_forcefully(client.here.client)
        await trio.sleep(0.1)
        assert log == ["left"]
    assert cell("the client leaves (no proxy between)", column).endswith(
        ("at once", "at once, with all that it awaits")
    )


@each
@pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the same
async def test_await_in_the_finally_of_a_generator_left_at_its_yield(
    column: str, autojump_clock: trio.testing.MockClock
) -> None:
    log: list[str] = []
    async with exchange(column, endless(log, silent=False), room=1000) as client:
        await trio.sleep(1)
        await trio.aclose_forcefully(client.here.client)
        await trio.sleep(60)
        at_once = list(log)
        collect()
        await trio.sleep(60)
    seen = {
        (2, 2): "yes",
        (0, 1): "cancelled, at a garbage collection",
    }[len(at_once), len(log)]
    assert cell("`await` in the `finally` of a generator left at its `yield`", column) == seen


@each
async def test_a_client_that_stops_reading(
    column: str, autojump_clock: trio.testing.MockClock
) -> None:
    log: list[str] = []
    async with exchange(column, endless(log, silent=False), room=1000) as client:
        await trio.sleep(600)
        holds_its_task = not log
        await client.here.shut_down()
        await trio.sleep(600)
        holds_the_shutdown = not log
    assert holds_its_task == holds_the_shutdown
    seen = "holds its task and the shutdown" if holds_its_task else "cut after `stall_timeout`"
    assert cell("a client that stops reading, on Hypercorn", column) == seen


@each
async def test_the_server_restarts(column: str, autojump_clock: trio.testing.MockClock) -> None:
    log: list[str] = []
    async with exchange(column, endless(log, silent=True)) as client:
        await client.read(1)
        await client.here.shut_down()
        received = await client.read(60)
        # The first, and its own.
        told = bool(log) and len(re.findall(rb"retry: \d+\n", received)) == 2
    assert cell("the server restarts", column).startswith("no") == (not told)


@each
async def test_data_names_and_ids_stay_in_their_fields(
    column: str, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    event = COLUMNS[column][1]
    seen = set()
    for field in ("data", "event", "id"):
        for text in ("a\nb", "a\rb", "a\r\nb"):

            async def events(text: str = text, field: str = field) -> AsyncIterator[Any]:
                yield event(**{"data": "x", field: text})

            # Refused in the generator, which breaks the response off.
            with suppress(Exception):
                async with exchange(column, events) as client:
                    await client.read(60)
            [_, _, body] = client.received.partition(b"\r\n\r\n")
            lines = [line for line in re.split(rb"[\r\n]+", body) if b": " in line]
            assert all(re.match(rb"(data|event|id|retry): ", line) for line in lines)
            given = [line for line in lines if line.startswith(field.encode() + b":")]
            if not given:
                seen.add("refused")
            elif field != "data":
                assert given == [field.encode() + b": ab"]
                seen.add("loses them")
    words = {"refused": "yes, or refused", "loses them": "yes, without line breaks"}
    assert [words[what] for what in seen] == [
        cell("data, names and ids stay in their fields", column)
    ]
