"""Whose a stream is: `principal=`, what lists and counts by it, and `Broker.disconnect`."""

from enum import Enum
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.raw import EVENT_SOURCE
from trio_stream import (
    Outcome,
    ResumableRun,
    RunFailedError,
    ServerSentEvent,
    Stream,
    StreamLimits,
    open_broker,
    open_streams,
    outcome_counts,
)
from trio_stream.broker.disconnects import disconnect_entry
from trio_stream.testing import connect


async def forever(stream: Stream) -> None:
    await trio.sleep_forever()


def of(principal: Any, **options: Any) -> Stream:
    return Stream(forever, principal=principal, hold_headers=False, **options)


class Role(str, Enum):  # noqa: UP042
    ADMIN = "admin"


@pytest.mark.parametrize(
    ("given", "known"),
    [(17, "17"), ("17", "17"), (-5, "-5"), (2**128 - 1, str(2**128 - 1)), (Role.ADMIN, "admin")]
    + [(text, text) for text in ("*", "a/**", "$x", "a\nb\r\0", "ä☃", " ", "x" * 1024)],
)
async def test_a_principal_is_any_text_or_number(given: Any, known: str) -> None:
    stream = of(given)
    assert stream.principal == known
    assert type(stream.principal) is str
    async with open_broker() as broker, connect(stream), connect(of("another")):
        assert [found.principal for found in open_streams(principal=given)] == [known]
        assert len(open_streams()) == 2
        await broker.disconnect(known)
        assert stream.outcome == "revoked"
        assert outcome_counts() == {}  # it is not over before its call is
    assert outcome_counts() == {"revoked": 1, "disconnected": 1}


async def test_without_one_a_stream_is_nobodys() -> None:
    stream = Stream(forever, hold_headers=False)
    async with open_broker() as broker, connect(stream):
        await broker.disconnect("None")
        assert stream.principal is None
        assert stream.outcome is None


async def test_who_is_disconnected_is_told_farewell() -> None:
    stream = of("ann", farewell_event=ServerSentEvent("bye", event="end"))
    other = of("bob")
    async with (
        open_broker() as broker,
        connect(stream, headers=EVENT_SOURCE) as client,
        connect(other),
    ):
        await stream.send("queued")
        await broker.disconnect("ann")
        body = await client.read()
        assert body.endswith(b"data: queued\n\nevent: end\ndata: bye\n\n")
        assert client.ended == "complete"
        assert other.outcome is None
    assert stream.outcome is Outcome.REVOKED


async def test_who_reads_by_fetch_can_tell_that_there_was_more() -> None:
    async with open_broker() as broker, connect(of("ann"), headers={"accept": "*/*"}) as client:
        await broker.disconnect("ann")
        await client.read()
        assert client.ended == "broken"


async def test_an_entered_stream_ends_too() -> None:
    async with open_broker() as broker, of("ann") as stream:
        await broker.disconnect("ann")
        assert [chunk async for chunk in stream.value] == []
        assert stream.outcome == "revoked"


async def test_for_a_while_nobody_is_let_in_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_broker() as broker:
        await broker.disconnect(7, refuse_for=60)
        await broker.disconnect(7, refuse_for=5)  # which takes nothing back
        await trio.sleep(59)
        stream = of("7")
        async with connect(stream, headers=EVENT_SOURCE) as client:
            assert client.status == 403  # which no EventSource comes back after
            assert client.headers["cache-control"] == "no-store"
        assert stream.outcome == "refused"
        async with connect(of("8")) as client:
            assert client.status == 200
        await trio.sleep(1)
        async with connect(of("7")) as client:
            assert client.status == 200


async def test_without_it_they_may_come_back_at_once() -> None:
    async with open_broker() as broker:
        async with connect(of("ann")):
            await broker.disconnect("ann")
        stream = of("ann")
        async with connect(stream) as client:
            await trio.testing.wait_all_tasks_blocked()
            assert client.status == 200
            assert stream.outcome is None  # its own word it does not hear again


async def test_what_another_process_says_is_done_here(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stream = of("ann")
    async with open_broker() as broker, connect(stream):
        await broker.engine.append([disconnect_entry("ann", 60, runs=False, by="another")])
        await trio.testing.wait_all_tasks_blocked()
        assert stream.outcome == "revoked"
        async with connect(of("ann")) as client:
            assert client.status == 403


async def test_a_broker_that_starts_knows_who_is_refused(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/log.db"

    async def disconnect(principal: str, refuse_for: float) -> None:
        async with open_broker(url, history=1, synchronous="off") as broker:
            await broker.disconnect(principal, refuse_for=refuse_for)

    for principal, seconds in (("ann", 1000), ("bob", 0), ("cem", 1000)):
        await trio.to_thread.run_sync(partial(trio.run, disconnect, principal, seconds))
    async with open_broker(url, history=1, synchronous="off"):
        for principal, status in (("ann", 403), ("bob", 200), ("cem", 403)):
            async with connect(of(principal)) as client:
                assert client.status == status


async def test_runs_are_stopped_if_asked(autojump_clock: trio.testing.MockClock) -> None:
    async def produce(run: ResumableRun) -> None:
        await run.send("begun")
        await trio.sleep_forever()

    async with open_broker() as broker:
        for runs in (False, True):
            stream = Stream(broker.resumable("r", produce), principal="ann")
            async with connect(stream) as client:
                assert (await client.receive_event()).data == "begun"
                await broker.disconnect("ann", runs=runs)
            assert stream.outcome == "revoked"
            await trio.testing.wait_all_tasks_blocked()
            watch = broker.resumable("r", None)
            async with watch:
                assert (await anext(watch)).data == "begun"
                if not runs:
                    with trio.move_on_after(1) as waited:
                        await anext(watch)
                    assert waited.cancelled_caught
                else:
                    with pytest.raises(RunFailedError, match="stopped"):
                        await anext(watch)


async def test_a_run_that_is_iterated_is_whose_it_is_said_to_be() -> None:
    async def produce(run: ResumableRun) -> None:
        await run.send("begun")
        await trio.sleep_forever()

    async with open_broker() as broker, broker.resumable("r", produce, principal=5) as run:
        assert (await anext(run)).data == "begun"
        await broker.engine.append([disconnect_entry("5", 0, runs=True, by="another")])
        with pytest.raises(RunFailedError, match="stopped"):
            await anext(run)


async def test_a_closed_broker_disconnects_nobody() -> None:
    async with open_broker() as broker:
        pass
    stream = of("ann")
    async with connect(stream):
        with pytest.raises(trio.ClosedResourceError):
            await broker.disconnect("ann")
        assert stream.outcome is None


async def test_what_is_said_is_seen_by_nobody_who_subscribes() -> None:
    async with open_broker() as broker:
        async with broker.subscribe("**", after="earliest") as events:
            await broker.disconnect("ann", refuse_for=1)
            await broker.publish("t", 1)
            assert (await anext(events)).data == "1"
        for call in (broker.subscribe, partial(broker.subscribe, patterns=False)):
            with pytest.raises(ValueError, match="not for subscribers"):
                call("$disconnects")
        assert broker.statistics().subscriptions == 0


async def test_nobody_may_have_more_than_his_share() -> None:
    limits = StreamLimits(per_principal=2)
    async with connect(of("ann", limits=limits)), connect(of("ann", limits=limits)):
        assert limits.statistics().principals == 1
        async with connect(of("ann", limits=limits)) as third:
            assert third.status == 503
        async with connect(of("bob", limits=limits)) as other:
            assert other.status == 200
            assert limits.statistics().principals == 2
        async with connect(of(None, limits=limits)) as nobody:
            assert nobody.status == 200
        assert limits.statistics().open == 2
        assert limits.statistics().refused == 1
    async with connect(of("ann", limits=limits)) as again:
        assert again.status == 200
    assert limits.statistics().open == limits.statistics().principals == 0


async def test_a_principal_is_in_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with open_broker() as broker, connect(of("ann@example.com")):
        await broker.disconnect("ann@example.com")
    assert "ann@example.com" not in caplog.text
    assert open_streams() == ()
