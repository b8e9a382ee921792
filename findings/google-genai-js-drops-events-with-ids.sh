#!/bin/sh
# @google/genai 2.32.0 (npm, on Node 20)
#
# Expected: `id:`, `event:` and `retry:` lines above `data:` are ordinary parts of an event; who has
#   no use for them skips them.
# Instead: an event is only seen if `data:` is its very first line. With an id in each event the
#   answer is empty, with one `retry:` above the first event its first token is gone, with a comment
#   above an event that token. No error, no warning.
# Matters: a gateway that adds ids to make answers resumable, or puts heartbeats right above the
#   next event, is read by all other SDKs and takes words out of this one's answers.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit @google/genai@2.32.0

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import http from 'node:http'
import { GoogleGenAI } from '@google/genai'

const token = text => {
  const content = { role: 'model', parts: [{ text }] }
  return `data: ${JSON.stringify({ candidates: [{ content, index: 0 }] })}\n\n`
}
const streams = {
  plain: [token('one'), token(' two'), token(' three')],
  ids: ['id: 1\n' + token('one'), 'id: 2\n' + token(' two'), 'id: 3\n' + token(' three')],
  retry: ['retry: 3000\n' + token('one'), token(' two'), token(' three')],
  heartbeat: [token('one'), ': still here\n' + token(' two'), token(' three')],
}

async function read(events) {
  const server = http.createServer((request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.end(events.join(''))
  })
  await new Promise(done => server.listen(0, '127.0.0.1', done))
  const baseUrl = `http://127.0.0.1:${server.address().port}`
  const client = new GoogleGenAI({ apiKey: 'none', httpOptions: { baseUrl } })
  let text = ''
  for await (const chunk of await client.models.generateContentStream({ model: 'm', contents: 'Count.' }))
    text += chunk.text
  server.close()
  return text
}

const seen = {}
for (const [name, events] of Object.entries(streams)) seen[name] = await read(events)
console.log(seen)
assert.deepStrictEqual(seen, {
  plain: 'one two three',
  ids: '',
  retry: ' two three',
  heartbeat: 'one three',
})
process.exit() // without waiting for connections that are kept alive
JAVASCRIPT
timeout 60 node seen.mjs
