"""Many clients of one topic on a real Hypercorn, where all of them are written to in one go."""

import re
import socket
import struct
from collections.abc import Callable

import trio

from tests.broker.test_streams import Follower, Taker, settled
from tests.support.hypercorn_process import Server, hypercorn
from tests.support.raw import read_until, send_request
from tests.transport.support import body_of
from trio_stream import EncodedEvent
from trio_stream.broker.contract import Record, wire_form
from trio_stream.broker.following.fanout import FanOut

COUNT = 20_000
LAST = b"data: %d\n\n" % (COUNT - 1)


async def read_all(stream: trio.SocketStream, start: bytes) -> list[int]:
    received = [start]
    while LAST not in (received[-2] if len(received) > 1 else b"") + received[-1]:
        piece = await stream.receive_some()
        assert piece
        received.append(piece)
    body, _ = body_of(b"".join(received))
    return [int(number) for number in re.findall(rb"data: (\d+)\n", body)]


async def subscribe(server: Server) -> tuple[trio.SocketStream, bytes]:
    stream = await server.connect()
    assert isinstance(stream, trio.SocketStream)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    await send_request(stream, "/")
    return stream, await read_until(stream, b"retry: 3000\n")


async def test_who_stops_reading_or_leaves_costs_the_others_nothing() -> None:
    found: list[list[int]] = []

    async def keep(stream: trio.SocketStream, start: bytes) -> None:
        found.append(await read_all(stream, start))

    env = {"BROKER": "memory://"}
    async with hypercorn("tests.broker.soak.app:app", env=env) as server, server.client() as http:
        clients = [await subscribe(server) for _ in range(8)]
        slow, gone, *others = clients
        with trio.fail_after(90):
            async with trio.open_nursery() as nursery:
                for stream, start in others:
                    nursery.start_soon(keep, stream, start)
                nursery.start_soon(http.post, f"/?{COUNT}")
                await trio.sleep(0.2)
                gone[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await gone[0].aclose()
            assert found == [list(range(COUNT))] * len(others)
            assert await read_all(*slow) == list(range(COUNT))
        for stream, _ in clients:
            await stream.aclose()


class Socketed(Taker):
    """A sink whose socket has room for so many bytes, or has been closed."""

    def __init__(self, room: int | None) -> None:
        super().__init__()
        self.room = room

    def sender(self, frame: bytes) -> Callable[[bytes], int]:
        return self.send

    def found_gone(self) -> None:
        assert self.room is None

    def send(self, frame: bytes) -> int:
        if self.room is None:
            raise BrokenPipeError
        if self.room == 0:
            raise BlockingIOError
        return min(self.room, len(frame))

    def sent(self, event: EncodedEvent, left: int, count: int, now: float) -> None:
        self.taken.append(event.frame[: len(event.frame) - left])
        self.counted += count


class Socket(Follower):
    def __init__(self, room: int | None, seen: float = 0) -> None:
        super().__init__(seen)
        self.sink = self.taken = Socketed(room)
        self.ended = False

    def end(self) -> None:
        self.ended = True


async def test_each_is_told_what_its_socket_took() -> None:
    whole, part, full, closed, behind = followers = [
        Socket(1000), Socket(3), Socket(0), Socket(None), Socket(1000, seen=1)
    ]  # fmt: skip
    fanout = FanOut()
    for follower in followers:
        fanout.add(follower)
    records = [Record(id, "t", "", wire_form(id, b"data: x\n\n")) for id in (1, 2)]
    fanout.push(records)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fanout.run)
        await settled()
        nursery.cancel_scope.cancel()
    both = b"".join(record.data for record in records)
    assert whole.taken.taken == [b"%x\r\n%b\r\n" % (len(both), both)]
    assert part.taken.taken == [whole.taken.taken[0][:3]]
    assert full.taken.taken == [b""]
    assert closed.ended
    assert behind.taken.taken == [records[1].data]  # as it is not what the others get
    assert [f.taken.counted for f in followers] == [2, 2, 2, 0, 1]
    assert [f.seen for f in followers] == [2, 2, 2, 0, 2]
    assert fanout.delivered == 7
