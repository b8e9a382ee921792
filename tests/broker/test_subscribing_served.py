"""Views, states, runs and sources over real connections, from a Hypercorn."""

from collections.abc import AsyncIterator

import pytest
import trio

from tests.support.hypercorn_process import Server, hypercorn
from trio_stream import EventSource, ServerSentEvent


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with hypercorn("tests.broker.subscribing_app:app") as running:
        yield running


async def publish(server: Server, times: int) -> None:
    async with server.client() as client:
        assert (await client.get(f"/publish?times={times}")).status_code == 200


async def next_event(source: EventSource) -> ServerSentEvent:
    with trio.fail_after(60):
        return await source.receive()


async def test_views_states_runs_and_sources(server: Server) -> None:
    # A view: what it leaves out moves the place, so that who comes back hears of no gap.
    async with EventSource(f"{server.url}/view") as view:
        await publish(server, 10)
        while (event := await next_event(view)).event == "place":
            assert event.data == ""
        assert (event.event, event.data) == ("tenth", "10")
        for number in range(11, 20):  # a quarter of what is kept is two
            await publish(server, 1)
            if number % 2 == 0:
                event = await next_event(view)
                assert event.event == "place"
    await publish(server, 1)
    async with EventSource(f"{server.url}/view", last_event_id=event.id) as view:
        event = await next_event(view)
        assert (event.event, event.data) == ("tenth", "20")

    # A state, once; its changes; and the state again where something is missing.
    async with EventSource(f"{server.url}/state") as source:
        event = await next_event(source)
        assert (event.event, event.json()) == ("state", {"n": 20})
        await publish(server, 1)
        assert (await next_event(source)).json() == {"n": 21}
    await publish(server, 2)
    async with EventSource(f"{server.url}/state", last_event_id=event.id) as source:
        assert [(await next_event(source)).json()["n"] for _ in range(3)] == [21, 22, 23]
    await publish(server, 20)
    async with EventSource(f"{server.url}/state", last_event_id=event.id) as source:
        event = await next_event(source)
        assert (event.event, event.json()) == ("state", {"n": 43})

    # A run that is not started twice.
    async with EventSource(f"{server.url}/job") as job, server.client() as client:
        assert (await next_event(job)).data == "begun"
        assert (await client.get("/job")).status_code == 409

    # A source, for as long as somebody watches.
    async with EventSource(f"{server.url}/ticks") as one, EventSource(f"{server.url}/ticks") as two:
        assert (await next_event(one)).data == "0"
        await next_event(two)
    with trio.fail_after(60):
        while True:  # its client has left before the server knows
            await trio.sleep(0.1)
            async with EventSource(f"{server.url}/ticks") as again:
                if (await next_event(again)).data == "0":
                    break
    assert "Traceback" not in server.process.log()
