#!/bin/sh
# http-proxy-middleware 2.0.12 and 3.0.11, with http-proxy 1.18.1, beside 4.2.2 (npm, on Express
# 5.3.0, Node 20)
#
# Expected: when the upstream's connection is closed in the middle of a response, the proxy ends its
#   own response, so that the client knows. Version 4.2.2 closes the connection at once.
# Instead: versions 2 and 3 keep the client's connection open and are silent: nothing more comes in
#   15 s, neither an end nor an error.
# Matters: the application is restarted, and every page behind the proxy goes on waiting: an
#   EventSource that hears of no end does not connect again. webpack-dev-server 5.2.7 proxies by
#   version 2, and in development applications are restarted most.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
for version in 2.0.12 3.0.11 4.2.2; do
    mkdir $version
    echo '{}' > $version/package.json
    (cd $version && npm install --silent --no-fund --no-audit \
        http-proxy-middleware@$version express@5.3.0)
done

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import net from 'node:net'
import { createRequire } from 'node:module'

const WAIT = 15 // seconds
const HEAD = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n' +
  'Content-Type: text/event-stream\r\n\r\n'
const EVENT = '9\r\ndata: 1\n\n\r\n'
const listening = server =>
  new Promise(done => server.once('listening', () => done(server.address().port)))

const upstream = net.createServer(socket => {
  socket.on('error', () => {})
  socket.once('data', () => {
    socket.write(HEAD + EVENT)
    setTimeout(() => socket.end(), 300) // without a last chunk
  })
})
const origin = await listening(upstream.listen(0, '127.0.0.1'))

// What came of the body, and how it ended.
const ask = port => new Promise(done => {
  let received = ''
  const tell = end => done([received.slice(received.indexOf('\r\n\r\n') + 4), end])
  const socket = net.connect(port, '127.0.0.1')
  socket.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\n')
  socket.on('data', data => { received += data })
  socket.on('end', () => tell('closed'))
  setTimeout(() => { tell('open'); socket.destroy() }, WAIT * 1000).unref()
})

const through = async version => {
  const require = createRequire(new URL(`${version}/`, import.meta.url))
  const { createProxyMiddleware } = require('http-proxy-middleware')
  const proxy = createProxyMiddleware({ target: `http://127.0.0.1:${origin}` })
  return ask(await listening(require('express')().use(proxy).listen(0, '127.0.0.1')))
}

const seen = await Promise.all([ask(origin), ...['2.0.12', '3.0.11', '4.2.2'].map(through)])
for (const [index, name] of ['without a proxy', '2.0.12', '3.0.11', '4.2.2'].entries())
  console.log(`${name}: ${JSON.stringify(seen[index][0])}, in ${WAIT} s: ${seen[index][1]}`)
assert.deepStrictEqual(
  seen, [[EVENT, 'closed'], [EVENT, 'open'], [EVENT, 'open'], [EVENT, 'closed']],
)
process.exit()
JAVASCRIPT
timeout 60 node seen.mjs
