"""Many subscribers, two servers of two workers each, one Redis, and connections that are cut.

    python -m tests.broker.soak.run 1000 10000

Every subscriber gets every event once and in order, however often it is cut off and resumes; every
fourth has a map that leaves out half of them.
"""

import random
import re
import sys
import time
from dataclasses import dataclass, field

import trio

from tests.support.hypercorn_process import Server, hypercorn
from tests.support.redis_server import redis_server


@dataclass
class Soak:
    """The figures of one soak."""

    subscribers: int
    events: int
    wanted: int = 0
    received: int = 0
    cuts: int = 0
    #: Streams that the server ended, by what its log says of them.
    hang_ups: list[str] = field(default_factory=list)
    publish_seconds: float = 0.0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


async def soak(subscribers: int, events: int, *, cut_after: float = 0.02) -> Soak:
    """Run one; raises when it takes longer than an hour.

    ``cut_after`` is how likely a subscriber cuts its own connection after a chunk that it read.
    """
    result = Soak(subscribers, events)
    begun = time.monotonic()
    with trio.fail_after(3600):
        async with redis_server() as redis:
            env = {"BROKER": redis.url}
            app = "tests.broker.soak.app:app"
            options = {"workers": 2, "env": env, "backlog": 2048}
            async with (
                hypercorn(app, **options) as one,
                hypercorn(app, **options) as two,
                trio.open_nursery() as nursery,
            ):
                for number in range(subscribers):
                    server = (one, two)[number % 2]
                    nursery.start_soon(subscribe, result, server, number, cut_after)
                await trio.sleep(subscribers / 500)
                nursery.start_soon(publish, result, one)
            for server in (one, two):
                result.hang_ups += re.findall("ENDED (.*)", server.process.log())
    result.seconds = time.monotonic() - begun
    return result


async def publish(result: Soak, server: Server) -> None:
    begun = time.monotonic()
    async with server.client(timeout=3600) as client:
        response = await client.post(f"/?{result.events}")
        assert response.status_code == 204
    result.publish_seconds = time.monotonic() - begun


async def subscribe(result: Soak, server: Server, number: int, cut_after: float) -> None:
    """One subscriber, from the first event to the last."""
    chance = random.Random(number)
    last_id, count = b"", 0
    path, step = ("/even", 2) if number % 4 == 3 else ("/", 1)
    result.wanted += result.events // step
    while count < result.events:
        async with await server.connect() as stream:
            header = b"last-event-id: %b\r\n" % last_id if last_id else b""
            await stream.send_all(
                b"GET %b HTTP/1.1\r\nhost: soak\r\n%b\r\n" % (path.encode(), header)
            )
            rest, body = b"", Body()
            while count < result.events:
                try:
                    received = await stream.receive_some(65536)
                except trio.BrokenResourceError:
                    received = b""
                if not received:  # a client this slow is cut off, and resumes as any other
                    break
                rest += body.feed(received)
                # Only what is whole counts: the rest of a block that was cut off comes again.
                *blocks, rest = rest.split(b"\n\n")
                for block in blocks:
                    if b"data: " not in block:
                        continue
                    id, data = fields(block)
                    if b"event: place" in block and step == 2 and int(id) > int(last_id or 0):
                        last_id = id
                        continue
                    if (last_id and int(id) <= int(last_id)) or int(data) != count:
                        result.wrong.append(
                            f"{number}: {block!r} as event {count}, after {last_id!r}"
                        )
                        return
                    last_id, count = id, count + step
                    result.received += 1
                if chance.random() < cut_after:
                    result.cuts += 1
                    break


class Body:
    """Takes the headers and the chunks' borders out of a response."""

    def __init__(self) -> None:
        self._raw = b""
        self._in_body = False

    def feed(self, received: bytes) -> bytes:
        self._raw += received
        if not self._in_body:
            end = self._raw.find(b"\r\n\r\n")
            if end < 0:
                return b""
            self._in_body, self._raw = True, self._raw[end + 4 :]
        data = []
        while (end := self._raw.find(b"\r\n")) > 0:
            size = int(self._raw[:end], 16)
            if len(self._raw) < end + size + 4:
                break
            data.append(self._raw[end + 2 : end + 2 + size])
            self._raw = self._raw[end + size + 4 :]
        return b"".join(data)


def fields(block: bytes) -> tuple[bytes, bytes]:
    """The id and the data."""
    lines = [line for line in block.split(b"\n") if line.startswith((b"id: ", b"data: "))]
    return lines[0][4:], lines[1][6:]


def main() -> None:
    subscribers, events = map(int, sys.argv[1:3])
    result = trio.run(soak, subscribers, events)
    print(  # noqa: T201
        f"{result.received} of {result.wanted} events, {result.cuts} cuts, "
        f"{len(result.hang_ups)} hang-ups {result.hang_ups[:3]}, "
        f"{len(result.wrong)} wrong {result.wrong[:3]}, published in {result.publish_seconds:.1f} "
        f"s, {result.seconds:.1f} s in all: {result.received / result.seconds:.0f} events/s"
    )


if __name__ == "__main__":
    main()
