#!/bin/sh
# eventsource 4.1.1, undici 7.30.2, @microsoft/fetch-event-source 2.0.1, launchdarkly-eventsource
# 2.2.0 (npm, on Node 20), beside Deno 2.9.6's EventSource (npm: deno)
#
# Expected: an id comes back in Last-Event-ID in the encoding that the HTML standard asks for, which
#   is UTF-8 for this header as for the stream itself. Browsers and Deno send it so.
# Instead: all four on Node send Latin-1, as Node does with all headers: what came as c3 a9 goes
#   back as e9.
# Matters: a server that reads the header as the standard says finds no UTF-8 in it, and one that
#   reads all headers as Latin-1, as most Python frameworks do, gets wrong what browsers send.
#   Either way some client's place is not found, and its stream begins anew or with a gap.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit eventsource@4.1.1 undici@7.30.2 \
    @microsoft/fetch-event-source@2.0.1 launchdarkly-eventsource@2.2.0 deno@2.9.6

cat > read.mjs <<'JAVASCRIPT'
// Runs on Node and on Deno; ends when its event source has come back for the second event.
const [name, url] = (globalThis.Deno?.args ?? process.argv.slice(2))
const classes = {
  deno: async () => globalThis.EventSource,
  eventsource: async () => (await import('eventsource')).EventSource,
  launchdarkly: async () => (await import('launchdarkly-eventsource')).default.EventSource,
  undici: async () => (await import('undici')).EventSource,
}

if (name === 'fetch-event-source') {
  // The two objects of a browser that it asks whether its page is seen.
  globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} }
  globalThis.window = globalThis
  const { fetchEventSource } = await import('@microsoft/fetch-event-source')
  fetchEventSource(url, {
    onmessage: event => event.data === 'two' && process.exit(),
    onclose() { throw new Error('come back') },
    onerror: () => 50,
  })
} else {
  const source = new (await classes[name]())(url)
  setTimeout(() => {}, 15_000) // undici's would let the process end while it waits
  source.onerror = () => {} // each end of a response
  source.onmessage = event => event.data === 'two' && (source.close(), globalThis.process.exit())
}
JAVASCRIPT

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'

async function read(name, ...command) {
  const sent = []
  const server = http.createServer((request, response) => {
    const id = request.headers['last-event-id']
    sent.push(id === undefined ? null : Buffer.from(id, 'latin1').toString('hex'))
    response.writeHead(200, { 'Content-Type': 'text/event-stream', Connection: 'close' })
    response.end(id === undefined ? 'retry: 50\nid: café\ndata: one\n\n' : 'data: two\n\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}/`
  const [program, ...options] = command
  await once(spawn(program, [...options, 'read.mjs', name, url], { timeout: 20_000 }), 'exit')
  server.close()
  return sent
}

const seen = { deno: await read('deno', 'node_modules/.bin/deno', 'run', '--quiet', '-A') }
for (const name of ['eventsource', 'undici', 'fetch-event-source', 'launchdarkly'])
  seen[name] = await read(name, process.execPath)
console.log(seen)
const latin1 = [null, '636166e9']
assert.deepStrictEqual(seen, {
  deno: [null, '636166c3a9'],
  eventsource: latin1,
  undici: latin1,
  'fetch-event-source': latin1,
  launchdarkly: latin1,
})
process.exit()
JAVASCRIPT
timeout 120 node seen.mjs
