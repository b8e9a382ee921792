#!/bin/sh
# ai 6.0.326 (the AI SDK) and @ag-ui/client 1.0.0 (npm, on Node 20)
#
# Expected: both protocols have a last event ("finish", RUN_FINISHED), so a stream that ends without
#   it was cut off, and the client says so.
# Instead: if the HTTP response itself ends properly, both are content. The AI SDK's message ends
#   without an error, AG-UI's runAgent resolves with the half message as its result.
# Matters: servers that shut down gracefully, and several proxies whose upstream broke off, end a
#   response in just this way. The user reads half an answer and nobody offers to try again.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit ai@6.0.326 @ag-ui/client@1.0.0

cat > seen.mjs <<'JAVASCRIPT'
import assert from 'node:assert'
import http from 'node:http'
import { HttpAgent } from '@ag-ui/client'
import { DefaultChatTransport, readUIMessageStream } from 'ai'

async function serve(events) {
  const server = http.createServer((request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.end(events.map(event => `data: ${JSON.stringify(event)}\n\n`).join(''))
  })
  await new Promise(done => server.listen(0, '127.0.0.1', done))
  return `http://127.0.0.1:${server.address().port}/`
}

async function byAiSdk() {
  const api = await serve([
    { type: 'start' },
    { type: 'text-start', id: '1' },
    { type: 'text-delta', id: '1', delta: 'Take two pills, but never' },
    // text-end and finish, and the rest of the text, did not come
  ])
  const transport = new DefaultChatTransport({ api })
  const stream = await transport.sendMessages({ trigger: 'submit-message', chatId: '1', messages: [] })
  const errors = []
  let message
  const messages = readUIMessageStream({ stream, onError: error => errors.push(error) })
  for await (message of messages);
  return { text: message.parts[0].text, errors }
}

async function byAgUi() {
  const url = await serve([
    { type: 'RUN_STARTED', threadId: '1', runId: '1' },
    { type: 'TEXT_MESSAGE_START', messageId: '1', role: 'assistant' },
    { type: 'TEXT_MESSAGE_CONTENT', messageId: '1', delta: 'Take two pills, but never' },
    // TEXT_MESSAGE_END and RUN_FINISHED, and the rest of the text, did not come
  ])
  const errors = []
  const agent = new HttpAgent({ url, threadId: '1' })
  const { newMessages } = await agent.runAgent(
    { runId: '1' },
    { onRunFailed: ({ error }) => errors.push(error), onRunErrorEvent: ({ event }) => errors.push(event) },
  )
  return { text: newMessages[0].content, errors }
}

const seen = { 'AI SDK': await byAiSdk(), 'AG-UI': await byAgUi() }
console.log(seen)
const half = { text: 'Take two pills, but never', errors: [] }
assert.deepStrictEqual(seen, { 'AI SDK': half, 'AG-UI': half })
process.exit()
JAVASCRIPT
timeout 60 node seen.mjs
