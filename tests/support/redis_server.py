"""Debian's `redis-server`, on a port and in a folder of its own. Never a mock."""

import re
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from tests.support.need import need, unavailable
from tests.support.processes import Process


class RedisServer:
    """One Redis, which keeps its port and its files over any number of crashes and restarts."""

    def __init__(self, program: str, folder: Path, options: dict[str, str]) -> None:
        # The nodes of a cluster speak to each other at a port that is 10,000 above theirs.
        self.port = _free_port(10_000 if "cluster_enabled" in options else 0)
        self.process: Process
        self._program = program
        self._logfile = folder / "log"
        self._command = [program, "--bind", "127.0.0.1", "--port", str(self.port)]
        self._command += ["--dir", str(folder), *_arguments(options)]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def version(self) -> tuple[int, ...]:
        """Of Redis, or of what is in its place: (7, 0, 15)."""
        shown = subprocess.run([self._program, "--version"], capture_output=True, check=True).stdout
        found = re.search(rb"v=([0-9.]+)", shown)
        assert found, shown
        return tuple(map(int, found[1].split(b".")))

    async def start(self) -> None:
        self._logfile.unlink(missing_ok=True)
        self.process = await Process.start(self._command, self._logfile)
        await self.process.wait_for_log("Ready to accept connections")

    async def restart(self, **options: str) -> None:
        """End it in order (it saves what it is configured to save) and start it again.

        What is given here is how it is configured from then on.
        """
        await self.process.stop()
        self._command += _arguments(options)
        await self.start()

    async def crash(self) -> None:
        """Kill it: what it has not written is lost. `start` brings it back."""
        await self.process.kill()

    def pause(self) -> None:
        """Let it hang: connections stay open, nothing is answered, until `resume`."""
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    async def command(self, *words: str) -> bytes:
        """Send one command on a connection of its own; the reply as it is on the wire (RESP)."""
        encoded = [b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words]
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            await stream.send_all(b"*%d\r\n" % len(words) + b"".join(encoded))
            reply = b""
            while not reply.endswith(b"\r\n"):
                received = await stream.receive_some()
                assert received, f"Redis hung up after {reply!r}"
                reply += received
        return reply


@asynccontextmanager
async def redis_server(**options: str) -> AsyncIterator[RedisServer]:
    """Run a Redis until the block ends. Skips the test when it is not installed.

    `options` are those of `redis.conf` by name, such as `appendonly="yes"`, `appendfsync="always"`;
    without any, nothing is ever written to disk.
    """
    [program] = need("redis-server")
    with TemporaryDirectory() as folder:
        server = RedisServer(program, Path(folder), {"save": "", **options})
        await server.start()
        try:
            yield server
        finally:
            await server.process.kill()  # which needs no `resume`: nothing withstands it


def _arguments(options: dict[str, str]) -> list[str]:
    return [
        word
        for name, value in options.items()
        for word in (f"--{name.replace('_', '-')}", *value.split(" "))
    ]


def _free_port(beside: int = 0) -> int:
    """A port that was free just now: Redis takes no 0, and must come back on the same one.

    The kernel hands such ports out in no order, so that nobody else gets this one soon. With
    `beside`, the port that is so far above it is free, too.
    """
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if not beside or _is_free(port + beside):
                return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
        return True


def need_tls() -> None:
    """Skip the test (in CI: fail it) when redis-server was built without TLS."""
    [program] = need("redis-server")
    # With TLS or without, it ends at once, and says what it misses: a certificate, or TLS.
    tried = subprocess.run(
        [program, "--port", "0", "--tls-port", str(_free_port()), "--save", ""],
        capture_output=True,
        check=False,
        timeout=60,
    )
    if b"tls-cert-file" not in tried.stdout + tried.stderr:
        unavailable("redis-server was built without TLS")
