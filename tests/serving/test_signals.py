"""Signals to a server's whole process group, as supervisors, containers and shells send them."""

import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from tests.support.processes import Process
from tests.support.raw import AS_EVENT_SOURCE, read_to_end, read_until, send_request
from trio_stream.transport.hypercorn import signals
from trio_stream.transport.hypercorn.signals import stopping

MODULE = "tests.serving.signal_app"
RUNNING = r"Running on \S+:(\d+) \(CTRL"
ENDS = [signal.SIGTERM, signal.SIGINT]


@asynccontextmanager
async def running(
    app: str,
    workers: int,
    folder: Path,
    *,
    graceful_timeout: int = 3,
    together: float | None = None,
) -> AsyncIterator[Process]:
    """`hypercorn`, or with an app that is the word for it, a program that calls `serve`.

    Signals within `together` seconds are one.
    """
    if app in ("one", "patient one", "two", "with a handler"):
        command = [sys.executable, "-m", MODULE, app, str(graceful_timeout)]
    else:
        command = [sys.executable, "-m", "hypercorn", "-k", "trio", "-b", "127.0.0.1:0"]
        command += ["-w", str(workers), "--graceful-timeout", str(graceful_timeout)]
        command += [f"{MODULE}:{app}"]
    env = {} if together is None else {"TOGETHER": str(together)}
    process = await Process.start(command, folder / "log", env=env)
    try:
        await process.wait_for_log(RUNNING, count=2 if app == "two" else max(workers, 1))
        yield process
    except Exception as exc:
        exc.add_note(f"The server's log:\n{process.log()}")
        raise
    finally:
        await process.kill()


async def connect(process: Process, path: str = "/stream") -> tuple[trio.SocketStream, int]:
    """A client, and the process that serves it."""
    [port, *_] = await process.wait_for_log(RUNNING)
    client = await trio.open_tcp_stream("127.0.0.1", int(port))
    await send_request(client, path, *AS_EVENT_SOURCE)
    received = b""
    while not (found := re.search(rb"data: (\d+)\n", received)):
        received += await read_until(client, b"\n")
    return client, int(found[1])


@asynccontextmanager
async def clients_of_all(process: Process, workers: int) -> AsyncIterator[list[trio.SocketStream]]:
    """So many that each worker has one; the kernel gives a connection to any of them."""
    clients, serving = [], set()
    async with AsyncExitStack() as stack:
        while len(serving) < max(workers, 1):
            client, pid = await connect(process)
            clients.append(await stack.enter_async_context(client))
            serving.add(pid)
        yield clients


def ended_in_order(rest: bytes) -> bool:
    return bool(re.search(rb"\nretry: \d+\n\n?\r\n0\r\n\r\n$", b"\n" + rest.partition(b"\r\n")[2]))


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize(
    ("app", "workers"),
    [
        ("bare", 1),
        ("bare", 4),
        ("bare", 0),
        ("under_middleware", 1),
        ("under_middleware", 4),
        ("framework", 4),
        ("one", 0),
    ],
)
async def test_the_first_lets_every_stream_end_in_order(
    app: str, workers: int, number: signal.Signals, tmp_path: Path
) -> None:
    graceful_timeout = 1 if app == "framework" else 30  # which hears of it only then
    async with running(app, workers, tmp_path, graceful_timeout=graceful_timeout) as process:
        async with clients_of_all(process, workers) as clients:
            process.send_signal_to_group(number)
            for client in clients:
                assert ended_in_order(await read_to_end(client))
        assert await process.wait(within=60) == 0
        assert process.log().count("finally shutdown") == len(clients)
        if app in ("bare", "one"):
            assert process.log().count("the lifespan's end") == max(workers, 1)


async def test_sighup_ends_a_program_that_serves(tmp_path: Path) -> None:
    """Twice, as when a terminal is closed: from its shell and from the kernel."""
    async with running("patient one", 0, tmp_path) as process:
        client, _ = await connect(process, "/patient?0.1")
        async with client:
            process.send_signal_to_group(signal.SIGHUP)
            await process.wait_for_log("draining")
            process.send_signal_to_group(signal.SIGHUP)
            rest = await read_to_end(client)
        assert b"data: last words" in rest
        assert rest.endswith(b"\r\n0\r\n\r\n")
        assert await process.wait(within=60) == 0
        assert "served" in process.log()


@pytest.mark.parametrize("workers", [1, 4])
async def test_sighup_has_hypercorn_start_new_workers(workers: int, tmp_path: Path) -> None:
    async with running("bare", workers, tmp_path) as process:
        async with clients_of_all(process, workers) as clients:
            process.send_signal_to_group(signal.SIGHUP)
            for client in clients:
                assert ended_in_order(await read_to_end(client))
        await process.wait_for_log(RUNNING, count=2 * workers)
        async with clients_of_all(process, workers) as clients:
            process.send_signal_to_group(signal.SIGTERM)
            for client in clients:
                assert ended_in_order(await read_to_end(client))
        assert await process.wait(within=60) == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGINT),
    ],
)
@pytest.mark.parametrize(
    ("app", "workers"), [("patient", 1), ("patient", 4), ("patient", 0), ("patient one", 0)]
)
async def test_the_second_ends_it_at_once(
    app: str, workers: int, first: signal.Signals, second: signal.Signals, tmp_path: Path
) -> None:
    async with running(app, workers, tmp_path, graceful_timeout=1000, together=1e-9) as process:
        async with AsyncExitStack() as stack:
            serving = set()
            while len(serving) < max(workers, 1):
                client, pid = await connect(process, "/patient?900")
                await stack.enter_async_context(client)
                serving.add(pid)
            process.send_signal_to_group(first)
            for pid in serving:
                await process.wait_for_log(f"draining {pid}")
            process.send_signal_to_group(second)
            await process.wait(within=60)  # and not the 900 s that they have asked for
        assert "last words" not in process.log()


@pytest.mark.parametrize(("app", "workers"), [("patient", 1), ("patient one", 0)])
async def test_two_at_the_same_time_are_one(app: str, workers: int, tmp_path: Path) -> None:
    """`timeout` sends two, to its child and to the group."""
    running_app = running(app, workers, tmp_path, graceful_timeout=30, together=1000)
    async with running_app as process:
        client, _ = await connect(process, "/patient?0.5")
        async with client:
            process.send_signal_to_group(signal.SIGTERM)
            process.send_signal_to_group(signal.SIGTERM)
            assert b"data: last words" in await read_to_end(client)
        assert await process.wait(within=60) == 0


def test_a_tenth_of_a_second_is_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100, 100.05, 100.15])
    monkeypatch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: next(times)))
    stopped = []

    async def main() -> None:
        with stopping(lambda: stopped.append(trio.current_time())):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            await trio.testing.wait_all_tasks_blocked()
            assert stopped
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    trio.run(main)


@pytest.mark.parametrize("to_the_group", [True, False])
async def test_a_worker_that_has_ended_does_not_take_the_others_with_it(
    to_the_group: bool, tmp_path: Path
) -> None:
    """Hypercorn's first process sends the others SIGTERM then, and again when it exits."""
    async with running("patient", 4, tmp_path, graceful_timeout=30) as process:
        client, _ = await connect(process, "/patient?2")
        async with client:
            if to_the_group:
                process.send_signal_to_group(signal.SIGTERM)
            else:
                process.send_signal(signal.SIGTERM)
            rest = await read_to_end(client)
        assert b"data: last words" in rest
        assert rest.endswith(b"\r\n0\r\n\r\n")
        assert await process.wait(within=60) == 0
        assert process.log().count("the lifespan's end") == 4


async def test_a_worker_that_is_told_alone_ends_in_order_and_is_replaced(tmp_path: Path) -> None:
    async with running("bare", 2, tmp_path) as process:
        client, pid = await connect(process)
        async with client:
            os.kill(pid, signal.SIGTERM)
            assert ended_in_order(await read_to_end(client))
        await process.wait_for_log(RUNNING, count=3)
        assert await process.stop() == 0


@pytest.mark.parametrize(
    ("app", "number"),
    [
        ("with_handlers", signal.SIGTERM),
        ("with_handlers", signal.SIGHUP),
        ("with a handler", signal.SIGTERM),
    ],
)
async def test_a_handler_of_somebody_else_stays(
    app: str, number: signal.Signals, tmp_path: Path
) -> None:
    async with running(app, 1, tmp_path) as process:
        client, pid = await connect(process)
        async with client:
            os.kill(pid, number)
            await process.wait_for_log(f"the app's own handler: {number.name}")
            other, same = await connect(process)  # it serves on
            await other.aclose()
            assert same == pid
            process.send_signal_to_group(signal.SIGINT)
            assert ended_in_order(await read_to_end(client))
        assert await process.wait(within=60) == 0


async def test_of_two_servers_in_a_program_both_are_told(tmp_path: Path) -> None:
    async with running("two", 0, tmp_path) as process:
        ports = await process.wait_for_log(RUNNING, count=2)
        clients = [await trio.open_tcp_stream("127.0.0.1", int(port)) for port in ports]
        for client in clients:
            await send_request(client, "/stream", *AS_EVENT_SOURCE)
            await read_until(client, b"data: ")
        process.send_signal(signal.SIGTERM)
        for client in clients:
            assert ended_in_order(await read_to_end(client))
            await client.aclose()
        assert await process.wait(within=60) == 0
        assert "served" in process.log()


async def test_what_was_there_before_is_put_back() -> None:
    def handler(number: int, frame: object) -> None:
        heard.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard: list[int] = []
    before = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGHUP, handler)
    try:
        one, two = trio.Event(), trio.Event()
        with stopping(one.set):
            with stopping(two.set):
                signal.raise_signal(signal.SIGHUP)
                signal.raise_signal(signal.SIGTERM)
                await two.wait()
            await one.wait()
            signal.signal(signal.SIGTERM, handler)  # who comes later may change it, too
        assert heard == [signal.SIGHUP]
        assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGHUP) == handler
        assert signal.getsignal(signal.SIGINT) == before[0]
    finally:
        for number, handled in zip(numbers, before, strict=True):
            signal.signal(number, handled)
