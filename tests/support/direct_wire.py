"""A direct transport in memory: a connection whose client has as much room as a test says."""

from collections.abc import Callable
from math import inf

import trio

from tests.transport.support import body_of
from trio_stream import Stream
from trio_stream.codec import EncodedEvent, to_chunk
from trio_stream.stream.life.admission import Admission
from trio_stream.stream.life.lifetime import Lifetime
from trio_stream.stream.life.producer import produce
from trio_stream.transport.base import ClientGone, Headers, Transport


async def serve_by(transport: Transport, stream: Stream) -> None:
    """Serve a stream by this transport, past all that is asked of a request."""
    state = stream._state
    state.use_once("test")
    async with (lifetime := Lifetime(state, Admission(state), transport, None)):
        await produce(state)
        await lifetime.wait_written()


class DirectWire:
    """What Hypercorn's HTTP/1.1 in clear is to a stream; keeps what its client was sent."""

    sees_progress = False

    def __init__(self) -> None:
        self.direct = False
        self.last_write = trio.current_time()
        self.stuck_since: float | None = None
        self.headers: Headers = ()
        #: The response as it has arrived, and the bytes that are taken now.
        self.response = bytearray(b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.room: float = inf
        #: How often the same bytes were written as to others.
        self.shared = 0
        self._rest: bytes | memoryview = b""
        self._changed = trio.lowlevel.ParkingLot()
        self._gone = trio.Event()

    def take(self, room: float) -> None:
        """From now on the client takes so many bytes."""
        self.room = room
        self._changed.unpark_all()

    def leave(self) -> None:
        self._gone.set()
        self._changed.unpark_all()

    @property
    def body(self) -> tuple[bytes, bool]:
        return body_of(bytes(self.response))

    def _take(self, data: bytes | memoryview) -> int:
        if self._gone.is_set():
            raise BrokenPipeError
        size = int(min(self.room, len(data)))
        self.room -= size
        self.response += data[:size]
        return size

    begins_at_once = True

    async def begin(self, status: int, headers: Headers, first: Callable[[], bytes]) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        self.headers = headers
        self.direct = True
        self.write_nowait(first())

    async def start(self, status: int, headers: Headers) -> None:
        self.headers = headers
        self.direct = True

    async def write(self, data: bytes) -> None:
        rest = memoryview(bytes(self._rest) + to_chunk(bytes(data)))
        self._rest = b""
        await self._write_all(rest)

    async def _write_all(self, rest: memoryview) -> None:
        self.stuck_since = trio.current_time()
        while True:
            try:
                rest = rest[self._take(rest) :]
            except BrokenPipeError:
                raise ClientGone("gone") from None
            if not rest:
                break
            await self._changed.park()
        self.stuck_since = None
        self.last_write = trio.current_time()
        await trio.lowlevel.checkpoint()

    @property
    def is_free(self) -> bool:
        return self.direct and self.stuck_since is None

    def write_nowait(self, data: bytes | EncodedEvent) -> bool:
        if not self.is_free:
            return False
        frame = data.frame if isinstance(data, EncodedEvent) else to_chunk(data)
        try:
            left = len(frame) - self._take(frame)
        except BrokenPipeError:
            raise ClientGone("gone") from None
        self.last_write = trio.current_time()
        if left:
            self.keep_rest(frame, left)
        return True

    def sender(self, frame: bytes) -> Callable[[bytes], int] | None:
        return self._send if self.is_free else None

    def _send(self, frame: bytes) -> int:
        taken = self._take(frame)
        if not taken:
            raise BlockingIOError
        self.shared += 1
        return taken

    def keep_rest(self, frame: bytes, left: int) -> None:
        self._rest = memoryview(frame)[-left:]
        self.stuck_since = self.last_write

    async def finish(self) -> None:
        await self._write_all(memoryview(bytes(self._rest) + b"0\r\n\r\n"))

    async def abort(self) -> None:
        await self._write_all(memoryview(bytes(self._rest)))

    def close(self) -> None:
        self.direct = False

    async def wait_disconnected(self) -> None:
        await self._gone.wait()

    async def tell_disconnected(self, tell: Callable[[], None]) -> bool:
        return False

    def drop(self) -> None:
        self.leave()

    def look(self) -> None:
        pass

    def is_gone(self) -> bool:
        return False
