#!/bin/sh
# launchdarkly-eventsource 2.2.0 (npm, on Node 20; Node 19 and newer)
#
# Expected: without its option readTimeoutMillis a silent stream is kept open.
# Instead: after 5 seconds of silence it reports "Read timeout, received no data in undefinedms",
#   drops the connection and opens another. Since Node 19 the global agent gives its sockets a
#   timeout of 5 s, and the library takes that timeout's event for its own.
# Matters: heartbeats come every 15 s or more as a rule. A quiet stream is a new request every 5 s
#   for each client; what is published in between is lost where nothing can be resumed.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit launchdarkly-eventsource@2.2.0

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import launchdarkly from 'launchdarkly-eventsource'

let requests = 0
const server = http.createServer(async (request, response) => {
  requests += 1
  response.writeHead(200, { 'Content-Type': 'text/event-stream' })
  response.write(': hello\n\n')
})
await new Promise(done => server.listen(0, '127.0.0.1', done))
const url = `http://127.0.0.1:${server.address().port}/`

async function silence(what, options) {
  requests = 0
  const errors = []
  const source = new launchdarkly.EventSource(url, options)
  source.onerror = error => errors.push(error.message)
  await sleep(8000)
  source.close()
  const seen = { requests, errors }
  console.log(`8 seconds of silence, ${what}:`, seen)
  return seen
}

const message = 'Read timeout, received no data in undefinedms, assuming connection is dead'
assert.deepStrictEqual(await silence('defaults'), { requests: 2, errors: [message] })
assert.deepStrictEqual(await silence('an agent of its own', { agent: new http.Agent() }), { requests: 1, errors: [] })
process.exit()
JAVASCRIPT
timeout 60 node seen.mjs
