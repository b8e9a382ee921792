"""The proxies of docs/proxies.md that are no part of the tests, run by hand: what each does.

Run it: ``python -m tests.proxies.others [NAME...]``; those of Node are looked for in the folder
that the variable ``NODE_MODULES`` names. It prints a line for each that is installed,
and what `trio-stream doctor` says of a stream behind it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import trio

from tests.proxies.proxies import free_port, listening
from tests.support.hypercorn_process import Server, hypercorn
from tests.support.need import SEARCH_PATH
from tests.support.processes import Process
from tests.support.raw import AS_EVENT_SOURCE, read_until, send_request
from trio_stream.client.connecting.http_client import make_client
from trio_stream.doctor.examine import Options, examine
from trio_stream.doctor.verdicts import judge


@dataclass(frozen=True)
class Place:
    """Where a proxy is run."""

    folder: Path
    port: int
    upstream: int

    def write(self, name: str, text: str) -> Path:
        """A file of its configuration, with ``PORT``, ``UPSTREAM`` and ``FOLDER`` filled in."""
        for word in ("PORT", "UPSTREAM", "FOLDER"):
            text = text.replace(word, str(getattr(self, word.lower())))
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return path


def varnish(place: Place) -> list[object]:
    file = place.write(
        "default.vcl",
        'vcl 4.1; backend default { .host = "127.0.0.1"; .port = "UPSTREAM"; }\n'
        'sub vcl_recv { if (req.url ~ "^/events") { return (pipe); } }\n',
    )
    return [
        "-j",
        "none",
        "-F",
        "-f",
        file,
        "-a",
        f"127.0.0.1:{place.port}",
        "-n",
        place.folder / "varnish",
    ]


def squid(place: Place) -> list[object]:
    file = place.write(
        "squid.conf",
        "http_port 127.0.0.1:PORT accel defaultsite=localhost\n"
        "cache_peer 127.0.0.1 parent UPSTREAM 0 no-query originserver name=app\n"
        "http_access allow all\ncache_peer_access app allow all\ncache deny all\n"
        "pid_filename FOLDER/pid\naccess_log none\ncache_log FOLDER/cache.log\n"
        "coredump_dir FOLDER\nshutdown_lifetime 0 seconds\n",
    )
    return ["-N", "-n", f"at{place.port}", "-f", file]


def caddy(place: Place) -> list[object]:
    file = place.write(
        "Caddyfile",
        "{\n admin off\n auto_https off\n}\n"
        "http://:PORT {\n bind 127.0.0.1\n reverse_proxy 127.0.0.1:UPSTREAM\n}\n",
    )
    return ["run", "--adapter", "caddyfile", "--config", file]


def lighttpd(place: Place) -> list[object]:
    file = place.write(
        "lighttpd.conf",
        'server.modules = ("mod_proxy")\nserver.document-root = "FOLDER"\n'
        'server.bind = "127.0.0.1"\nserver.port = PORT\nserver.stream-response-body = 2\n'
        'proxy.server = ("" => (("host" => "127.0.0.1", "port" => UPSTREAM)))\n',
    )
    return ["-D", "-f", file]


def traffic_server(place: Place) -> list[object]:
    for name in ("runtime", "logs", "cache"):
        (place.folder / name).mkdir()
        (place.folder / name).chmod(0o777)
    place.write(
        "records.config",
        "CONFIG proxy.config.http.server_ports STRING PORT:ip-in=127.0.0.1\n"
        "CONFIG proxy.config.http.cache.http INT 0\n"
        "CONFIG proxy.config.local_state_dir STRING FOLDER/runtime\n"
        "CONFIG proxy.config.log.logfile_dir STRING FOLDER/logs\n"
        "CONFIG proxy.config.admin.user_id STRING trafficserver\n",
    )
    place.write("remap.config", "map / http://127.0.0.1:UPSTREAM/\n")
    place.write("storage.config", "FOLDER/cache 64M\n")
    for name in ("ip_allow.yaml", "plugin.config", "logging.yaml", "hosting.config"):
        shutil.copy(f"/etc/trafficserver/{name}", place.folder)
    return []


def nghttpx(place: Place) -> list[object]:
    front = f"--frontend=127.0.0.1,{place.port};no-tls"
    return [front, f"--backend=127.0.0.1,{place.upstream}", "--conf=/dev/null"]


def envoy(place: Place) -> list[object]:
    file = place.write(
        "envoy.yaml",
        ENVOY.replace("EXTENSIONS", "type.googleapis.com/envoy.extensions.filters"),
    )
    return ["--config-path", file, "--disable-hot-restart", "--concurrency", "1"]


def traefik(place: Place) -> list[object]:
    file = place.write(
        "dynamic.yaml",
        "http:\n  routers:\n    app: {rule: 'PathPrefix(`/`)', service: app}\n"
        "  services:\n    app:\n      loadBalancer:\n        servers:\n"
        "          - url: 'http://127.0.0.1:UPSTREAM'\n",
    )
    return [
        f"--entrypoints.web.address=127.0.0.1:{place.port}",
        f"--providers.file.filename={file}",
    ]


def nginx(place: Place) -> list[object]:
    file = place.write(
        "nginx.conf",
        "daemon off; pid FOLDER/pid; error_log stderr; events {} http { access_log off;\n"
        "client_body_temp_path FOLDER/a; proxy_temp_path FOLDER/b; fastcgi_temp_path FOLDER/c;\n"
        "uwsgi_temp_path FOLDER/d; scgi_temp_path FOLDER/e;\n"
        "server { listen 127.0.0.1:PORT;\n"
        "location / { proxy_pass http://127.0.0.1:UPSTREAM; } } }\n",
    )
    return ["-c", file, "-p", place.folder]


def mitmproxy(place: Place) -> list[object]:
    return [
        *("--mode", f"reverse:http://127.0.0.1:{place.upstream}", "--set", "stream_large_bodies=1"),
        *("--listen-host", "127.0.0.1", "-p", place.port, "--set", f"confdir={place.folder}"),
    ]


def in_node(name: str, text: str) -> Callable[[Place], list[object]]:
    """A program for Node, with the modules of the folder that ``NODE_MODULES`` names."""

    def configure(place: Place) -> list[object]:
        (place.folder / "node_modules").symlink_to(os.environ["NODE_MODULES"])
        return [place.write(name, text)]

    return configure


HTTP_PROXY = """
const proxy = require("http-proxy").createProxyServer({ target: "http://127.0.0.1:UPSTREAM" });
proxy.on("error", (error, request, response) => response.destroy());
proxy.on("proxyRes", (upstream, request, response) => {
  upstream.on("aborted", () => response.destroy());
  response.on("close", () => upstream.destroy());
});
require("http").createServer((a, b) => proxy.web(a, b)).listen(PORT, "127.0.0.1");
"""

MIDDLEWARE = """
const { createProxyMiddleware } = require("http-proxy-middleware");
const app = require("express")();
app.use(createProxyMiddleware({ target: "http://127.0.0.1:UPSTREAM" }));
app.listen(PORT, "127.0.0.1");
"""

VITE = """
import { createServer } from "vite";
const target = "http://127.0.0.1:UPSTREAM";
const configure = proxy => proxy.on("proxyRes", (upstream, request, response) =>
  upstream.on("aborted", () => response.destroy()));
const proxy = { "/events": { target, configure }, "/say": { target } };
const server = { port: PORT, strictPort: true, host: "127.0.0.1", proxy };
await (await createServer({ configFile: false, root: "FOLDER", server })).listen();
"""

WEBPACK = """
const { writeFileSync } = require("fs");
writeFileSync("FOLDER/entry.js", "");
const compiler = require("webpack")({ context: "FOLDER", entry: "./entry.js", mode: "none" });
const Server = require("webpack-dev-server");
const proxy = [{ context: ["/events", "/say"], target: "http://127.0.0.1:UPSTREAM" }];
new Server({ host: "127.0.0.1", port: PORT, proxy }, compiler).start();
"""

NEXT = """
const { mkdirSync, writeFileSync } = require("fs");
// It wants the modules above the application, and follows no link.
const dir = require("path").dirname(process.env.NODE_MODULES) + "/app";
mkdirSync(dir + "/pages", { recursive: true });
writeFileSync(dir + "/pages/index.js", "export default () => null;");
const rewrites = ["/events/:path*", "/say"].map(source =>
  ({ source, destination: "http://127.0.0.1:UPSTREAM" + source }));
writeFileSync(dir + "/next.config.js",
  `module.exports = { rewrites: async () => ${JSON.stringify(rewrites)} };`);
const next = require("next")({ dev: true, dir });
next.prepare().then(() =>
  require("http").createServer(next.getRequestHandler()).listen(PORT, "127.0.0.1"));
"""

BUN = """
Bun.serve({ port: PORT, hostname: "127.0.0.1", idleTimeout: 0, fetch(request) {
  const url = new URL(request.url);
  return fetch("http://127.0.0.1:UPSTREAM" + url.pathname,
    { method: request.method, headers: request.headers, signal: request.signal });
} });
"""

ENVOY = """
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: PORT}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": EXTENSIONS.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: web
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": EXTENSIONS.http.router.v3.Router
                route_config:
                  virtual_hosts:
                    - name: app
                      domains: ["*"]
                      routes:
                        - match: {prefix: /}
                          route: {cluster: app, timeout: 0s}
  clusters:
    - name: app
      connect_timeout: 5s
      load_assignment:
        cluster_name: app
        endpoints:
          - lb_endpoints:
              - endpoint:
                  address: {socket_address: {address: 127.0.0.1, port_value: UPSTREAM}}
"""


def of(package: str) -> list[str]:
    """How Node tells the version of a package."""
    path = f"{os.environ.get('NODE_MODULES')}/{package}/package.json"
    return ["-p", f"require({path!r}).version"]


#: The program of each, how it tells its version, and its configuration.
OTHERS: dict[str, tuple[str, list[str], Callable[[Place], list[object]]]] = {
    "nginx": ("nginx", ["-v"], nginx),
    "caddy": ("caddy", ["version"], caddy),
    "traefik": ("traefik", ["version"], traefik),
    "envoy": ("envoy", ["--version"], envoy),
    "varnish": ("varnishd", ["-V"], varnish),
    "squid": ("squid", ["-v"], squid),
    "lighttpd": ("lighttpd", ["-v"], lighttpd),
    "traffic server": ("traffic_server", ["-V"], traffic_server),
    "nghttpx": ("nghttpx", ["--version"], nghttpx),
    "mitmproxy": ("mitmdump", ["--version"], mitmproxy),
    "http-proxy": ("node", of("http-proxy"), in_node("proxy.cjs", HTTP_PROXY)),
    "http-proxy-middleware": ("node", of("http-proxy-middleware"), in_node("a.cjs", MIDDLEWARE)),
    "vite": ("node", of("vite"), in_node("proxy.mjs", VITE)),
    "webpack-dev-server": ("node", of("webpack-dev-server"), in_node("proxy.cjs", WEBPACK)),
    "next": ("node", of("next"), in_node("proxy.cjs", NEXT)),
    "bun": ("bun", ["--version"], in_node("proxy.js", BUN)),
}


async def ready(port: int) -> None:
    """Wait until the proxy has found the server."""
    async with httpx.AsyncClient(timeout=60) as client:
        with trio.fail_after(60):
            while (await client.post(f"http://127.0.0.1:{port}/say")).status_code != 204:
                await trio.sleep(0.1)


async def seen(server: Server, port: int) -> dict[str, str]:
    """What there is behind a proxy: in words, by what was looked at."""
    found = {}
    for what, look in {
        "an event": an_event,
        "leaving": leaving,
        "a broken end": broken_end,
        "the doctor": the_doctor,
    }.items():
        try:
            found[what] = await look(server, port)
        except trio.TooSlowError:
            found[what] = "nothing came"
    return found


async def ask(port: int, path: str, *headers: str) -> trio.SocketStream:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await send_request(stream, path, *AS_EVENT_SOURCE, *headers)
    return stream


async def an_event(server: Server, port: int) -> str:
    took = []
    async with await ask(port, "/events/silent") as stream, server.client() as client:
        await read_until(stream, b"data: here\n\n")
        for _ in range(5):
            await client.post("/say")
            start = trio.current_time()
            await read_until(stream, b"data: said\n\n")
            took.append(trio.current_time() - start)
    return f"{sorted(took)[2] * 1000:.0f} ms"


async def leaving(server: Server, port: int) -> str:
    before = server.process.log().count("ended: disconnected")
    for path, seconds in (("/events/silent", 2), ("/events/pinging", 20)):
        async with await ask(port, path) as stream:
            await read_until(stream, b"data: here\n\n")
        start = trio.current_time()
        with trio.move_on_after(seconds):
            while server.process.log().count("ended: disconnected") == before:
                await trio.sleep(0.05)
            return f"{path.rpartition('/')[2]}: after {trio.current_time() - start:.1f} s"
    return "never"


async def broken_end(server: Server, port: int) -> str:
    async with await ask(port, "/events/failing", "connection: close") as stream:
        received = b""
        with suppress(trio.BrokenResourceError), trio.fail_after(30):
            while piece := await stream.receive_some():
                received += piece
    event = "the event came" if b"data: half" in received else "no event came"
    is_proper = received.endswith(b"0\r\n\r\n") or b"content-length" in received.lower()
    return f"{event}, and a {'proper' if is_proper else 'broken'} end"


async def the_doctor(server: Server, port: int) -> str:
    url = f"http://127.0.0.1:{port}/events/counting"
    async with make_client(url) as client:
        findings = judge(await examine(Options(url=url, seconds=4), client))
    told = [
        f"{finding.complaint.code} ({finding.seen})" for finding in findings if finding.complaint
    ]
    return "; ".join(word for word in told if "six-connections" not in word) or "nothing wrong"


async def run(name: str) -> None:
    program, version, configure = OTHERS[name]
    path = shutil.which(program, path=SEARCH_PATH)
    if path is None:
        print(f"{name}: not installed")  # noqa: T201
        return
    told = subprocess.run([path, *version], capture_output=True, text=True, check=False)
    number = re.search(r"\d+\.\d+(\.\d+)?", told.stdout + told.stderr)
    app = hypercorn("tests.proxies.apps:behind", expect_errors=True)
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # some take another user's rights
        async with app as server:
            place = Place(Path(folder), free_port(), server.port)
            command = [path, *map(str, configure(place))]
            env = {"PROXY_CONFIG_CONFIG_DIR": folder, "NEXT_TELEMETRY_DISABLED": "1"}
            process = await Process.start(command, place.folder / "log", env=env)
            try:
                await listening(place.port, process)
                await ready(place.port)
                found = await seen(server, place.port)
            except trio.TooSlowError as exc:
                exc.add_note(f"The log of {name}:\n{process.log()}")
                raise
            finally:
                await process.stop()
    print(f"{name} {number[0] if number else '?'}")  # noqa: T201
    for what, words in found.items():
        print(f"    {what}: {words}")  # noqa: T201


async def main(names: list[str]) -> None:
    for name in names or OTHERS:
        await run(name)


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])
