"""A lifespan that fails: the server stops, every stream ends in order, and the log says why."""

import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from hypercorn.utils import LifespanFailureError

from tests.support.processes import Process
from tests.support.raw import AS_EVENT_SOURCE, read_to_end, read_until, send_request
from tests.testing.test_lifespan import failing
from trio_stream import serve

MODULE = "tests.serving.lifespan_app"
COMMAND = [sys.executable, "-m", "hypercorn", "-k", "trio", "-b", "127.0.0.1:0"]
SERVERS = {
    "1 worker": [*COMMAND, f"{MODULE}:bare"],
    "4 workers": [*COMMAND, "-w", "4", f"{MODULE}:bare"],
    "in the first process": [*COMMAND, "-w", "0", f"{MODULE}:bare"],
    "under the middleware": [*COMMAND, f"{MODULE}:under_middleware"],
    "serve()": [sys.executable, "-m", MODULE],
}
every_server = pytest.mark.parametrize("server", SERVERS)


@asynccontextmanager
async def running(server: str, fails: str, folder: Path) -> AsyncIterator[Process]:
    env = {"FAILS": fails, "WHEN": str(folder / "when")}
    process = await Process.start(SERVERS[server], folder / "log", env=env)
    try:
        yield process
    finally:
        await process.kill()


def tells_its_end(server: str) -> bool:
    """Hypercorn's first process exits with 0, whatever its workers exited with."""
    return server in ("serve()", "in the first process")


@every_server
async def test_at_startup(server: str, tmp_path: Path) -> None:
    async with running(server, "startup", tmp_path) as process:
        code = await process.wait(within=60)
        assert code == 1 or not tells_its_end(server)
        assert "ConnectionError: no database" in process.log()


@every_server
async def test_while_it_runs(server: str, tmp_path: Path) -> None:
    async with running(server, "running", tmp_path) as process:
        workers = 4 if server == "4 workers" else 1
        [bind, *_] = await process.wait_for_log(r"Running on (\S+) \(CTRL", count=workers)
        port = int(bind.rpartition(":")[2])
        async with await trio.open_tcp_stream("127.0.0.1", port) as client:
            await send_request(client, "/", *AS_EVENT_SOURCE)
            received = await read_until(client, b"data: hello\n\n")
            (tmp_path / "when").touch()
            received += await read_to_end(client)
        assert re.search(rb"\nretry: \d+\n\n?\r\n0\r\n\r\n$", received)
        code = await process.wait(within=60)
        assert code == 1 or not tells_its_end(server)
        assert "ConnectionError: no database" in process.log()


@pytest.mark.parametrize("server", [server for server in SERVERS if "middleware" not in server])
async def test_at_shutdown(server: str, tmp_path: Path) -> None:
    async with running(server, "shutdown", tmp_path) as process:
        workers = 4 if server == "4 workers" else 1
        await process.wait_for_log(r"Running on (\S+) \(CTRL", count=workers)
        # What fails so late Hypercorn drops; `serve` does not.
        process.send_signal(signal.SIGINT)
        code = await process.wait(within=60)
        assert code == 1 or server != "serve()"
        assert "ConnectionError: no database" in process.log()


@pytest.mark.parametrize("when", ["startup", "while it runs", "shutdown"])
async def test_serve_raises_it(when: str) -> None:
    async def wait() -> None:
        if when != "shutdown":
            await trio.sleep_forever()

    with pytest.raises(LifespanFailureError, match="ConnectionError: no database") as raised:
        await serve(failing(when), bind="127.0.0.1:0", errorlog=None, shutdown_trigger=wait)
    cause = raised.value.__cause__
    assert isinstance(cause, ConnectionError | ExceptionGroup)
