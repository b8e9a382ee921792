"""Streams on a Hypercorn that is not quite the expected one, and streams that know its insides.

$DEVIATION says what is done to Hypercorn before trio_stream is imported, or to each connection.
"""

import functools
import os
import socket
import sys
from collections import UserDict
from typing import Any

from hypercorn.protocol import h2
from hypercorn.trio import run, tcp_server

DEVIATION = os.environ["DEVIATION"]

# The tests' package has imported it: it is to be imported anew, when Hypercorn is another.
for name in [name for name in sys.modules if name.partition(".")[0] == "trio_stream"]:
    del sys.modules[name]

match DEVIATION:
    case "subclassed server":

        class OtherServer(tcp_server.TCPServer):
            pass

        run.TCPServer = OtherServer  # type: ignore[misc]
    case "moved module":
        sys.modules["hypercorn.trio.tcp_server"] = None  # type: ignore[assignment]
    case "moved class":
        StreamBuffer = h2.StreamBuffer
        del h2.StreamBuffer

import trio  # noqa: E402

from trio_stream import Stream  # noqa: E402
from trio_stream.transport.hypercorn.http1 import Http1Transport  # noqa: E402

from . import apps  # noqa: E402
from .apps import Message, Receive, Send  # noqa: E402

if DEVIATION == "moved class":
    h2.StreamBuffer = StreamBuffer  # Hypercorn itself has to find it
if DEVIATION == "nobody looks":
    # As if each client left right after the look whether it has.
    Http1Transport.is_gone = lambda self: False  # type: ignore[method-assign]


def deviate(send: Any) -> None:
    """What is different in one connection only."""
    protocol = send.__self__.send.__self__
    match DEVIATION:
        case "missing attribute":
            del protocol.task_group  # needed for the next request only
        case "another type":
            protocol.send.__self__.send_lock = trio.Semaphore(1)
        case "another type over HTTP/2" if hasattr(protocol, "stream_buffers"):
            protocol.stream_buffers = UserDict(protocol.stream_buffers)
        case "another type in h2" if hasattr(protocol, "stream_buffers"):
            protocol.connection._data_to_send = bytes(protocol.connection._data_to_send)
        case "wrapped method":
            own = protocol.send

            @functools.wraps(own)
            async def protocol_send(self: object, event: object) -> None:
                await own(event)

            protocol.send = protocol_send.__get__(own.__self__)


async def reuse(stream: Stream) -> None:
    """Hypercorn closes the connection, and in the same turn its number is another connection's."""
    await stream.send("first")
    await trio.sleep(0.1)
    stream.send_nowait("second")
    assert stream._state.transport.direct
    ours, theirs = socket.socketpair()
    number = stream._state.connection.socket.fileno()
    stream._state.connection.socket.close()
    os.dup2(ours.fileno(), number)
    errors = []
    for send in (stream.send_nowait, stream.send_nowait):
        try:
            send("secret")
        except trio.BrokenResourceError:
            errors.append("broken")
    with trio.CancelScope(shield=True):
        await trio.sleep(0.1)
    theirs.setblocking(False)
    try:
        foreign = theirs.recv(1000)
    except BlockingIOError:
        foreign = b""
    apps.note("reused", errors=errors, foreign=foreign.decode())
    os.close(number)
    ours.close()
    theirs.close()


async def cancelled(scope: Message, receive: Receive, send: Send) -> None:
    """An app that gives its stream half a second, and goes on after that."""
    with trio.move_on_after(0.5):
        await Stream(apps.flood)(scope, receive, send)
    apps.note("cancelled")
    await apps.LET_GO.wait()
    await send({"type": "http.response.body", "body": b"what comes next", "more_body": False})
    apps.note("returned", path=scope["path"])


apps.PRODUCERS["/reuse"] = reuse


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        deviate(send)
    if scope["type"] == "http" and scope["path"] == "/cancelled":
        await cancelled(scope, receive, send)
    else:
        serve = apps.deaf if DEVIATION == "nobody looks" else apps.direct
        await serve(scope, receive, send)
