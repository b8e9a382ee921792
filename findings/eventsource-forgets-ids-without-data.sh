#!/bin/sh
# eventsource 4.1.1 and launchdarkly-eventsource 2.2.0, beside undici 7.30.2 (npm, on Node 20)
#
# Expected: a block that has an `id:` but no data is no event, yet the id counts: it is what the
#   next request says in Last-Event-ID. And an event without an id of its own bears the last one.
# Instead: the first two forget the id of such a block and reconnect without it, or with an older
#   one. In eventsource an event without an id has lastEventId "", too. undici does it right.
# Matters: that block is how a server tells a position at the start of a stream (MCP does), or moves
#   a client past events which it may not see. All of that is sent again, or the whole stream is.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit eventsource@4.1.1 launchdarkly-eventsource@2.2.0 undici@7.30.2

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import http from 'node:http'
import { EventSource as Eventsource } from 'eventsource'
import launchdarkly from 'launchdarkly-eventsource'
import { EventSource as Undici } from 'undici'

const answers = [
  'retry: 50\n\nid: 7\n\n', // only a position
  'id: 8\ndata: eight\n\ndata: no id of its own\n\nid: 9\n\n', // and a position again
]

function read(EventSource) {
  return new Promise(async done => {
    const asked = []
    const events = []
    const server = http.createServer((request, response) => {
      asked.push(request.headers['last-event-id'])
      response.writeHead(200, { 'Content-Type': 'text/event-stream', Connection: 'close' })
      response.end(answers[asked.length - 1] ?? ':\n\n')
      if (asked.length === 3) {
        source.close()
        server.close()
        done({ asked, events })
      }
    })
    await new Promise(listening => server.listen(0, '127.0.0.1', listening))
    const source = new EventSource(`http://127.0.0.1:${server.address().port}/`)
    source.onerror = () => {} // each end of a response
    source.onmessage = event => events.push(`${event.data}: ${event.lastEventId}`)
  })
}

const seen = {
  eventsource: await read(Eventsource),
  launchdarkly: await read(launchdarkly.EventSource),
  undici: await read(Undici),
}
console.log(seen)
const right = { asked: [undefined, '7', '9'], events: ['eight: 8', 'no id of its own: 8'] }
assert.deepStrictEqual(seen, {
  eventsource: { asked: [undefined, undefined, '8'], events: ['eight: 8', 'no id of its own: '] },
  launchdarkly: { ...right, asked: [undefined, undefined, '8'] },
  undici: right,
})
process.exit()
JAVASCRIPT
timeout 60 node seen.mjs
