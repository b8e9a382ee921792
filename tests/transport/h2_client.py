"""HTTP/2 by hand: a client that says itself which windows it opens, and when it reads."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import trio

from tests.support.hypercorn_process import Server


@dataclass
class Response:
    """What has come of the response on one stream."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    #: How the stream has ended: `True` by END_STREAM, a number by RST_STREAM, which may come after.
    ended: bool = False
    reset: int | None = None


class H2Client:
    """One connection. Windows are opened only by `grant`, unless ``generous``."""

    def __init__(self, stream: trio.abc.Stream, *, generous: bool, window: int) -> None:
        self.stream = stream
        self._generous = generous
        self._changed = trio.Event()
        self._sending = trio.Lock()
        self.connection = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding=None)
        )
        # Ahead of the server's acknowledgement, which comes before anything that it counts.
        self.connection.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self.responses: dict[int, Response] = {}
        self.goaway = False
        self.closed = False

    async def request(
        self, path: str, *headers: tuple[bytes, bytes], method: str = "GET", end: bool = True
    ) -> int:
        """Send a request; with `end` false its body is still to come."""
        stream_id = self.connection.get_next_available_stream_id()
        pseudo = [
            (b":method", method.encode()),
            (b":scheme", b"http"),
            (b":authority", b"localhost"),
            (b":path", path.encode()),
        ]
        self.responses[stream_id] = Response()
        self.connection.send_headers(stream_id, [*pseudo, *headers], end_stream=end)
        await self.flush()
        return stream_id

    async def flush(self) -> None:
        async with self._sending:
            await self.stream.send_all(self.connection.data_to_send())

    async def grant(self, size: int, stream_id: int | None = None) -> None:
        """Open the window of a stream, or of the connection."""
        self.connection.increment_flow_control_window(size, stream_id)
        await self.flush()

    async def until(self, stream_id: int, wanted: bytes, *, within: float = 60) -> Response:
        """Wait for something in a response's body; with `wanted` empty, for its headers."""
        response = self.responses[stream_id]
        await self._wait(lambda: bool(response.headers) and wanted in response.body, within)
        return response

    async def until_ended(self, stream_id: int, *, within: float = 60) -> Response:
        """Wait until a response has ended, in order or by a reset."""
        response = self.responses[stream_id]
        await self._wait(lambda: response.ended or response.reset is not None, within)
        return response

    async def until_reset(self, stream_id: int, *, within: float = 60) -> None:
        await self._wait(lambda: self.responses[stream_id].reset is not None, within)

    async def until_more(self, stream_id: int, *, within: float = 60) -> None:
        """Wait for more of a body, which shows that the stream goes on."""
        response = self.responses[stream_id]
        so_far = len(response.body)
        await self._wait(lambda: len(response.body) > so_far, within)

    async def until_over(self) -> None:
        """Wait until all responses have ended, in order or not, or the server has hung up."""
        while not self.closed and any(
            not response.ended and response.reset is None for response in self.responses.values()
        ):
            self._changed = trio.Event()
            await self._changed.wait()

    async def until_goaway(self, *, within: float = 60) -> None:
        await self._wait(lambda: self.goaway, within)

    async def _wait(self, condition: Callable[[], bool], within: float) -> None:
        with trio.fail_after(within):
            while not condition():
                assert not self.closed, f"the server hung up: {self.responses}"
                self._changed = trio.Event()
                await self._changed.wait()

    async def read(self) -> None:
        """Take what comes until the server hangs up; run by `speak_h2`."""
        buffer = bytearray()
        try:
            while data := await self.stream.receive_some():
                buffer += data
                # One at a time: h2 looks at the largest frame that it allows once in a call.
                while len(buffer) >= (size := 9 + int.from_bytes(buffer[:3], "big")):
                    for event in self.connection.receive_data(buffer[:size]):
                        self._note(event)
                    del buffer[:size]
                await self.flush()
                self._changed.set()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self.closed = True
        self._changed.set()

    def _note(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(stream_id=stream_id, headers=headers):
                self.responses[stream_id].headers = dict(headers)
            case h2.events.DataReceived(stream_id=stream_id, data=data):
                self.responses[stream_id].body += data
                if self._generous:
                    size = event.flow_controlled_length
                    self.connection.acknowledge_received_data(size, stream_id)
            case h2.events.StreamEnded(stream_id=stream_id):
                self.responses[stream_id].ended = True
            case h2.events.StreamReset(stream_id=stream_id):
                self.responses[stream_id].reset = event.error_code
            case h2.events.ConnectionTerminated():
                self.goaway = True


@asynccontextmanager
async def connect_h2(server: Server, **options: Any) -> AsyncIterator[H2Client]:
    """A connection that is read all the time, and closed when the block ends."""
    async with speak_h2(await server.connect("h2"), **options) as client:
        yield client


@asynccontextmanager
async def speak_h2(
    stream: trio.abc.Stream, *, generous: bool = True, window: int = 65_535
) -> AsyncIterator[H2Client]:
    """The same on a connection that is there."""
    client = H2Client(stream, generous=generous, window=window)
    client.connection.initiate_connection()
    await client.flush()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.read)
        yield client
        nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(stream)
