"""A run that is over is over: who has seen its end, and comes back by himself, is sent away."""

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from tests.broker.test_resumable import WHOLE, Answer, words
from trio_stream import (
    Broker,
    EventSource,
    ResumableRun,
    RunFailedError,
    Stream,
    last_event_id,
    open_broker,
    serve,
)
from trio_stream.broker.contract import Page
from trio_stream.broker.contract.topics import Selection
from trio_stream.broker.memory import MemoryEngine
from trio_stream.broker.reading.feed import LocalFeed
from trio_stream.broker.resumable import IfRunning
from trio_stream.testing import connect


async def ask(broker: Broker, answer: Answer, after: str | None, **notices: Any) -> list[str]:
    """What a client hears, or the answer's status if that is another than 200."""
    stream = Stream(broker.resumable("a", answer, after=after, **notices))
    async with connect(stream, raise_app_exceptions=False) as client:
        found = await words(client) if client.status == 200 else [str(client.status)]
        ids[:] = [client.last_event_id or ""]
        return found


class SlowToRead(MemoryEngine):
    """An engine whose history is somewhere else."""

    keeps_history = True

    async def read(self, selection: Selection, cursor: int, limit: int) -> Page:
        await trio.sleep(1)
        assert isinstance(self._feed, LocalFeed)
        return self._feed.log.read(selection, cursor, limit)

    async def cursor_back(self, selection: Selection, count: int) -> int:
        await trio.sleep(1)
        assert isinstance(self._feed, LocalFeed)
        return self._feed.log.cursor_back(selection, count)


@pytest.mark.parametrize("if_running", ["join", "replace"])
@pytest.mark.parametrize("fails", [True, False])
async def test_one_that_ends_before_who_has_started_it_looks_is_not_run_again(
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
    if_running: IfRunning,
    fails: bool,
) -> None:
    runs = 0

    async def answer(run: ResumableRun) -> None:
        nonlocal runs
        runs += 1
        if fails:
            raise LookupError

    ending = "failed" if fails else "done"
    async with open_broker(SlowToRead()) as broker:
        with caplog.at_level("CRITICAL"):
            for n in range(3):
                stream = Stream(broker.resumable("a", answer, if_running=if_running))
                async with connect(stream) as client:
                    assert (await client.receive_event()).event == ending
                assert runs == (n + 1 if fails or if_running == "replace" else 1)
            assert await broker.start_resumable("b", answer)
            await trio.sleep(10)
            before = runs
            assert await broker.start_resumable("b", answer, if_running=if_running) is (
                fails or if_running == "replace"
            )
            await trio.sleep(10)
            assert runs == before + (fails or if_running == "replace")


#: The last id that `ask` heard.
ids: list[str] = []


async def test_who_has_seen_that_it_is_done_is_answered_204(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = Answer()
    async with open_broker() as broker:
        assert await ask(broker, answer, None) == [*WHOLE, "done"]
        [seen] = ids
        async with connect(Stream(broker.resumable("a", answer, after=seen))) as client:
            assert client.status == 204
            assert b"content-type" not in dict(client.headers)
            assert await client.read() == b""
        assert await ask(broker, answer, None) == [*WHOLE, "done"]
        assert answer.runs == 1


async def test_who_has_seen_that_it_failed_is_answered_204_and_others_are_told_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    answer = Answer(fails_at=5)
    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("a", answer))) as client:
            await words(client, 2)
            cut_off_at = client.last_event_id
            assert (await words(client))[-1] == "failed"
            seen = client.last_event_id
        # Who was cut off hears the rest, and then no more.
        assert await ask(broker, answer, cut_off_at) == [*WHOLE[2:5], "failed"]
        assert ids == [seen]
        for _ in range(3):
            assert await ask(broker, answer, seen) == ["204"]
        assert answer.runs == 1
        # Who asks without an id asks for another run. The first one is over all the same.
        answer.fails_at = None
        assert await ask(broker, answer, None) == [*WHOLE, "done"]
        assert await ask(broker, answer, seen) == ["204"]
        assert answer.runs == 2


@pytest.mark.parametrize("after", ["no id", "another topic's", "an earlier run's"])
async def test_an_id_of_something_else_starts_none_again(
    after: str, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    answer = Answer(fails_at=2)
    async with open_broker() as broker:
        if after == "another topic's":
            after = await broker.publish("t", "x")
        async with connect(Stream(broker.resumable("a", answer))) as client:
            await words(client, 1)
            after = client.last_event_id or "" if after == "an earlier run's" else after
        await trio.sleep(10)
        assert await ask(broker, answer, None) == [*WHOLE[:2], "failed"]
        runs = answer.runs
        assert await ask(broker, answer, after) == ["gap", *WHOLE[:2], "failed"]
        assert await ask(broker, answer, ids[0]) == ["204"]
        assert answer.runs == runs


async def test_an_end_that_is_left_out_is_seen_with_the_last_event(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    answer = Answer(words=2)
    async with open_broker() as broker:
        assert await ask(broker, answer, None, done=None) == WHOLE[:2]
        assert await ask(broker, answer, ids[0], done=None) == ["204"]
    answer = Answer(fails_at=2)
    async with open_broker() as broker:
        assert await ask(broker, answer, None, failed=None) == WHOLE[:2]  # and is broken off
        assert await ask(broker, answer, ids[0], failed=None) == ["500"]
        assert answer.runs == 1


async def test_an_iterator_of_one_that_is_over_ends_at_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    answer = Answer(fails_at=2)
    async with open_broker() as broker:
        await ask(broker, answer, None)
        async with broker.resumable("a", answer, after=ids[0]) as events:
            assert [event async for event in events] == []
        async with broker.resumable("a", None) as events:  # who has not seen it is told
            with pytest.raises(RunFailedError):
                _ = [event async for event in events]
        assert answer.runs == 1


async def test_a_run_of_which_nothing_was_ever_kept_answers_who_watches_with_200() -> None:
    async with open_broker() as broker:
        stream = Stream(broker.resumable("a", None, after="1"))
        async with connect(stream) as client:
            assert client.status == 200  # there may be one later


@pytest.mark.parametrize("kind", ["done", "failed"])
async def test_an_event_source_that_comes_back_is_told_to_stop(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs = requests = 0

    async def answer(run: ResumableRun) -> None:
        nonlocal runs
        runs += 1
        await run.send("token")
        if kind == "failed":
            raise ValueError("the model is overloaded")

    async with open_broker() as broker, trio.open_nursery() as nursery:

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal requests
            if scope["type"] != "http":
                raise RuntimeError("there is no lifespan")
            requests += 1
            run = broker.resumable("a", answer, after=last_event_id(scope))
            await Stream(run, retry=10)(scope, receive, send)

        options = {"bind": "127.0.0.1:0", "shutdown_trigger": trio.sleep_forever}
        [url] = await nursery.start(partial(serve, app, **options))
        with trio.fail_after(30):
            async with EventSource(url) as source:
                heard = [event.event async for event in source]
        nursery.cancel_scope.cancel()
    assert heard == ["message", kind]
    assert (requests, runs) == (2, 1)
