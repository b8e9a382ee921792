#!/bin/sh
# @hey-api/openapi-ts 0.95.0, its client for fetch (npm, on Node 20; run by tsx 4.23.15)
#
# Expected: a generated client asks again, when a stream breaks off, at most where that has no
#   effects; a loop over the stream that is left closes the connection, as `break` does with any
#   other async generator of responses; and a text comes out as the text that was sent.
# Instead: a POST is sent again, and what has come already comes out once more. After `break` the
#   connection stays open. And a text which happens to be JSON is parsed: the words 42 and true are
#   a number and a boolean, a quoted word loses its quotes; blanks at the beginning go, too.
# Matters: it is what FastAPI's documentation points to for TypeScript. An answer that breaks off is
#   asked for again, and paid, until it comes whole; one that a user has left is written to its end;
#   and words that are glued to each other are not always texts.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
echo '{ "type": "module" }' > package.json
npm install --silent --no-fund --no-audit @hey-api/openapi-ts@0.95.0 tsx@4.23.15 typescript@5.9.3

cat > openapi.json <<'JSON'
{
  "openapi": "3.1.0",
  "info": { "title": "chat", "version": "1" },
  "paths": {
    "/chat": {
      "post": {
        "operationId": "chat",
        "responses": {
          "200": {
            "description": "tokens",
            "content": { "text/event-stream": { "schema": { "type": "string" } } }
          }
        }
      }
    }
  }
}
JSON
npx openapi-ts -i openapi.json -o client -c @hey-api/client-fetch > generated.log

cat > seen.ts <<'TYPESCRIPT'
import assert from 'node:assert'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { client } from './client/client.gen'
import { chat } from './client/sdk.gen'

const WORDS = ['The', ' answer', 'is', '42', 'true', '"or"']
let asked = 0
let breaks = true // after the words; else the stream goes on
let closed = false
const server = http.createServer((request, response) => {
  asked++
  response.writeHead(200, { 'Content-Type': 'text/event-stream' })
  response.write(WORDS.map(word => `data: ${word}\n\n`).join(''))
  if (breaks) setTimeout(() => (asked < 3 ? response.destroy() : response.end()), 200)
  response.on('close', () => (closed = true))
})
await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening))
client.setConfig({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })

const words: unknown[] = []
const answer = await chat({ sseDefaultRetryDelay: 50 })
for await (const word of answer.stream) words.push(word)
console.log(`one call: ${asked} POSTs`, words)

breaks = closed = false
const left = await chat()
for await (const word of left.stream) break
await new Promise(done => setTimeout(done, 2000))
console.log(`2 s after break: the connection is ${closed ? 'closed' : 'open'}`)

const seen = ['The', 'answer', 'is', 42, true, 'or']
assert.deepStrictEqual(words, [...seen, ...seen, ...seen])
assert.equal(asked, 4)
assert(!closed)
process.exit()
TYPESCRIPT
timeout 60 npx tsx seen.ts
