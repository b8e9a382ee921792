// @elysiajs/stream on Bun, in its automatic mode: a generator is handed to Stream.
// Not its manual mode (a callback), in which the process does not outlive a run.
import { dlopen, FFIType, ptr } from "bun:ffi";
import { Elysia } from "elysia";
import { Stream } from "@elysiajs/stream";

const TEXT = "a short string";
const INTERVAL = 50; // ms

// Stream reads its generator without any backpressure, so it steps back for others from time to time.
// Of 1, 8, 64, 256 and 1024 the last was fastest.
const BATCH = 1024;
const stepBack = () => new Promise<void>((resolve) => setImmediate(resolve));

// Bun's clock counts from the start of the process; the load generator reads CLOCK_MONOTONIC.
const { clock_gettime } = dlopen("libc.so.6", {
  clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
}).symbols;
const timespec = new BigInt64Array(2);
function difference() {
  clock_gettime(1, ptr(timespec));
  return Number(timespec[0] * 1_000_000_000n + timespec[1]) - Bun.nanoseconds();
}
// The largest: taken when nothing came between the two readings.
const offset = Math.max(...Array.from({ length: 1000 }, difference));
const now = () => String(Math.trunc(offset + Bun.nanoseconds()));

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const sentinel = new TextEncoder().encode(":\n\n");

async function* flood() {
  for (let count = 1; ; count++) {
    yield TEXT;
    if (count % BATCH === 0) await stepBack();
  }
}

async function* ticks() {
  for (;;) {
    await wait(INTERVAL);
    yield now();
  }
}

async function* idle() {
  yield sentinel; // without a first byte Bun holds back the headers
  await new Promise(() => {});
}

// Everyone waits for one promise, renewed at each publish: the cheapest hub of all.
let next = Promise.withResolvers<string>();
setInterval(() => {
  const current = next;
  next = Promise.withResolvers<string>();
  current.resolve(now());
}, INTERVAL);

async function* fanout() {
  yield sentinel;
  for (;;) yield await next.promise;
}

const answer = (source: () => AsyncGenerator) => ({ set }: { set: { headers: Record<string, string> } }) => {
  set.headers["content-type"] = "text/event-stream; charset=utf-8"; // text/plain otherwise
  return new Stream(source());
};

new Elysia()
  .get("/flood", answer(flood))
  .get("/ticks", answer(ticks))
  .get("/idle", answer(idle))
  .get("/fanout", answer(fanout))
  .listen({ hostname: "127.0.0.1", port: Number(process.argv[2]), idleTimeout: 255 });
