#!/bin/sh
# @modelcontextprotocol/sdk 1.32.2 (npm, on Node 20), its client, beside mcp 2.3.0 (PyPI, Trio
# 0.35.0)
#
# Expected: the stream that was to bring a tool's result ends, or breaks off, without it. Nothing
#   else can bring it, as no event had an id to resume by; so the call fails at once, as Python's
#   does.
# Instead: the call goes on to wait, until its own timeout (60 s by itself) says "Request timed
#   out". A stream that ended properly is no error to anybody; of a broken one `onerror` hears, and
#   the call waits likewise.
# Matters: a server is restarted, or a proxy cuts off, and an agent stands still for a minute with
#   each tool that was running, and then blames the tool for being slow. Ids on all events let it
#   resume.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile mcp==2.3.0 trio==0.35.0
npm init -y > /dev/null
npm install --silent --no-audit --no-fund @modelcontextprotocol/sdk@1.32.2

cat > client.mjs <<'NODE'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

const client = new Client({ name: 'client', version: '1' })
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])))
for (const name of ['ends', 'breaks off']) {
  const begun = performance.now()
  const call = client.callTool({ name, arguments: {} }, undefined, { timeout: 5000 })
  const error = await call.then(() => null, error => error.message)
  console.log(JSON.stringify([name, error, (performance.now() - begun) / 1000]))
}
process.exit(0)
NODE

cat > client.py <<'PYTHON'
import json
import sys
import time

import trio
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


def leaves(error):
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in leaves(each)]
    return [error]


async def main():
    for name in ("ends", "breaks off"):
        begun, said = time.monotonic(), None
        try:
            async with Client(streamable_http_client(sys.argv[1])) as client:
                begun = time.monotonic()
                await client.call_tool(name, {}, read_timeout_seconds=30)
        except BaseException as error:
            said = str(leaves(error)[0])
        print(json.dumps([name, said, time.monotonic() - begun]))


trio.run(main)
PYTHON

cat > seen.py <<'PYTHON'
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """A server of tools, none of which ever gives its result."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if message["method"] == "tools/call":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            params = {"level": "info", "data": "begun"}
            notice = {"jsonrpc": "2.0", "method": "notifications/message", "params": params}
            event = f"data: {json.dumps(notice)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            if message["params"]["name"] == "ends":
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True
            return
        body = b""
        if message["method"] in ("initialize", "tools/list"):
            result = {"tools": []}
            if message["method"] == "initialize":
                result = {
                    "protocolVersion": message["params"]["protocolVersion"],
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "server", "version": "1"},
                }
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        elif "id" in message:
            error = {"code": -32601, "message": "Method not found"}
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}).encode()
        self.send_response(200 if body else 202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_DELETE = do_GET

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/mcp"
seen = {}
COMMANDS = {"TypeScript": ["node", "client.mjs"], "Python": ["venv/bin/python", "client.py"]}
for language, command in COMMANDS.items():
    out = subprocess.run([*command, url], stdout=subprocess.PIPE, text=True, check=True).stdout
    seen[language] = [json.loads(line) for line in out.splitlines()]
    for name, error, seconds in seen[language]:
        print(f"{language}: a call whose stream {name} says {error!r} after {seconds:.1f} s")
assert [each[0] for each in seen["Python"]] == ["ends", "breaks off"]
assert all("timed out" in error and seconds >= 4.9 for _, error, seconds in seen["TypeScript"])
assert all(error and "timed out" not in error for _, error, _ in seen["Python"])
PYTHON
timeout 100 python3 seen.py
