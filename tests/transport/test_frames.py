"""DATA frames made here: joined per turn, within the peer's windows, in order with what h2 says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import trio
import trio.testing

from trio_stream.codec import to_chunk
from trio_stream.transport.hypercorn.frames import FrameWriter
from trio_stream.transport.hypercorn.outlet import Outlet
from trio_stream.transport.hypercorn.wire import Wire


class TaskGroup:
    """What `FrameWriter` asks of Hypercorn's."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.spawn = nursery.start_soon


class Server:
    """A connection's server side, as far as `FrameWriter` and `Wire` know Hypercorn's."""

    def __init__(self, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        self.send_lock = trio.Lock()
        self.outlet = Outlet(stream)
        self.stream = self.outlet
        self.task_group = TaskGroup(nursery)
        self.closed = False
        self.connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self.flushes = 0
        self.frames: Any = FrameWriter(self, Wire(self, self.outlet, None))  # type: ignore[arg-type]

    async def _flush(self) -> None:
        self.flushes += 1
        data = self.connection.data_to_send()
        async with self.send_lock:
            await self.stream.send_all(data)


class Peer:
    """The client's side, and what it has read: one item of `reads` for each `recv`."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.connection = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding="utf-8")
        )
        self.bodies: dict[int, bytes] = {}
        self.reads = 0

    def request(self) -> int:
        stream_id = self.connection.get_next_available_stream_id()
        head = {":method": "GET", ":scheme": "http", ":authority": "localhost", ":path": "/"}
        self.connection.send_headers(stream_id, head.items(), end_stream=True)
        self.bodies[stream_id] = b""
        return stream_id

    async def read(self) -> None:
        self.reads += 1
        for event in self.connection.receive_data(await self.stream.receive_some(2**20)):
            if isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data

    async def until(self, stream_id: int, size: int) -> None:
        with trio.fail_after(60):
            while len(self.bodies[stream_id]) < size:
                await self.read()


class Pair:
    def __init__(self, server: Server, peer: Peer) -> None:
        self.server = server
        self.peer = peer

    async def tell_server(self) -> None:
        """What the client has to say reaches h2, which may answer."""
        self.server.connection.receive_data(self.peer.connection.data_to_send())
        await self.server._flush()

    async def open(self, count: int = 1) -> list[Any]:
        """So many streams that have been answered; h2's objects for them."""
        numbers = [self.peer.request() for _ in range(count)]
        await self.tell_server()
        for number in numbers:
            self.server.connection.send_headers(number, [(":status", "200")])
            self.server.frames.join()
        await self.server._flush()
        await self.peer.read()
        return [self.server.connection.streams[number] for number in numbers]


@asynccontextmanager
async def connected(window: int = 2**16 - 1) -> AsyncIterator[Pair]:
    ours, theirs = trio.socket.socketpair()
    async with trio.open_nursery() as nursery:
        server = Server(trio.SocketStream(ours), nursery)
        peer = Peer(trio.SocketStream(theirs))
        peer.connection.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        peer.connection.initiate_connection()
        server.connection.initiate_connection()
        pair = Pair(server, peer)
        await pair.tell_server()
        await peer.read()
        yield pair
        nursery.cancel_scope.cancel()
    ours.close()
    theirs.close()


async def test_what_many_streams_write_in_one_turn_arrives_together() -> None:
    async with connected() as pair:
        streams = await pair.open(50)
        reads = pair.peer.reads
        for stream in streams:
            pair.server.frames.write(stream, b"data: tick\n\n")
        await trio.testing.wait_all_tasks_blocked()
        await pair.peer.read()
        assert set(pair.peer.bodies.values()) == {b"data: tick\n\n"}
        assert pair.peer.reads == reads + 1


async def test_a_lone_event_waits_for_nobody() -> None:
    async with connected() as pair:
        [stream] = await pair.open()
        pair.server.frames.write(stream, b"alone")
        await pair.peer.until(stream.stream_id, 5)


async def test_the_windows_are_kept_true() -> None:
    async with connected(window=100) as pair:
        [stream] = await pair.open()
        assert pair.server.frames.room(stream) == 100
        pair.server.frames.write(stream, b"x" * 60)
        assert pair.server.frames.room(stream) == 40
        before = pair.server.connection.outbound_flow_control_window
        pair.server.connection.send_data(stream.stream_id, b"y" * 40)  # h2 itself agrees
        assert pair.server.connection.outbound_flow_control_window == before - 40
        assert pair.server.frames.room(stream) == 0
        await pair.server._flush()
        await pair.peer.until(stream.stream_id, 100)
        pair.peer.connection.increment_flow_control_window(1, stream.stream_id)
        await pair.tell_server()
        assert pair.server.frames.room(stream) == 1


async def test_a_window_that_shrinks_below_nothing_leaves_no_room() -> None:
    async with connected(window=100) as pair:
        [stream] = await pair.open()
        pair.server.frames.write(stream, b"x" * 80)
        settings = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10}
        pair.peer.connection.update_settings(settings)
        await pair.tell_server()
        assert pair.server.frames.room(stream) <= 0


async def test_large_data_is_cut_to_the_peers_frames() -> None:
    async with connected() as pair:
        [stream] = await pair.open()
        data = bytes(range(256)) * 200
        pair.server.frames.write(stream, data)
        await pair.peer.until(stream.stream_id, len(data))
        assert pair.peer.bodies[stream.stream_id] == data


async def test_frames_stay_behind_whoever_is_writing_and_in_order_with_h2() -> None:
    async with connected() as pair:
        [stream] = await pair.open()
        async with pair.server.send_lock:
            pair.server.frames.write(stream, b"first ")
            await trio.testing.wait_all_tasks_blocked()
            pair.server.frames.write(stream, b"second ")
        pair.server.connection.send_data(stream.stream_id, b"third")
        await pair.server._flush()
        await pair.peer.until(stream.stream_id, 18)
        assert pair.peer.bodies[stream.stream_id] == b"first second third"


async def test_no_room_while_the_socket_is_full_and_all_of_it_in_the_end() -> None:
    async with connected(window=2**31 - 1) as pair:
        [stream] = await pair.open()
        pair.peer.connection.increment_flow_control_window(2**30)
        await pair.tell_server()
        written = b""
        with trio.fail_after(60):
            while pair.server.frames.stuck_since is None:
                piece = bytes([len(written) % 251]) * 50_000
                if pair.server.frames.room(stream) >= len(piece):
                    pair.server.frames.write(stream, piece)
                    written += piece
                await trio.lowlevel.checkpoint()
        assert pair.server.frames.room(stream) == 0
        await pair.peer.until(stream.stream_id, len(written))
        assert pair.peer.bodies[stream.stream_id] == written
        await trio.testing.wait_all_tasks_blocked()
        assert pair.server.frames.stuck_since is None
        assert pair.server.frames.room(stream) > 0


async def test_a_stream_that_its_client_has_reset_has_no_room() -> None:
    async with connected() as pair:
        one, other = await pair.open(2)
        pair.peer.connection.reset_stream(one.stream_id)
        await pair.tell_server()
        assert pair.server.frames.room(one) == 0
        assert pair.server.frames.room(other) > 0


async def test_a_stream_that_is_reset_before_its_frame_is_out_takes_none_of_the_others() -> None:
    async with connected() as pair:
        streams = await pair.open(3)
        pair.peer.connection.reset_stream(streams[1].stream_id)
        async with pair.server.send_lock:  # so that the frames are still here when the reset comes
            for stream in streams:
                pair.server.frames.write(stream, b"one ")
            pair.server.connection.receive_data(pair.peer.connection.data_to_send())
        for stream in (streams[0], streams[2]):
            pair.server.frames.write(stream, b"two")
            await pair.peer.until(stream.stream_id, 7)
            assert pair.peer.bodies[stream.stream_id] == b"one two"


async def test_the_task_ends_with_the_last_stream() -> None:
    async with connected() as pair:
        [stream] = await pair.open()
        frames: Any = pair.server.frames
        await trio.testing.wait_all_tasks_blocked()
        frames.leave()
        await trio.testing.wait_all_tasks_blocked()
        assert frames.room(stream) == 0
        frames.join()  # another one comes
        await trio.testing.wait_all_tasks_blocked()
        assert frames.room(stream) > 0


async def test_what_a_chunk_holds_goes_to_all_streams_of_the_connection() -> None:
    async with connected(window=100) as pair:
        streams = await pair.open(3)
        for text in (b"data: one\n\n", b"data: two\n\n"):
            chunk = to_chunk(text)
            assert [pair.server.frames.write_chunk(stream, chunk) for stream in streams] == [
                True
            ] * 3
        large = to_chunk(bytes(100))
        assert not pair.server.frames.write_chunk(streams[0], large)  # there is no room for it
        assert bytes(pair.server.frames.data_in(large)) == bytes(100)
        for stream in streams:
            await pair.peer.until(stream.stream_id, 22)
        assert set(pair.peer.bodies.values()) == {b"data: one\n\ndata: two\n\n"}
