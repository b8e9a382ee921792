"""A room: whoever holds a stream sends into it, here from the requests of others.

    hypercorn --worker-class trio examples.value:app
    curl -N http://127.0.0.1:8000/listen                 # in some terminals
    curl http://127.0.0.1:8000/say -d "hello, all"       # in another

Known limits: one process, no history, and who is 256 events behind misses some. Topics have none
of these limits: publish to a topic, and answer with a stream of its subscription.
"""

from typing import Any

import trio

from trio_stream import Stream, StreamApp, encode, stream_app

listeners: set[Stream] = set()


async def leave_at_the_end(stream: Stream) -> None:
    try:
        await trio.sleep_forever()
    finally:
        listeners.discard(stream)  # whichever way the stream ended


def listen() -> Stream:
    stream = Stream(event="said")
    stream.start_soon(leave_at_the_end, stream)  # in the stream's nursery, once it is served
    listeners.add(stream)
    stream.send_nowait(f"you are number {len(listeners)}", event="welcome")  # queued until then
    return stream


def say(text: str) -> str:
    event = encode(text, event="said")  # once, however many listen
    missed = Stream.send_to_all_nowait(listeners, event)
    heard = len(listeners) - len(missed.full) - len(missed.ended)
    return f"said to {heard} of {len(listeners)}\n"


@stream_app(format="text", status=404)
async def missing(stream: Stream) -> None:
    await stream.send("GET /listen, or POST to /say\n")


async def app(scope: Any, receive: Any, send: Any) -> None:
    answer: Stream | StreamApp = missing  # a whole app: it also runs the lifespan
    if scope.get("path") == "/listen":
        answer = listen()
    elif scope.get("path") == "/say":
        message = await receive()
        answer = Stream([say(message["body"].decode(errors="replace"))], format="text")
    await answer(scope, receive, send)
