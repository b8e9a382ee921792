"""Who is compared: how each server is found, prepared and started."""

from __future__ import annotations

import importlib.metadata
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from benchmarks import build
from benchmarks.build import UnavailableError
from benchmarks.scenarios import Kind, Scenario, Wire

OWN = "trio-stream"
FLOOR = "c-floor"
STREAMS: frozenset[Kind] = frozenset({"flood", "ticks", "idle", "fanout"})
TOPICS: frozenset[Kind] = frozenset({"topic", "topic-flood", "topic-idle"})
CROWD: frozenset[Kind] = frozenset({"crowd"})
JSON: frozenset[Kind] = frozenset({"ticks-json", "topic-json"})
HTTP1: frozenset[Wire] = frozenset({"clear", "tls"})
EVERY_WIRE: frozenset[Wire] = frozenset({"clear", "tls", "http2"})


@dataclass(frozen=True)
class Place:
    """Where a server is to listen."""

    port: int
    wire: Wire
    directory: Path  # the run's own

    @property
    def is_encrypted(self) -> bool:
        return self.wire != "clear"

    def options(self, certificate: str, key: str) -> list[str]:
        """The command line's options by these names, where there is TLS."""
        if not self.is_encrypted:
            return []
        chain, private = build.certificate()
        return [certificate, str(chain), key, str(private)]


Command = Callable[[Place], list[str]]

# Builds or installs what is missing (when told to). Raises UnavailableError.
Prepare = Callable[[bool], Command]


@dataclass(frozen=True)
class Peer:
    name: str
    title: str
    prepare: Prepare
    versions: Callable[[], str]
    kinds: frozenset[Kind] = STREAMS
    wires: frozenset[Wire] = frozenset({"clear"})
    environment: Mapping[str, str] = field(default_factory=dict)
    publisher: bool = False  # needs somebody to publish to it over HTTP
    default: bool = True  # runs when no --peer is given
    accepts: str = "identity"  # the content coding that its clients ask for

    def takes_part(self, scenario: Scenario) -> bool:
        return scenario.kind in self.kinds and scenario.wire in self.wires


def _python(code: str, extra: str) -> None:
    """Proves in a process of its own that the imports work."""
    command, root = [sys.executable, "-c", code], build.HERE.parent
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        raise UnavailableError(f"{reason}: {extra}")


def _distributions(*names: str) -> Callable[[], str]:
    return lambda: ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


PIP = "pip install -e '.[bench]'"
HYPERCORN = ["hypercorn", "--worker-class", "trio", "--log-level", "WARNING", "--bind"]
UVICORN = ["uvicorn", "--no-access-log", "--log-level", "warning", "--lifespan", "on"]
# What `pip install uvicorn` gives, said explicitly: uvicorn takes faster ones where it finds them.
PLAIN = ["--loop", "asyncio", "--http", "h11"]
STANDARD = ["--loop", "uvloop", "--http", "httptools"]


def _hypercorn(app: str, imports: str) -> Prepare:
    def prepare(install: bool) -> Command:
        _python(f"import hypercorn, trio; {imports}", PIP)

        def command(place: Place) -> list[str]:
            address = f"127.0.0.1:{place.port}"
            tls = place.options("--certfile", "--keyfile")
            return [sys.executable, "-m", *HYPERCORN, address, *tls, app]

        return command

    return prepare


_OWN = _hypercorn(
    "benchmarks.servers.trio_stream_app:app", "import benchmarks.servers.trio_stream_app"
)


def _served(install: bool) -> Command:
    _python("import benchmarks.servers.serve", PIP)
    start = [sys.executable, "-m", "benchmarks.servers.serve"]
    return lambda place: [*start, str(place.port), *place.options("certfile", "keyfile")]


def _uvicorn(app: str, imports: str, options: list[str]) -> Prepare:
    def prepare(install: bool) -> Command:
        extra = "pip install 'uvicorn[standard]'" if options is STANDARD else PIP
        _python(f"import uvicorn; {imports}", extra)

        def command(place: Place) -> list[str]:
            tls = place.options("--ssl-certfile", "--ssl-keyfile")
            start = [sys.executable, "-m", *UVICORN, *options]
            return [*start, "--port", str(place.port), *tls, app]

        return command

    return prepare


def _elysia(install: bool) -> Command:
    bun = str(build.bun(install))
    source = str(build.SERVERS / "elysia.ts")
    # Bun would fetch missing packages by itself in the middle of a run.
    return lambda place: [bun, "run", "--no-install", source, str(place.port)]


def _elysia_versions() -> str:
    wanted = json.loads((build.PEERS / "package.json").read_text())["dependencies"]
    return ", ".join(f"{name} {version}" for name, version in wanted.items())


def _go(install: bool) -> Command:
    server = str(build.go_server())
    return lambda place: [server, str(place.port), *place.options("certificate", "key")[1::2]]


def _nchan(install: bool) -> Command:
    program, modules = build.nginx()
    template = Template((build.SERVERS / "nchan.conf").read_text())

    def command(place: Place) -> list[str]:
        configuration = place.directory / "nginx.conf"
        values = {"modules": modules, "directory": place.directory, "tls": ""}
        values |= {"listen": f"127.0.0.1:{place.port} backlog=4096"}
        if place.is_encrypted:
            chain, key = build.certificate()
            values["tls"] = f"ssl_certificate {chain}; ssl_certificate_key {key};"
            values["listen"] += " ssl http2" if place.wire == "http2" else " ssl"
        configuration.write_text(template.safe_substitute(values))
        return [program, "-p", str(place.directory), "-e", "stderr", "-c", str(configuration)]

    return command


def _caddy(install: bool) -> Command:
    """Caddy, and behind it bare ASGI on uvicorn, in one process group."""
    program = build.caddy()
    _python("import uvicorn", PIP)
    template = Template((build.SERVERS / "Caddyfile").read_text())

    def command(place: Place) -> list[str]:
        configuration = place.directory / "Caddyfile"
        values = {"port": place.port, "directory": place.directory}
        configuration.write_text(template.safe_substitute(values))
        app = [sys.executable, "-m", *UVICORN, *PLAIN, "--uds", str(place.directory / "bare.sock")]
        behind = shlex.join([*app, "benchmarks.servers.bare:on_uvicorn"])
        front = [program, "run", "--adapter", "caddyfile", "--config", str(configuration)]
        return ["sh", "-c", f"{behind} & exec {shlex.join(front)}"]

    return command


def _caddy_version() -> str:
    return _said_by(build.caddy(), "version")()


def _floor(install: bool) -> Command:
    server = str(build.floor())
    return lambda place: [server, str(place.port)]


def _said_by(*command: str) -> Callable[[], str]:
    def ask() -> str:
        program = build.need(command[0], "")
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
        return (done.stdout or done.stderr).splitlines()[0]

    return ask


SSE = "import sse_starlette"
_ALL = (
    Peer(
        OWN,
        "this project on Hypercorn's Trio worker",
        _OWN,
        _distributions("hypercorn", "trio"),
        kinds=STREAMS | TOPICS | CROWD | JSON,
        wires=EVERY_WIRE,
    ),
    *(
        Peer(
            f"{OWN}-{coding}",
            f"the same, for clients that accept {coding}",
            _OWN,
            _distributions("hypercorn", "trio"),
            kinds=JSON,
            wires=EVERY_WIRE,
            accepts=coding,
        )
        for coding in ("gzip", "zstd")
    ),
    Peer(
        "trio-stream-serve",
        "this project, started by its own `serve`",
        _served,
        _distributions("hypercorn", "trio"),
        kinds=CROWD | {"topic-idle"},
        wires=EVERY_WIRE,
    ),
    Peer(
        "trio-stream-by-hand",
        "this project's streams in a set, without a broker",
        _hypercorn(
            "benchmarks.servers.trio_stream_app:by_hand",
            "import benchmarks.servers.trio_stream_app",
        ),
        _distributions("hypercorn", "trio"),
        kinds=TOPICS,
        wires=EVERY_WIRE,
    ),
    Peer(
        "bare-hypercorn",
        "bare ASGI, one send per event, on Hypercorn's Trio worker",
        _hypercorn("benchmarks.servers.bare:on_hypercorn", "pass"),
        _distributions("hypercorn", "trio"),
        kinds=STREAMS | CROWD,
        wires=EVERY_WIRE,
    ),
    Peer(
        "sse-starlette-hypercorn",
        "sse-starlette on Hypercorn's Trio worker",
        _hypercorn("benchmarks.servers.sse_starlette_app:on_hypercorn", SSE),
        _distributions("sse-starlette", "hypercorn", "trio"),
    ),
    Peer(
        "bare-uvicorn",
        "bare ASGI, one send per event, on uvicorn (asyncio, h11)",
        _uvicorn("benchmarks.servers.bare:on_uvicorn", "pass", PLAIN),
        _distributions("uvicorn"),
    ),
    Peer(
        "sse-starlette-uvicorn",
        "sse-starlette on uvicorn (asyncio, h11)",
        _uvicorn("benchmarks.servers.sse_starlette_app:on_uvicorn", SSE, PLAIN),
        _distributions("sse-starlette", "uvicorn"),
    ),
    Peer(
        "bare-uvicorn-standard",
        "bare ASGI on uvicorn[standard] (uvloop, httptools)",
        _uvicorn("benchmarks.servers.bare:on_uvicorn", "import uvloop, httptools", STANDARD),
        _distributions("uvicorn"),
        default=False,
    ),
    Peer(
        "sse-starlette-uvicorn-standard",
        "sse-starlette on uvicorn[standard] (uvloop, httptools)",
        _uvicorn(
            "benchmarks.servers.sse_starlette_app:on_uvicorn",
            f"import uvloop, httptools; {SSE}",
            STANDARD,
        ),
        _distributions("sse-starlette", "uvicorn"),
        default=False,
    ),
    Peer(
        "elysia-bun",
        "@elysiajs/stream on Bun, a generator handed to Stream",
        _elysia,
        _elysia_versions,
        environment={"NODE_PATH": str(build.MODULES), "NODE_ENV": "production"},
    ),
    Peer(
        "go",
        "Go net/http, GOMAXPROCS=1",
        _go,
        _said_by("go", "version"),
        kinds=STREAMS | TOPICS | CROWD | JSON,
        wires=EVERY_WIRE,
        environment={"GOMAXPROCS": "1"},
    ),
    Peer(
        "go-gzip",
        "the same, for clients that accept gzip: the standard library's, flushed at each event",
        _go,
        _said_by("go", "version"),
        kinds=JSON,
        wires=EVERY_WIRE,
        environment={"GOMAXPROCS": "1"},
        accepts="gzip",
    ),
    Peer(
        "nchan",
        "nchan in nginx, published to over HTTP",
        _nchan,
        _said_by("nginx", "-v"),
        kinds=TOPICS | {"idle", "fanout", "topic-json"},
        wires=EVERY_WIRE,
        publisher=True,
    ),
    Peer(
        "nchan-gzip",
        "the same, for clients that accept gzip: nginx's own, for each client",
        _nchan,
        _said_by("nginx", "-v"),
        kinds=frozenset({"topic-json"}),
        wires=EVERY_WIRE,
        publisher=True,
        accepts="gzip",
    ),
    *(
        Peer(
            f"caddy-{coding}",
            f"bare ASGI on uvicorn behind Caddy, for clients that accept {coding}: Caddy's own",
            _caddy,
            _caddy_version,
            kinds=JSON,
            accepts=coding,
        )
        for coding in ("gzip", "zstd")
    ),
    Peer(
        FLOOR,
        "C, epoll and writes only: the floor",
        _floor,
        _said_by("cc", "--version"),
        kinds=STREAMS | (TOPICS - {"topic-flood"}),
    ),
)

PEERS: dict[str, Peer] = {peer.name: peer for peer in _ALL}
