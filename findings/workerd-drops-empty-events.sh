#!/bin/sh
# workerd 1.20261117.1, its EventSource, as in Cloudflare's Workers (npm, on Node 20), beside
# eventsource 4.1.1
#
# Expected: an event with a `data:` line is an event, though nothing stands behind the colon; and
#   lines that end in CR LF may be cut between the two by the network.
# Instead: an event whose data is empty is not dispatched, whatever its name. If the cut falls
#   between a CR and its LF, both count as line ends: an event of two lines is two events.
# Matters: "done", "refresh", or a ping that a program can see need no data. A worker that waits for
#   one waits for ever, where browsers and Node go on.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit workerd@1.20261117.1 eventsource@4.1.1

cat > worker.js <<'JAVASCRIPT'
import { read } from './read.mjs'
export default {
  async fetch(request) {
    const url = new URL(request.url).searchParams.get('url')
    return Response.json(await read(EventSource, url))
  },
}
JAVASCRIPT
cat > read.mjs <<'JAVASCRIPT'
export function read(EventSource, url) {
  return new Promise(done => {
    const events = []
    const source = new EventSource(url)
    source.onmessage = event => events.push(`message: ${event.data}`)
    source.addEventListener('refresh', event => events.push(`refresh: ${event.data}`))
    source.onerror = () => (source.close(), done(events))
  })
}
JAVASCRIPT
cat > workerd.capnp <<'CAPNP'
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [
        (name = "worker.js", esModule = embed "worker.js"),
        (name = "read.mjs", esModule = embed "read.mjs"),
      ],
      compatibilityDate = "2026-01-01",
    )),
    (name = "internet", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", http = (), service = "main")],
);
CAPNP

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { EventSource } from 'eventsource'
import { read } from './read.mjs'

const PIECES = ['data:\n\n', 'event: refresh\ndata:\n\n', 'data: one\r', '\ndata: event\r\n\r\n']
const server = http.createServer(async (request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' })
  for (const piece of PIECES) {
    response.write(piece)
    await sleep(200)
  }
  response.end()
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${server.address().port}/`

const probe = net.createServer().listen(0, '127.0.0.1')
await once(probe, 'listening')
const address = `127.0.0.1:${probe.address().port}`
probe.close()
const command = ['serve', '--socket-addr', `http=${address}`, 'workerd.capnp']
const workerd = spawn('node_modules/.bin/workerd', command, { stdio: 'inherit' })
try {
  let answer
  for (let tries = 0; !answer && tries < 100; tries++)
    answer = await fetch(`http://${address}/?url=${url}`).catch(() => sleep(100))
  const seen = { workerd: await answer.json(), eventsource: await read(EventSource, url) }
  console.log(seen)
  assert.deepStrictEqual(seen, {
    workerd: ['message: one', 'message: event'],
    eventsource: ['message: ', 'refresh: ', 'message: one\nevent'],
  })
} finally {
  workerd.kill()
}
process.exit()
JAVASCRIPT
timeout 60 node seen.mjs
