// Measures npm's eventsource-parser: node decode.mjs NODE_MODULES FILE PIECE_SIZE
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { createRequire } from 'node:module'

const [modules, file, size] = process.argv.slice(2)
const require = createRequire(pathToFileURL(modules + '/'))
const { createParser } = await import(pathToFileURL(require.resolve('eventsource-parser')))

const wire = readFileSync(file)
const pieces = []
for (let start = 0; start < wire.length; start += Number(size)) {
  pieces.push(wire.subarray(start, start + Number(size)))
}

function run() {
  let count = 0
  const parser = createParser({ onEvent: () => { count += 1 } })
  const text = new TextDecoder()
  for (const piece of pieces) parser.feed(text.decode(piece, { stream: true }))
  return count
}

// Long enough for the compiler to have done what it does.
const warm = performance.now() + 300
let count = run()
while (performance.now() < warm) count = run()

const started = performance.now()
run()
const seconds = (performance.now() - started) / 1000
console.log(JSON.stringify({ count, seconds }))
