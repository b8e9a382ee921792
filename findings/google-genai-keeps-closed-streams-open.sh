#!/bin/sh
# google-genai 3.6.1 (with httpx2 2.16.2 as its client, on Trio 0.35.0)
#
# Expected: `await answer.aclose()` on the stream of generate_content_stream, after the first words
#   were enough, closes the connection: it is the way to leave an async generator in good order.
# Instead: it returns, and the connection stays open, with the model writing on. Only when the
#   cyclic garbage collector runs is it closed, seconds or minutes later.
# Matters: whoever cancels an answer because its reader has left pays for the rest of it. Cancelling
#   while the SDK waits for the next word does close at once; only leaving between two words does
#   not.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    google-genai==3.6.1 httpx2==2.16.2 trio==0.35.0

cat > seen.py <<'PYTHON'
import functools
import gc
import json
import sys

import httpx2
import trio
from google import genai

sys.unraisablehook = lambda event: None  # the collector's own complaints are not the point
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
content = {"role": "model", "parts": [{"text": "word "}]}
EVENT = f"data: {json.dumps({'candidates': [{'content': content, 'index': 0}]})}\n\n".encode()
closed = trio.Event()


async def api(stream):
    await stream.receive_some()
    try:
        await stream.send_all(HEAD)
        while True:
            await stream.send_all(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
            await trio.sleep(0.1)
    except trio.BrokenResourceError:
        closed.set()


async def is_closed_within(seconds):
    with trio.move_on_after(seconds):
        await closed.wait()
    return closed.is_set()


async def ask(url, leave):
    """Takes three words, leaves, and tells whether the API saw it."""
    global closed
    closed = trio.Event()
    async with httpx2.AsyncClient() as http:
        options = {"base_url": url, "httpx_async_client": http}
        client = genai.Client(api_key="none", http_options=options)
        answer = await client.aio.models.generate_content_stream(model="m", contents="Talk.")
        for _ in range(3):
            await anext(answer)
        await leave(answer)
        before = await is_closed_within(2)
        del answer
        gc.collect()
        return before, await is_closed_within(2)


async def aclose(answer):
    await answer.aclose()


async def cancel_a_read(answer):
    with trio.move_on_after(0.05):
        await anext(answer)


async def main():
    gc.disable()  # it would come by chance otherwise
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            serve = functools.partial(trio.serve_tcp, api, 0, host="127.0.0.1")
            [listener] = await nursery.start(serve)
            url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
            cancelled = await ask(url, cancel_a_read)
            left = await ask(url, aclose)
            nursery.cancel_scope.cancel()
    print(f"(closed after 2 s, closed once garbage was collected): cancelled {cancelled}, left {left}")
    assert cancelled == (True, True)
    assert left == (False, True)


trio.run(main)
PYTHON
timeout 60 venv/bin/python seen.py
