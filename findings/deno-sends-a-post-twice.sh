#!/bin/sh
# Deno 2.9.6 (npm: deno)
#
# Expected: fetch repeats a POST at most where the server cannot have acted on it. RFC 9110 says
#   that a client should not retry a request that is not idempotent by itself.
# Instead: when the server closes a kept-alive connection after it has received the POST completely,
#   Deno sends it again on a new connection and shows the second answer. The program learns of
#   neither.
# Matters: a server that restarts, or that dies while it works on the request, has done the first
#   one. What is published through Deno, or through a proxy written in it, can be published twice.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit deno@2.9.6

cat > post.mjs <<'JAVASCRIPT'
const [address] = globalThis.Deno?.args ?? process.argv.slice(2)
await (await fetch(address, { method: 'POST', body: 'first' })).text()
await new Promise(done => setTimeout(done, 200))
const response = await fetch(address, { method: 'POST', body: 'second' })
console.log(await response.text())
JAVASCRIPT

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import { execFile } from 'node:child_process'
import net from 'node:net'
import { promisify } from 'node:util'

const received = []
// Answers the first request on a connection; takes the second one, and closes.
const server = net.createServer(socket => {
  let requests = 0
  let text = ''
  socket.on('error', () => {})
  socket.on('data', data => {
    text += data
    const body = text.match(/\r\n\r\n(first|second)$/)
    if (!body) return
    text = ''
    requests += 1
    received.push(body[1])
    if (requests === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine')
    else socket.end()
  })
})
await new Promise(done => server.listen(0, '127.0.0.1', done))
const address = `http://127.0.0.1:${server.address().port}/`

const run = promisify(execFile)
const version = await run('node_modules/.bin/deno', ['--version'])
const { stdout } = await run('node_modules/.bin/deno', ['run', '--allow-net', 'post.mjs', address])
console.log(version.stdout.split('\n')[0], '|', stdout.trim(), '| the server received', received)
assert.deepStrictEqual(received, ['first', 'second', 'second'])
assert.strictEqual(stdout.trim(), 'fine')
process.exit()
JAVASCRIPT
timeout 60 node seen.mjs
