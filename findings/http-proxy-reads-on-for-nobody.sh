#!/bin/sh
# http-proxy 1.18.1 (npm, on Node 20), beside http-proxy-3 1.23.3
#
# Expected: when the client of a stream leaves, the proxy gives up its request to the upstream:
#   there is nobody to pass the events on to.
# Instead: it reads on, as long as the upstream writes, and throws away what comes. The upstream is
#   never told, and no write of its own fails. http-proxy-3, which Vite has taken, closes at once.
# Matters: each page that was closed, and each reconnection, leaves one stream more open in the
#   application behind it, with its task, its subscription and its model's answer, until one of the
#   two processes is restarted. It is the library under many a gateway of Node's.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund http-proxy@1.18.1 http-proxy-3@1.23.3

cat > seen.mjs <<'NODE'
import assert from 'node:assert'
import http from 'node:http'
import httpProxy from 'http-proxy'
import httpProxy3 from 'http-proxy-3'

const listen = server => new Promise(done => server.listen(0, '127.0.0.1', () => done(server)))
const url = server => `http://127.0.0.1:${server.address().port}`
const sleep = ms => new Promise(done => setTimeout(done, ms))

/** How many events the upstream has sent since the client left, and whether it was told. */
async function left(createProxyServer) {
  let sent = 0
  let told = false
  const upstream = await listen(http.createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const timer = setInterval(() => { response.write(`data: ${++sent}\n\n`) }, 50)
    response.on('close', () => { told = true; clearInterval(timer) })
  }))
  const proxy = createProxyServer({ target: url(upstream) })
  proxy.on('error', () => {})
  const front = await listen(http.createServer((request, response) => proxy.web(request, response)))
  await new Promise(done => {
    const request = http.get(url(front), { agent: false }, response => {
      response.once('data', () => { request.destroy(); done() })
      response.on('error', () => {})
    })
    request.on('error', () => {})
  })
  await sleep(200)
  const before = sent
  await sleep(3000)
  return { told, sent: sent - before }
}

const old = await left(options => httpProxy.createProxyServer(options))
const newer = await left(options => httpProxy3.createProxyServer(options))
console.log('since the client left, http-proxy:', old, 'http-proxy-3:', newer)
assert(!old.told && old.sent > 20)
assert(newer.told && newer.sent === 0)
process.exit(0)
NODE
timeout 60 node seen.mjs
