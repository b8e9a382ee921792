"""nginx, HAProxy and Apache from Debian's packages, with the configurations of docs/proxies.md."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.support.need import need
from tests.support.processes import Process

PAGE = Path(__file__).parents[2] / "docs/proxies.md"
MODULES = "/usr/lib/apache2/modules"

NGINX = """
daemon off; pid {folder}/pid; error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{
        listen 127.0.0.1:{port};
        {text}
    }}
}}
"""

APACHE = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
ErrorLog /dev/stderr
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
User www-data
Group www-data
Listen 127.0.0.1:{port}
Timeout 300
{text}
"""


def documented(language: str) -> str:
    """The first configuration in this language on the page."""
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"no {language} on the page"
    return found[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def proxy(
    name: str, upstream: int, folder: Path, text: str | None = None
) -> AsyncIterator[int]:
    """Run this proxy in front of a server's port until the block ends; the port to ask.

    As the page configures it, or by this text. "haproxy http2" speaks that to the server.
    """
    name, _, http2 = name.partition(" ")
    [program] = need({"nginx": "nginx", "haproxy": "haproxy", "apache": "apache2"}[name])
    port = free_port()
    # No highlighter of the site's knows HAProxy's language.
    text = text or documented("text" if name == "haproxy" else name)
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    if name == "haproxy":
        text = text.replace("bind :80", f"bind 127.0.0.1:{port}")
        if http2:
            text = text.replace(f":{upstream}", f":{upstream} proto h2")
    else:
        frame = NGINX if name == "nginx" else APACHE
        text = frame.format(folder=folder, port=port, modules=MODULES, text=text)
    file = folder / f"{name}.conf"
    file.write_text(text)
    arguments = {
        "nginx": ["-c", file, "-p", folder],
        "haproxy": ["-db", "-f", file],
        "apache": ["-DFOREGROUND", "-f", file],
    }[name]
    process = await Process.start([program, *arguments], folder / "log")
    try:
        await listening(port, process)
        yield port
    except Exception as exc:
        exc.add_note(f"The log of {name}:\n{process.log()}")
        raise
    finally:
        await process.kill()


async def listening(port: int, process: Process) -> None:
    """Wait until something listens there."""
    with trio.fail_after(30):
        while True:
            assert process.returncode is None, process.log()
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                await trio.sleep(0.02)
            else:
                await stream.aclose()
                return
