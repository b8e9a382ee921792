"""HTTP/2 by hand: clients that read slowly, stop or leave, and connections that are used up."""

import time

import h2.errors
import trio

from tests.support.certificates import Certificate

from .h2_client import connect_h2
from .support import NEVER, Notes, events_of, nothing_left, state

MIB = 2**20


async def test_a_client_that_reads_one_stream_no_more_holds_its_producer_back_and_loses_it_alone(
    notes: Notes, certificate: Certificate
) -> None:
    async with notes.serve("direct", certificate=certificate) as server:
        async with connect_h2(server) as warmed_up:
            await warmed_up.until_ended(await warmed_up.request("/count"))
        before = (await state(server))["rss"]
        async with connect_h2(server, generous=False) as client:
            beside = await client.request("/ticks?every=0.02")
            await client.grant(MIB)
            await client.grant(MIB, beside)
            begun = time.monotonic()
            stuck = await client.request("/flood?stall_timeout=1.5&size=60000&to=150")
            await trio.sleep(1)
            assert (await state(server))["rss"] - before < 2 * MIB
            response = await client.until_ended(stuck)
            assert response.reset == h2.errors.ErrorCodes.CANCEL
            assert time.monotonic() - begun > 1
            [note] = await notes.wait("returned", "/flood")
            assert note["outcome"] == "stalled"
            # The other stream of the same connection goes on.
            await client.until_more(beside)
    [note] = notes.all("returned", "/ticks")
    assert note["outcome"] == "disconnected"


async def test_a_client_that_opens_its_window_in_time_gets_everything(notes: Notes) -> None:
    async with (
        notes.serve("direct") as server,
        connect_h2(server, generous=False, window=20_000) as client,
    ):
        numbers = await client.request("/flood?to=40&size=5000&stall_timeout=20")
        response = client.responses[numbers]
        while not response.ended:
            with trio.move_on_after(0.02):
                await client.until_ended(numbers)
            if not response.ended:
                await client.grant(20_000, numbers)
                await client.grant(20_000)
        assert [event.split()[0] for event in events_of(response.body)] == [
            str(number) for number in range(40)
        ]


async def test_the_end_of_a_used_up_connection_ends_its_streams(notes: Notes) -> None:
    async with (
        notes.serve("direct", keep_alive_max_requests=5) as server,
        connect_h2(server) as client,
    ):
        silent = await client.request("/quiet?ping=1")
        talking = await client.request(f"/ticks?ping={NEVER}")
        await client.until(silent, b"retry")
        for _ in range(3):
            await client.until_ended(await client.request("/count"))
        await client.request("/count")
        await client.until_goaway()
        # Whoever sends is told by the first event that does not get out, the other by a ping.
        for path in ("/ticks", "/quiet"):
            [end] = await notes.wait("finally", path)
            assert end["outcome"] == "disconnected"
        assert not client.responses[talking].ended


UNFINISHED = [
    ("POST", "/count"),
    ("POST", "/quiet?max_duration=0.2&farewell=proper"),
    ("POST", "/refused"),
    ("HEAD", "/count"),
]


async def test_a_request_that_is_not_over_when_its_response_is_gets_told_to_stop(
    notes: Notes,
) -> None:
    """Which keeps what Hypercorn has let go of from being heard of again."""
    async with notes.serve("direct") as server, connect_h2(server) as client:
        other = await client.request("/ticks")
        begun = time.monotonic()
        posts = [
            await client.request(path, method=method, end=False) for method, path in UNFINISHED
        ]
        for post, (_, path) in zip(posts, UNFINISHED, strict=True):
            response = await client.until_ended(post)
            # Ended in order first; then the client was asked to stop sending.
            assert response.ended, path
            await client.until_reset(post)
            assert response.reset == h2.errors.ErrorCodes.NO_ERROR
            assert time.monotonic() - begun > 0.9
        await client.until_more(other)


async def test_a_request_with_a_body_is_answered_at_once(notes: Notes) -> None:
    async with notes.serve("direct") as server, connect_h2(server) as client:
        post = await client.request("/count?every=0.05", method="POST", end=False)
        client.connection.send_data(post, bytes(10_000), end_stream=True)
        await client.flush()
        response = await client.until_ended(post)
        assert (response.ended, response.reset) == (True, None)


async def test_a_failure_resets_the_stream_behind_what_was_queued(notes: Notes) -> None:
    async with notes.serve("direct", expect_errors=True) as server, connect_h2(server) as client:
        other = await client.request("/ticks")
        failing = await client.request("/fail")
        response = await client.until_ended(failing)
        assert events_of(response.body) == ["0", "1", "2"]
        assert not response.ended
        assert response.reset == h2.errors.ErrorCodes.INTERNAL_ERROR
        await client.until_more(other)
    assert server.process.log().count("ZeroDivisionError: the producer's own") == 1


async def test_streams_that_are_reset_leave_nothing(notes: Notes) -> None:
    """By the client, by a failure, for a shut window: Hypercorn's books are closed each time."""
    async with (
        notes.serve("direct", expect_errors=True) as server,
        connect_h2(server) as client,
    ):
        other = await client.request("/ticks")
        await client.until_more(other)
        before = await state(server)
        for _ in range(20):
            failing = await client.request("/fail?every=0.02")
            leaving = await client.request("/flood")
            await client.until(leaving, b"data: ")
            client.connection.reset_stream(leaving)
            await client.until_ended(failing)
        await notes.wait("returned", count=40)
        await client.until_more(other)
        await nothing_left(server, before)
    outcomes = [note["outcome"] for note in notes.all("returned")]
    assert (outcomes.count("failed"), outcomes.count("disconnected")) == (20, 21)


async def test_clients_that_leave_before_their_answer_leave_nothing(notes: Notes) -> None:
    """Nothing waits for Hypercorn's sending task, which ends with the connection."""
    # Of some of them Hypercorn lets go only when their connection has been idle for so long.
    options = {"graceful_timeout": 1, "keep_alive_timeout": 0.5}
    async with notes.serve("direct", **options) as server:
        before = await state(server)
        for method, path in (("HEAD", "/count"), ("GET", "/refused"), ("GET", "/count")) * 10:
            try:
                async with connect_h2(server, generous=False) as client:
                    await client.request(f"/late{path}", method=method)
            except* trio.BrokenResourceError:
                pass  # it has not asked for so long: that machine is busy
        await nothing_left(server, before)
