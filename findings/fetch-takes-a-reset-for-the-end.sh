#!/bin/sh
# undici 7.30.2, axios 1.21.1, node-fetch 3.3.2, Bun 1.4.5 (npm, on Node 20) and aiohttp 3.14.5,
# beside Deno 2.9.6, httpx 0.28.1 and requests 2.34.2
#
# Expected: a response without chunks and without a length, as HTTP/1.0 and some proxies have it,
#   ends with its connection, unless that ends by an error (RFC 9112, 8). So its reset is an error:
#   there is no other way to tell that something is missing.
# Instead: for the first five a reset is the proper end. Where there are chunks all of them raise.
# Matters: a stream that fails behind such a proxy looks whole: half an answer, half an export.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    aiohttp==3.14.5 httpx==0.28.1 requests==2.34.2
npm install --silent --no-fund --no-audit undici@7.30.2 axios@1.21.1 node-fetch@3.3.2 \
    bun@1.4.5 deno@2.9.6

cat > read.mjs <<'JAVASCRIPT'
// Runs on Node, Deno and Bun. What each client has read, or that it failed.
const [url, ...names] = process.argv.slice(2)

async function bodyOf(pieces) {
  const decoder = new TextDecoder()
  let text = ''
  for await (const piece of pieces) text += decoder.decode(piece, { stream: true })
  return text
}

const clients = {
  fetch: async () => bodyOf((await fetch(url)).body),
  undici: async () => bodyOf((await (await import('undici')).fetch(url)).body),
  'node-fetch': async () => bodyOf((await (await import('node-fetch')).default(url)).body),
  axios: async () =>
    bodyOf((await (await import('axios')).default.get(url, { responseType: 'stream' })).data),
}
const seen = {}
for (const name of names) {
  try {
    seen[name] = `ends after ${(await clients[name]()).split('data').length - 1}`
  } catch {
    seen[name] = 'raises'
  }
}
console.log(JSON.stringify(seen))
process.exit()
JAVASCRIPT

cat > seen.py <<'PYTHON'
import asyncio
import json
import socket
import struct
import subprocess
import threading
import time

import aiohttp
import httpx
import requests

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
EVENT = b"data: x\n\n"


def answer(connection):
    path = connection.recv(4096).split()[1]
    if path == b"/chunked":
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        body = b"%x\r\n%b\r\n" % (len(EVENT), EVENT) * 2
    else:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        body = EVENT * 2
    connection.sendall(body)
    time.sleep(0.3)  # the client has read all of it
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()  # with a reset


def serve(listener):
    while True:
        threading.Thread(target=answer, args=[listener.accept()[0]], daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=[listener], daemon=True).start()


def by_httpx(url):
    with httpx.stream("GET", url) as response:
        return b"".join(response.iter_bytes())


def by_requests(url):
    return b"".join(requests.get(url, stream=True, timeout=20).iter_content(None))


def by_aiohttp(url):
    async def read():
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return b"".join([line async for line in response.content])

    return asyncio.run(read())


ERRORS = (httpx.TransportError, requests.RequestException, aiohttp.ClientError)


def tried(client, url):
    try:
        return f"ends after {client(url).count(b'data')}"
    except ERRORS:
        return "raises"


def read(path):
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{path}"

    def by(command, *names):
        command = [*command, "read.mjs", url, *names]
        return json.loads(subprocess.run(command, stdout=-1, check=True, timeout=40).stdout)

    seen = by(["node"], "undici", "axios", "node-fetch")
    seen["Bun"] = by(["node_modules/.bin/bun"], "fetch")["fetch"]
    seen["aiohttp"] = tried(by_aiohttp, url)
    seen["Deno"] = by(["node_modules/.bin/deno", "run", "--quiet", "-A"], "fetch")["fetch"]
    return seen | {"httpx": tried(by_httpx, url), "requests": tried(by_requests, url)}


chunked, plain = read("/chunked"), read("/plain")
print(f"{'reset':12} {'chunked':10} without a length")
for name in plain:
    print(f"{name:12} {chunked[name]:10} {plain[name]}")
assert set(chunked.values()) == {"raises"}
taken = [name for name in plain if plain[name] == "ends after 2"]
assert taken == ["undici", "axios", "node-fetch", "Bun", "aiohttp"]
assert all(plain[name] == "raises" for name in plain if name not in taken)
PYTHON
timeout 120 venv/bin/python seen.py
