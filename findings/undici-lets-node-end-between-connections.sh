#!/bin/sh
# undici 7.30.2's EventSource, beside eventsource 4.1.1 (npm, on Node 20)
#
# Expected: a program that has an open EventSource goes on until that is closed, as it does with a
#   server, an interval or eventsource's class.
# Instead: undici's timer for coming back is one that Node need not wait for (unref). A program that
#   does nothing but listen ends when its server first ends a response: no error, exit code 0.
# Matters: it is the class behind Node's own --experimental-eventsource. A worker that listens for
#   jobs lives until its server is first restarted, and its supervisor sees a program that is done.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit undici@7.30.2 eventsource@4.1.1

cat > listen.mjs <<'JAVASCRIPT'
const [library, url] = process.argv.slice(2)
const { EventSource } = await import(library)
const source = new EventSource(url)
source.onerror = () => {} // each end of a response; it comes back
source.onmessage = event => {
  process.stdout.write(`${event.data} `)
  if (event.data === 'three') source.close()
}
JAVASCRIPT

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'

async function listen(library) {
  const left = ['one', 'two', 'three']
  const server = http.createServer((request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', Connection: 'close' })
    response.end(`retry: 100\ndata: ${left.shift()}\n\n`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}/`
  const program = spawn(process.execPath, ['listen.mjs', library, url], { timeout: 20_000 })
  let events = ''
  program.stdout.on('data', text => (events += text))
  const [code] = await once(program, 'close')
  server.close()
  return { events: events.trim(), code }
}

const seen = { undici: await listen('undici'), eventsource: await listen('eventsource') }
console.log(seen)
assert.deepStrictEqual(seen, {
  undici: { events: 'one', code: 0 },
  eventsource: { events: 'one two three', code: 0 },
})
process.exit()
JAVASCRIPT
timeout 60 node seen.mjs
