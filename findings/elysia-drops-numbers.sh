#!/bin/sh
# Elysia 1.4.30 on Bun 1.4.5 (npm)
#
# Expected: sse({ data: 0 }) sends `data: 0`, as sse({ data: { n: 0 } }) sends `data: {"n":0}`.
# Instead: numbers and booleans, 0, 5 and true alike, send nothing at all: no event, no error. And a
#   text of two lines goes out behind one `data:`, so that clients see its first line only.
# Matters: a progress bar that yields percentages, a counter, a done flag: the stream is open, 200,
#   and empty. It is found by looking at the bytes.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit elysia@1.4.30 bun@1.4.5

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import { Elysia, sse } from 'elysia'

const app = new Elysia()
  .get('/', async function* () {
    yield sse({ data: 0 })
    yield sse({ data: 5 })
    yield sse({ data: true })
    yield sse({ data: { n: 0 } })
    yield sse({ data: 'first line\nsecond line' })
    yield sse({ event: 'end', data: 'text' })
  })
  .listen({ port: 0, hostname: '127.0.0.1' })

const response = await fetch(`http://127.0.0.1:${app.server.port}/`)
const text = await response.text()
console.log(`Bun ${Bun.version}:`, response.status, response.headers.get('content-type'), JSON.stringify(text))
assert.strictEqual(
  text,
  'data: {"n":0}\n\n' + 'data: first line\nsecond line\n\n' + 'event: end\ndata: text\n\n',
)
process.exit()
JAVASCRIPT
timeout 60 node_modules/.bin/bun seen.mjs
