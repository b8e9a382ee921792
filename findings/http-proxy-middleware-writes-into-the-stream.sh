#!/bin/sh
# http-proxy-middleware 4.2.1 on Express 5.3.0 (npm, on Node 20)
#
# Expected: when the upstream's connection is reset in the middle of a response, the proxy breaks
#   its response off, so that the client knows.
# Instead: it writes "Error occurred while trying to proxy: HOST/PATH" into the body that is under
#   way, and ends it properly.
# Matters: the client has a complete response with a line in it that the upstream never sent. In an
#   event stream it is an unfinished line and vanishes; in JSON lines, CSV or a file it is the last
#   record. Development servers use this middleware, webpack's among them.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit http-proxy-middleware@4.2.1 express@5.3.0

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import net from 'node:net'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'

const listening = server => new Promise(done => server.once('listening', () => done(server.address().port)))
const head = 'HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n'

const upstream = net.createServer(socket => {
  socket.on('error', () => {})
  socket.once('data', () => {
    socket.write(head + '8\r\n{"n": 1}\r\n1\r\n\n\r\n')
    setTimeout(() => socket.resetAndDestroy(), 300)
  })
})
const target = `http://127.0.0.1:${await listening(upstream.listen(0, '127.0.0.1'))}`
const app = express().use(createProxyMiddleware({ target }))
const port = await listening(app.listen(0, '127.0.0.1'))

const response = await fetch(`http://127.0.0.1:${port}/export`)
const text = await response.text() // would be rejected if the body were cut off
console.log(response.status, JSON.stringify(text))
assert.strictEqual(response.status, 200)
assert.strictEqual(text, `{"n": 1}\nError occurred while trying to proxy: 127.0.0.1:${port}/export`)
process.exit()
JAVASCRIPT
timeout 60 node seen.mjs
