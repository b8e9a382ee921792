"""The whole program: three words, a second apart.

    hypercorn --worker-class trio examples.hello:app     # then: curl -N http://127.0.0.1:8000

Known limits: it answers every path and method alike. A browser's EventSource comes back for more
when the stream has ended; see examples/demo.py for an event that tells it not to.
"""

from trio_stream import Stream, stream_app


@stream_app
async def app(stream: Stream) -> None:
    await stream.send("hello")
    await stream.wait(1)  # seconds, as everywhere in Trio
    await stream.send("streaming")
    await stream.wait(1)
    await stream.send("world")  # returning ends the stream
