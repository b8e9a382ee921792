"""DATA frames of an HTTP/2 connection's streams, made here and joined into few writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import trio
from h2.connection import ConnectionState, H2Connection
from h2.stream import H2Stream, StreamState

from ..base import LARGE, ClientGone

if TYPE_CHECKING:
    from hypercorn.protocol.h2 import H2Protocol

    from .wire import Wire

__all__ = ["FrameWriter", "find_frame_writer"]

#: Bytes that are gathered before they are written, and so the most that is held; otherwise the end
#: of the turn is awaited.
_GATHERED = 2**16

#: A stream that may be written to: its request is over, or not yet. (An enum finds its members by
#: the way of its metaclass.)
_ASKED, _ASKING = StreamState.HALF_CLOSED_REMOTE, StreamState.OPEN
_CLOSED = ConnectionState.CLOSED


@final
class FrameWriter:
    """Writes the DATA frames of one HTTP/2 connection, past Hypercorn's buffers and task.

    What several streams of a connection write in one turn of Trio's scheduler goes out together,
    right after that turn: for a hundred of them one TLS record and one system call, not a hundred.

    The frames are put into h2's own buffer. So they stay in order with all that h2 says, whoever
    flushes it, and h2's windows are kept true.
    """

    __slots__ = (
        "_chunk",
        "_data",
        "_ended",
        "_h2",
        "_protocol",
        "_sleeping",
        "_streams",
        "_wire",
        "outlet",
    )

    def __init__(self, protocol: H2Protocol, wire: Wire) -> None:
        self._protocol: Final[Any] = protocol
        self._h2: Final[Any] = protocol.connection
        self._wire: Final = wire
        self.outlet: Final = wire.outlet
        self._chunk: bytes | memoryview = b""
        self._data: bytes | memoryview = b""
        #: How many streams write here: the task lives as long as one does.
        self._streams = 0
        self._sleeping: trio.lowlevel.Task | None = None
        self._ended = True

    def join(self) -> None:
        """A stream begins to write here."""
        self._streams += 1
        if self._ended:
            self._ended = False
            self._protocol.task_group.spawn(self._run)

    def leave(self) -> None:
        """A stream writes no more."""
        self._streams -= 1
        if not self._streams:
            self._wake()

    @property
    def stuck_since(self) -> float | None:
        """When the kernel last took bytes of the connection's, while it does not take all."""
        return self.outlet.stuck_since

    def room(self, stream: H2Stream) -> int:
        """How many bytes of the stream's may be written now."""
        h2, state = self._h2, stream.state_machine.state
        if (
            self._ended
            or self.outlet.stuck_since is not None
            # Not `in`: Python hashes an enum's member by its name, which costs 0.2 us.
            or not (state is _ASKED or state is _ASKING)
            or h2.state_machine.state is _CLOSED
        ):
            return 0
        window: int = min(stream.outbound_flow_control_window, h2.outbound_flow_control_window)
        return min(window, _GATHERED - len(h2._data_to_send))

    def data_in(self, chunk: bytes | memoryview) -> bytes | memoryview:
        """What an HTTP/1.1 chunk holds, cut out once for all streams to which it goes."""
        if chunk is not self._chunk:
            start = bytes(chunk[:32]).index(b"\r\n") + 2
            if len(chunk) > LARGE:
                return memoryview(chunk)[start:-2]
            self._chunk, self._data = chunk, chunk[start:-2]
        return self._data

    def write_chunk(self, stream: H2Stream, chunk: bytes | memoryview) -> bool:
        """Write what the chunk holds as one frame; False when there is no `room` for that.

        What a publish costs for each of the connection's streams: `room` and `write` are here once
        more, because two calls would be a third of it.
        """
        data = self._data if chunk is self._chunk else self.data_in(chunk)
        size, h2, state = len(data), self._h2, stream.state_machine.state
        buffer = h2._data_to_send
        window = stream.outbound_flow_control_window - size
        connection_window = h2.outbound_flow_control_window - size
        if (
            window < 0
            or connection_window < 0
            or not 0 < size <= h2.max_outbound_frame_size
            or len(buffer) + size > _GATHERED
            or self._ended
            or self.outlet.stuck_since is not None
            or not (state is _ASKED or state is _ASKING)
            or h2.state_machine.state is _CLOSED
        ):
            return False
        stream.outbound_flow_control_window = window
        h2.outbound_flow_control_window = connection_window
        buffer += (size << 48 | stream.stream_id).to_bytes(9, "big")
        buffer += data
        if self._sleeping is not None:
            self._wake()
        return True

    def write(self, stream: H2Stream, data: bytes | memoryview) -> None:
        """Write ``data``, for which there has to be `room`."""
        h2, size = self._h2, len(data)
        stream.outbound_flow_control_window -= size
        h2.outbound_flow_control_window -= size
        most = h2.max_outbound_frame_size
        for start in range(0, size, most):
            piece = data if size <= most else data[start : start + most]
            # 24 bits of length, 8 of type (0 is DATA), 8 of flags, 32 of the stream's number.
            h2._data_to_send += (len(piece) << 48 | stream.stream_id).to_bytes(9, "big")
            h2._data_to_send += piece
        if self._sleeping is not None:
            self._wake()
        if len(h2._data_to_send) >= _GATHERED and self._wire.is_free:
            self._write()

    def _wake(self) -> None:
        task, self._sleeping = self._sleeping, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    async def _run(self) -> None:
        """The task that writes what a turn has gathered, and sends what the kernel did not take."""
        try:
            while self._streams:
                if not self._h2._data_to_send:
                    await self._sleep()
                await self._write_gathered()
        except ClientGone:
            pass  # Hypercorn's reader finds it, too, and tells the streams
        finally:
            self._ended = True

    async def _sleep(self) -> None:
        self._sleeping = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._sleeping = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def _write_gathered(self) -> None:
        if self._wire.is_held:
            await self._protocol._flush()  # behind whoever is writing
        elif self._h2._data_to_send:
            self._write()
        if self.stuck_since is not None:
            async with self._wire.send_lock:
                await self._wire.send_all()

    async def wait_sent(self) -> None:
        """Wait until the kernel has taken what was written; our task sends that, under the lock."""
        while self.stuck_since is not None and not self._ended:
            async with self._wire.send_lock:
                pass

    def _write(self) -> None:
        self._wire.write(self._h2.data_to_send())


def find_frame_writer(protocol: H2Protocol, wire: Wire) -> FrameWriter | None:
    """The connection's own, or None where h2 is not what is known: all that is used is private."""
    writer = wire.outlet.shared
    if writer is None and _is_known(protocol.connection):
        writer = wire.outlet.shared = FrameWriter(protocol, wire)
    return writer if type(writer) is FrameWriter else None


def _is_known(connection: Any) -> bool:
    return (
        type(connection) is H2Connection
        and type(getattr(connection, "_data_to_send", None)) is bytearray
        and type(getattr(connection, "outbound_flow_control_window", None)) is int
        and type(getattr(connection, "max_outbound_frame_size", None)) is int
        and type(getattr(connection, "streams", None)) is dict
    )
