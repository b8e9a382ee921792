"""HTTP by hand on a bare connection, for clients that leave in the middle or break the rules."""

import trio

#: The headers by which a server knows an EventSource.
EVENT_SOURCE = {"accept": "text/event-stream", "cache-control": "no-cache"}
AS_EVENT_SOURCE = tuple(f"{name}: {value}" for name, value in EVENT_SOURCE.items())


async def send_request(
    stream: trio.abc.Stream,
    path: str,
    *headers: str,
    method: str = "GET",
    version: str = "1.1",
    body: bytes = b"",
) -> None:
    """Send one request; a `body` gets its `content-length`."""
    lines = [f"{method} {path} HTTP/{version}", "host: localhost", *headers]
    if body:
        lines.append(f"content-length: {len(body)}")
    await stream.send_all("\r\n".join([*lines, "", ""]).encode() + body)


async def read_until(stream: trio.abc.Stream, wanted: bytes, *, within: float = 60) -> bytes:
    """All that comes, up to the piece with which `wanted` is whole."""
    received = b""
    with trio.fail_after(within):
        while wanted not in received:
            piece = await stream.receive_some()
            assert piece, f"the server hung up after {received!r}"
            received += piece
    return received


async def read_to_end(stream: trio.abc.Stream, *, within: float = 60) -> bytes:
    """All that comes until the server hangs up."""
    received = b""
    with trio.fail_after(within):
        while piece := await stream.receive_some():
            received += piece
    return received
