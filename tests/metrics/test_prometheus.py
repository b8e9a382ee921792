"""The ways in which Prometheus is told: the endpoint, a registry, several workers."""

import logging
import socket
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import trio
import trio.testing
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics

from tests.metrics.figures import parsed, scrape
from tests.support.hypercorn_process import hypercorn
from trio_stream import Stream
from trio_stream.metrics.table import METRICS
from trio_stream.prometheus import StreamCollector, metrics_app
from trio_stream.testing import connect


async def test_the_endpoint_answers_in_the_format_that_is_asked_for() -> None:
    async with connect(metrics_app()) as client:
        assert client.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert client.headers["cache-control"] == "no-store"
        plain = (await client.read()).decode()
    assert "# TYPE trio_stream_server_opened_streams_total counter" in plain
    accept = {"accept": "application/openmetrics-text; version=1.0.0; charset=utf-8"}
    async with connect(metrics_app(), headers=accept) as client:
        assert client.headers["content-type"].startswith("application/openmetrics-text")
        families = {family.name: family for family in open_metrics((await client.read()).decode())}
    assert len(families) == len(METRICS)
    duration = families["trio_stream_server_stream_duration_seconds"]
    assert (duration.type, duration.unit) == ("histogram", "seconds")


async def test_other_methods_and_other_scopes() -> None:
    async with connect(metrics_app(), method="HEAD") as client:
        assert int(client.headers["content-length"]) > 1000
        assert await client.read() == b""
    async with connect(metrics_app(), method="POST") as client:
        assert (client.status, client.headers["allow"]) == (405, "GET, HEAD")

    async def receive() -> Any: ...

    async def send(message: Any) -> None: ...

    with pytest.raises(RuntimeError, match="mount it"):
        await metrics_app()({"type": "websocket"}, receive, send)


async def test_a_registry_of_ones_own_is_told_with_what_else_is_in_it() -> None:
    registry = CollectorRegistry()
    Counter("orders", "Orders.", registry=registry).inc(5)
    registry.register(StreamCollector())
    async with connect(metrics_app(registry)) as client:
        found = parsed((await client.read()).decode())
    assert found["orders_total", ()] == 5
    assert ("trio_stream_client_attempts_total", ()) in found


async def test_a_registry_has_one_of_them() -> None:
    registry = CollectorRegistry()
    registry.register(StreamCollector())
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(StreamCollector())


async def test_any_thread_may_ask_a_registry() -> None:
    """As the server of prometheus_client's own does."""
    registry = CollectorRegistry()
    registry.register(StreamCollector())
    async with connect(Stream(label="thread", hold_headers=False)):
        text = await trio.to_thread.run_sync(prometheus_client.generate_latest, registry)
        labels = {"http_route": "thread"}
        [open_now] = [
            value
            for (name, pairs), value in parsed(text.decode()).items()
            if name.endswith("active_streams") and labels.items() <= dict(pairs).items()
        ]
        assert open_now == 1


async def test_without_streams_and_brokers_it_is_a_whole_answer_too() -> None:
    assert ("trio_stream_server_shutdown_duration_seconds", ()) in await scrape()


@pytest.mark.parametrize(
    ("options", "text"),
    [({"registry": "x"}, "registry must be a CollectorRegistry"), ({"workers": 5}, "workers must")],
)
def test_what_is_neither_registry_nor_directory_is_refused(
    options: dict[str, Any], text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        metrics_app(**options)


def test_a_directory_that_anybody_can_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ValueError, match="anybody can write"):
        metrics_app(workers=tmp_path / "open")


async def test_who_waits_while_another_is_answered_gets_what_was_begun_meanwhile(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """However many ask while a worker is silent, they wait for it twice at most."""
    app = metrics_app(workers=tmp_path)
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(tmp_path / "6.sock"))
    silent.listen(100)

    async def ask() -> None:
        async with connect(app) as client:
            assert client.status == 200
            await client.read()

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
            await trio.sleep(0.01)
    silent.close()
    assert trio.current_time() == pytest.approx(6, abs=0.5)


async def test_who_is_slow_to_read_holds_nobody(autojump_clock: trio.testing.MockClock) -> None:
    app = metrics_app()
    async with connect(app, socket_buffer=500) as slow:
        slow.stall()
        for _ in range(100):
            await trio.sleep(0.01)
            async with connect(app) as client:
                assert await client.read()


async def test_workers_have_the_smallest_numbers_that_are_free(tmp_path: Path) -> None:
    apps = [metrics_app(workers=tmp_path) for _ in range(3)]
    async with connect(Stream(label="shared", hold_headers=False)), connect(apps[1]) as client:
        found = parsed((await client.read()).decode())
    numbers = {
        dict(pairs)["worker"]
        for name, pairs in found
        if name == "trio_stream_server_active_streams" and ("http_route", "shared") in pairs
    }
    assert numbers == {"0", "1", "2"}
    assert {path.name for path in tmp_path.glob("*.sock")} == {"0.sock", "1.sock", "2.sock"}


async def test_a_worker_that_is_gone_is_left_out_and_one_that_does_not_answer(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    app = metrics_app(workers=tmp_path)
    gone, silent = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    gone.bind(str(tmp_path / "5.sock"))
    gone.close()
    silent.bind(str(tmp_path / "6.sock"))
    silent.listen()
    with caplog.at_level(logging.WARNING, "trio_stream"):
        async with connect(app) as client:
            found = parsed((await client.read()).decode())
    silent.close()
    assert {dict(pairs).get("worker") for _, pairs in found} == {"0"}
    assert [record.getMessage() for record in caplog.records] == [
        "worker 6 has not told its metrics within 3 s"
    ]


async def test_whichever_of_two_workers_is_asked_answers_for_both(tmp_path: Path) -> None:
    directory = tmp_path / "workers"
    env = {"WORKERS": str(directory)}
    async with hypercorn("tests.metrics.served:app", workers=2, env=env) as server:
        while len(list(directory.glob("*.sock"))) < 2:
            await trio.sleep(0.01)
        for served in range(1, 11):
            async with server.client() as client:  # a connection each, which either may take
                assert (await client.get("/numbers")).status_code == 200
                found = parsed((await client.get("/metrics")).text)
            told = {
                wanted: {
                    dict(pairs)["worker"]: n for (name, pairs), n in found.items() if name == wanted
                }
                for wanted in (
                    "trio_stream_server_stream_events_total",
                    "trio_stream_client_attempts_total",
                )
            }
            events, attempts = told.values()
            assert sum(events.values()) == 3 * served
            assert attempts == {"0": 0, "1": 0}
    assert directory.stat().st_mode & 0o777 == 0o700
