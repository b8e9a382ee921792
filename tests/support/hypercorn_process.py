"""A real `hypercorn --worker-class trio module:app` (or anycorn) in a process of its own."""

import json
import re
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import trio

from tests.support.certificates import Certificate
from tests.support.processes import Process


class Server:
    """A running server: where it listens, how to reach it, and its process and log."""

    def __init__(self, process: Process, binds: list[str], certificate: Certificate | None) -> None:
        self.process = process
        self.certificate = certificate
        self._bind = binds[0]

    @property
    def unix_path(self) -> str | None:
        _, unix, path = self._bind.partition("unix:")
        return path if unix else None

    @property
    def url(self) -> str:
        """Without a slash at the end; on a Unix socket the host means nothing."""
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://localhost" if self.unix_path else self._bind

    @property
    def port(self) -> int:
        return int(self._bind.rpartition(":")[2])

    @property
    def worker_pids(self) -> list[int]:
        """The processes that serve: children of `process.pid`, or itself with `workers=0`."""
        return [int(pid) for pid in re.findall(r"\[(\d+)\] \[INFO\] Running", self.process.log())]

    async def connect(self, *alpn: str) -> trio.abc.Stream:
        """A bare connection, TLS included, for tests that speak for themselves."""
        if self.unix_path:
            stream: trio.abc.Stream = await trio.open_unix_socket(self.unix_path)
        else:
            stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        if self.certificate:
            context = self.certificate.client_context(*alpn)
            tls = trio.SSLStream(
                stream, context, server_hostname="localhost", https_compatible=True
            )
            await tls.do_handshake()
            return tls
        return stream

    def client(self, **options: Any) -> httpx.AsyncClient:
        """An httpx client whose paths are relative to this server; the options are httpx's."""
        verify: ssl.SSLContext | bool = (
            self.certificate.client_context() if self.certificate else True
        )
        options.setdefault("timeout", 60)  # httpx has 5 s, which a busy machine may take
        transport = httpx.AsyncHTTPTransport(
            uds=self.unix_path, verify=verify, http2=options.pop("http2", False)
        )
        return httpx.AsyncClient(base_url=self.url, transport=transport, **options)


@asynccontextmanager
async def hypercorn(
    app: str,
    *,
    server: str = "hypercorn",
    workers: int = 1,
    certificate: Certificate | None = None,
    unix: bool = False,
    port: int = 0,
    env: Mapping[str, str] | None = None,
    expect_errors: bool = False,
    **config: Any,
) -> AsyncIterator[Server]:
    """Serve `app` ("module:name") until the block ends, then SIGTERM.

    `server` may be "anycorn"; `port` is for one that takes an earlier one's place. The rest of
    `config` are Hypercorn's own settings by name, such as `graceful_timeout=1`. The server must
    have ended within 60 s more than that timeout, without leaving a worker behind; a traceback or a
    ResourceWarning in its log fails the test unless `expect_errors` (the test then looks at the log
    itself).
    """
    if certificate:
        config |= {"certfile": str(certificate.certfile), "keyfile": str(certificate.keyfile)}
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "config.toml").write_text(_toml({"workers": workers, **config}))
        command = [sys.executable, "-m", server, "--worker-class", "trio"]
        command += ["--config", str(folder / "config.toml")]
        command += ["--bind", f"unix:{folder / 'socket'}" if unix else f"127.0.0.1:{port}", app]
        warnings = {"PYTHONWARNINGS": "default::ResourceWarning"}
        process = await Process.start(command, folder / "log", env={**warnings, **(env or {})})
        try:
            # Each worker says so, once its lifespan startup is done.
            binds = await process.wait_for_log(r"Running on (\S+) \(CTRL", count=max(workers, 1))
            yield Server(process, binds, certificate)
            await process.stop(within=config.get("graceful_timeout", 3) + 60)
        except Exception as exc:
            exc.add_note(f"The server's log:\n{process.log()}")
            raise
        finally:
            await process.kill()
        if not expect_errors:
            assert "Traceback" not in process.log(), process.log()
            assert "ResourceWarning" not in process.log(), process.log()


def _toml(config: Mapping[str, Any]) -> str:
    """TOML of one level: its strings, numbers, booleans and lists are written like JSON's."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in config.items())
