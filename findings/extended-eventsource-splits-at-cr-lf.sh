#!/bin/sh
# extended-eventsource 2.1.0 (npm, on Node 20)
#
# Expected: lines may end in CR LF, and where the network cuts the bytes in two means nothing.
# Instead: if the cut falls between a CR and its LF, both count as line ends. Each such cut after a
#   blank line is an empty "message" event more; one inside an event of several lines makes two of
#   it.
# Matters: sse-starlette and Litestar write CR LF. As proxies and TLS cut where they like, the
#   phantom comes seldom and never in a test on one's own machine; JSON.parse("") is what it usually
#   ends in.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit extended-eventsource@2.1.0

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { EventSource } from 'extended-eventsource'

console.warn = console.error = () => {} // it tells of each reconnection

async function read(pieces) {
  const server = http.createServer(async (request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    for (const piece of pieces) {
      response.write(piece)
      await sleep(50)
    }
    response.write('event: done\r\ndata: .\r\n\r\n')
  })
  await new Promise(done => server.listen(0, '127.0.0.1', done))
  const seen = []
  const source = new EventSource(`http://127.0.0.1:${server.address().port}/`)
  source.onmessage = event => seen.push(event.data)
  await new Promise(done => source.addEventListener('done', done))
  source.close()
  server.close()
  return seen
}

const seen = {
  whole: await read(['data: one\r\ndata: two\r\n\r\n']),
  'cut after the event': await read(['data: one\r\ndata: two\r\n\r', '\n']),
  'cut inside it': await read(['data: one\r', '\ndata: two\r\n\r\n']),
}
console.log(seen)
assert.deepStrictEqual(seen.whole, ['one\ntwo'])
assert.deepStrictEqual(seen['cut after the event'], ['one\ntwo', ''])
assert.deepStrictEqual(seen['cut inside it'], ['one', 'two'])
process.exit()
JAVASCRIPT
timeout 60 node seen.mjs
