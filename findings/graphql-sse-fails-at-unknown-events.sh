#!/bin/sh
# graphql-sse 2.6.1 (npm, on Node 20), its client
#
# Expected: an event with a name that a client does not know is skipped, as an EventSource does
#   where nobody listens to the name; that is what lets a server add events of its own.
# Instead: any name but `next` and `complete`, and any event without a name, fails the whole
#   subscription, also after results have come. Only comments are safe.
# Matters: a server or proxy whose heartbeat is an event (the kind that a page can see) or that
#   tells of a gap in the stream breaks every GraphQL subscription that passes it.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit graphql-sse@2.6.1 graphql@16.15.0

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import http from 'node:http'
import { createClient } from 'graphql-sse'

const next = n => `event: next\ndata: {"data":{"n":${n}}}\n\n`
const complete = 'event: complete\ndata:\n\n'
const streams = {
  comment: ': still here\n\n',
  'named heartbeat': 'event: heartbeat\ndata: {}\n\n',
  'unnamed event': 'data: {}\n\n',
}

async function read(between) {
  const server = http.createServer((request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.write(next(1))
    setTimeout(() => response.end(between + next(2) + complete), 200)
  })
  await new Promise(done => server.listen(0, '127.0.0.1', done))
  const url = `http://127.0.0.1:${server.address().port}/`
  const client = createClient({ url, retryAttempts: 0 })
  const seen = []
  await new Promise(done =>
    client.subscribe(
      { query: 'subscription { n }' },
      {
        next: result => seen.push(result.data.n),
        error: error => done(seen.push(error.message)),
        complete: () => done(seen.push('complete')),
      },
    ),
  )
  server.close()
  return seen
}

const seen = {}
for (const [name, between] of Object.entries(streams)) seen[name] = await read(between)
console.log(seen)
assert.deepStrictEqual(seen, {
  comment: [1, 2, 'complete'],
  'named heartbeat': [1, 'Invalid stream event "heartbeat"'],
  'unnamed event': [1, 'Missing message event'],
})
process.exit()
JAVASCRIPT
timeout 60 node seen.mjs
