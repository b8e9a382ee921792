"""What is told of event sources: attempts, those that failed or came back, and how they wait."""

from trio.testing import MockClock

from tests.client.scripted import ScriptedServer, events, no_content, over_memory, status
from tests.metrics.figures import figure
from trio_stream import EventSource, ReconnectPolicy


async def test_attempts_and_what_comes_between(autojump_clock: MockClock) -> None:
    names = ("attempts_total", "failures_total", "reconnects_total")
    delays = ("reconnect_delay_seconds_count", "reconnect_delay_seconds_sum")
    before = {name: await figure(f"client_{name}") for name in (*names, *delays)}
    server = ScriptedServer(events(b"data: 1\n\n"), status("503 Service Unavailable"), no_content)
    async with over_memory(server) as client:
        policy = ReconnectPolicy(delay=5, backoff=0)
        async with EventSource("http://example.org/", client=client, policy=policy) as source:
            assert [event.data async for event in source] == ["1"]
    found = {name: await figure(f"client_{name}") - value for name, value in before.items()}
    assert [found[name] for name in names] == [3, 1, 2]
    assert [found[name] for name in delays] == [2, 10]
