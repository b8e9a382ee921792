"""Clients that make it hard over TLS and HTTP/2: right bytes for all others, and nothing left."""

import random
import re
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from h2.settings import SettingCodes

from tests.support.certificates import Certificate
from tests.support.need import need
from tests.support.raw import read_to_end, read_until, send_request
from tests.support.tasks import all_tasks, task_tree
from trio_stream import Stream
from trio_stream.transport.asgi import Receive, Scope, Send

from .h2_client import H2Client, speak_h2
from .support import body_of, events_of
from .wires import connect, listening

EVENTS = 60


async def mixture(stream: Stream) -> None:
    """Numbered events of all sizes, sometimes waiting for others."""
    choose = random.Random(EVENTS)
    for number in range(EVENTS):
        size = choose.choice([0, 10, 10, 10, 100, 100, 1000, 2000, 20_000])
        await stream.send(f"{number} {size} {'x' * size}")
        if choose.random() < 0.2:
            await trio.sleep(0.001)


def assert_whole(body: bytes, count: int = EVENTS) -> None:
    """All of a mixture, in order, each event with the bytes it had."""
    events = [event.split() for event in events_of(body)]
    assert [int(number) for number, *_ in events] == list(range(count))
    assert all(int(size) == len("".join(rest)) for _, size, *rest in events)


class Streams:
    """The app of these tests: what its streams were written by, and how they ended."""

    def __init__(self) -> None:
        self.begun = 0
        self.outcomes: list[str | None] = []
        self.transports: set[str] = set()
        self.beat = trio.Event()
        self.over = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = Stream(getattr(self, scope["path"][1:]))
        self.begun += 1
        try:
            await stream(scope, receive, send)
        finally:
            self.outcomes.append(stream.outcome)

    async def mixture(self, stream: Stream) -> None:
        await mixture(stream)
        self._note_transport(stream)

    async def beats(self, stream: Stream) -> None:
        """An event for each `next_beat`, of all streams in one turn, until the last."""
        while not self.over:
            beat = self.beat
            await stream.send(f"beat {'y' * 500}")
            self._note_transport(stream)
            await beat.wait()

    async def flood(self, stream: Stream) -> None:
        while True:
            await stream.send("z" * 10_000)

    async def silence(self, stream: Stream) -> None:
        await trio.sleep_forever()

    def next_beat(self, *, last: bool = False) -> None:
        self.over = last
        self.beat.set()
        self.beat = trio.Event()

    async def beat_on(self) -> None:
        while True:
            self.next_beat()
            await trio.sleep(0.005)

    def _note_transport(self, stream: Stream) -> None:
        self.transports.add(type(stream._state.transport).__name__)


@asynccontextmanager
async def served(wire: str, certificate: Certificate) -> AsyncIterator[tuple[Streams, int]]:
    """The app and its port; in the end each of its streams, and every task, must have ended."""
    streams = Streams()
    async with listening(
        streams, wire=wire, certificate=certificate, keep_alive_timeout=3600
    ) as port:
        await trio.testing.wait_all_tasks_blocked()
        before = _tasks()
        yield streams, port
        with trio.move_on_after(60):
            while len(streams.outcomes) < streams.begun or _tasks() > before:
                await trio.sleep(0.01)
        assert len(streams.outcomes) == streams.begun
        assert _tasks() <= before, task_tree()


def _tasks() -> int:
    """How many there are, without the one that comes with a worker's first connection."""
    return len([task for task in all_tasks() if "IdleConnections" not in task.name])


http2 = pytest.mark.parametrize("wire", ["2", "2 tls"])
secure = pytest.mark.parametrize("wire", ["1.1 tls", "2 tls"])


@http2
async def test_windows_that_shrink_in_mid_stream_and_open_again(
    wire: str, certificate: Certificate
) -> None:
    """h2, which is the client here, ends a connection that sends more than it may."""
    async with served(wire, certificate) as (streams, port):
        stream = await connect(port, wire=wire, certificate=certificate)
        async with speak_h2(stream, generous=False, window=20_000) as client:
            numbers = [await client.request("/mixture") for _ in range(6)]
            await client.grant(2**30)
            choose = random.Random(wire)
            with trio.fail_after(30):
                while left := [at for at in numbers if not client.responses[at].ended]:
                    window = choose.choice([0, 1, 1000, 20_000, 60_000])
                    client.connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
                    await client.flush()
                    for number in left:
                        if not client.responses[number].ended:
                            await client.grant(30_000, number)
                    await trio.sleep(0.005)
            for number in numbers:
                assert_whole(client.responses[number].body)
    assert streams.transports == {"DirectHttp2Transport"}


@http2
async def test_a_largest_frame_that_shrinks_in_mid_stream(
    wire: str, certificate: Certificate
) -> None:
    """Once it has been acknowledged, a larger frame is an error to h2."""
    async with served(wire, certificate) as (streams, port):
        stream = await connect(port, wire=wire, certificate=certificate)
        async with speak_h2(stream, window=2**20) as client:
            await client.grant(2**24)
            numbers = [await client.request("/mixture") for _ in range(6)]
            with trio.fail_after(30):
                while not all(client.responses[number].ended for number in numbers):
                    for size in (60_000, 2**14):
                        client.connection.update_settings({SettingCodes.MAX_FRAME_SIZE: size})
                        await client.flush()
                        await trio.sleep(0.005)
            for number in numbers:
                assert_whole(client.responses[number].body)
    assert streams.transports == {"DirectHttp2Transport"}


@http2
async def test_windows_that_open_a_byte_at_a_time(wire: str, certificate: Certificate) -> None:
    """One stream's; the others of the connection have theirs, and do not wait for it."""
    async with served(wire, certificate) as (streams, port):
        stream = await connect(port, wire=wire, certificate=certificate)
        async with speak_h2(stream, generous=False, window=0) as client:
            await client.grant(2**30)
            slow, beside = await client.request("/beats"), await client.request("/mixture")
            await client.grant(2**30, beside)
            for size in range(0, 1500, 100):
                for _ in range(100):
                    client.connection.increment_flow_control_window(1, slow)
                await client.flush()
                if size > 600:
                    streams.next_beat()
                await client.until(slow, b"")
                with trio.fail_after(60):
                    while len(client.responses[slow].body) < min(size, 500):
                        await client.until_more(slow)
            assert_whole((await client.until_ended(beside)).body)
            body = client.responses[slow].body
            assert 500 <= len(body) <= 1500
            assert (b"retry: 3000\n" + b"data: beat %s\n\n" % (b"y" * 500) * 10).startswith(body)


@http2
async def test_streams_that_are_reset_while_their_frames_are_joined(
    wire: str, certificate: Certificate
) -> None:
    """A connection's streams send in one turn, while its client resets one after another."""
    async with served(wire, certificate) as (streams, port):
        stream = await connect(port, wire=wire, certificate=certificate)
        async with speak_h2(stream) as client:
            numbers = [await client.request("/beats") for _ in range(60)]
            for number in numbers:
                await client.until(number, b"beat")
            staying = numbers[::3]
            leaving = [number for number in numbers if number not in staying]
            for number in leaving:
                streams.next_beat()
                client.connection.reset_stream(number)
                await client.flush()
                streams.next_beat()
                await trio.lowlevel.checkpoint()
            with trio.fail_after(60):
                while len(streams.outcomes) < len(leaving):  # or the last one completes
                    await trio.sleep(0.01)
            streams.next_beat(last=True)
            for number in staying:
                response = await client.until_ended(number)
                assert response.ended
                assert re.fullmatch(rb"retry: 3000\n(data: beat y{500}\n\n){2,}", response.body)
    assert streams.outcomes.count("completed") == len(staying)
    assert streams.outcomes.count("disconnected") == len(leaving)
    assert streams.transports == {"DirectHttp2Transport"}


async def connect_narrow(port: int, *, wire: str, certificate: Certificate) -> trio.abc.Stream:
    """A client with room for a few kilobytes, so that records of 16 KiB come in parts."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await sock.connect(("127.0.0.1", port))
    stream = trio.SSLStream(
        trio.SocketStream(sock),
        certificate.client_context(*["h2"] * wire.startswith("2")),
        server_hostname="localhost",
        https_compatible=True,
    )
    await stream.do_handshake()
    return stream


@secure
async def test_clients_that_leave_within_a_record(wire: str, certificate: Certificate) -> None:
    async with served(wire, certificate) as (streams, port):
        other = await connect(port, wire="1.1 tls", certificate=certificate)
        await send_request(other, "/beats")
        await read_until(other, b"beat")
        for _ in range(20):
            stream = await connect_narrow(port, wire=wire, certificate=certificate)
            if wire.startswith("2"):
                client = H2Client(stream, generous=False, window=2**31 - 1)
                client.connection.initiate_connection()
                client.connection.increment_flow_control_window(2**30)
                await client.request("/flood")
            else:
                await send_request(stream, "/flood")
            await stream.receive_some(100)
            await trio.sleep(0.01)
            await trio.aclose_forcefully(stream)
        with trio.fail_after(60):
            while len(streams.outcomes) < 20:
                await trio.sleep(0.01)
        streams.next_beat()
        await read_until(other, b"beat")
        await trio.aclose_forcefully(other)
    assert set(streams.outcomes) == {"disconnected"}


@secure
async def test_a_client_that_speaks_tls_1_2_alone(wire: str, certificate: Certificate) -> None:
    async with served(wire, certificate) as (streams, port):
        stream = await connect(
            port, wire=wire, certificate=certificate, newest=ssl.TLSVersion.TLSv1_2
        )
        if wire.startswith("2"):
            async with speak_h2(stream) as client:
                response = await client.until_ended(await client.request("/mixture"))
            assert response.ended
            assert_whole(response.body)
        else:
            await send_request(stream, "/mixture", "connection: close")
            body, complete = body_of(await read_to_end(stream))
            assert complete
            assert_whole(body)
            await trio.aclose_forcefully(stream)
        assert isinstance(stream, trio.SSLStream)
    assert streams.transports <= {"TlsTransport", "DirectHttp2Transport"}
    assert len(streams.transports) == 1


class OpenSsl:
    """OpenSSL's own client, which can say more of TLS than Python can; it leaves files."""

    def __init__(self, folder: Path) -> None:
        #: What has come, what it says itself, and which messages of TLS have passed.
        self.body, self.log, self.messages = (folder / name for name in ("body", "log", "messages"))

    @asynccontextmanager
    async def running(
        self, port: int, certificate: Certificate, *options: str
    ) -> AsyncIterator[None]:
        [openssl] = need("openssl")
        command = [openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-brief", *options]
        command += ["-CAfile", str(certificate.authority), "-msg", "-msgfile", str(self.messages)]
        with self.body.open("wb") as body, self.log.open("wb") as log:
            self._process = await trio.lowlevel.open_process(
                command, stdin=subprocess.PIPE, stdout=body, stderr=log
            )
        try:
            yield
        finally:
            self._process.kill()
            assert self._process.stdin is not None
            await self._process.stdin.aclose()
            await self._process.wait()

    async def say(self, text: str) -> None:
        """Send this, or if it is one of its commands obey it: it must have read all before."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(text.encode())

    async def until(self, file: Path, pattern: bytes, count: int = 1) -> None:
        """Wait until one of its files has this so often."""
        with trio.fail_after(60):
            while not file.exists() or len(re.findall(pattern, file.read_bytes())) < count:
                await trio.sleep(0.01)


async def test_keys_that_are_updated_while_events_flow(
    certificate: Certificate, tmp_path: Path
) -> None:
    """The server's own TLS answers with an update of its keys, before the next event."""
    client = OpenSsl(tmp_path)
    async with (
        served("1.1 tls", certificate) as (streams, port),
        client.running(port, certificate, "-tls1_3"),
    ):
        await client.say("POST /beats HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        await client.until(client.body, b"beat")
        for count in range(1, 6):
            await client.say("K\n")
            await client.until(client.log, b"KEYUPDATE", count)
            await client.say("5\r\nhello\r\n")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(streams.beat_on)
                await client.until(client.messages, b"<<< .* KeyUpdate", count)
                nursery.cancel_scope.cancel()
        streams.next_beat(last=True)
        await client.say("0\r\n\r\n")
        await client.until(client.body, rb"\n0\r\n\r\n")
        body, complete = body_of(client.body.read_bytes())
        assert complete
        assert re.fullmatch(rb"retry: 3000\n(data: beat y{500}\n\n){6,}", body)
    assert streams.transports == {"TlsTransport"}


async def test_a_client_that_wants_to_negotiate_tls_1_2_anew(
    certificate: Certificate, tmp_path: Path
) -> None:
    """The server's own TLS says no, whoever leaves for it has left, and all others go on."""
    client = OpenSsl(tmp_path)
    async with served("1.1 tls", certificate) as (streams, port):
        other = await connect(port, wire="1.1 tls", certificate=certificate)
        await send_request(other, "/mixture", "connection: close")
        async with client.running(port, certificate, "-tls1_2"):
            await client.say("GET /beats HTTP/1.1\r\nhost: x\r\n\r\n")
            await client.until(client.body, b"beat")
            await client.say("R\n")
            await client.until(client.messages, b"<<< .*Alert.*no_renegotiation")
            with trio.fail_after(60):
                while "disconnected" not in streams.outcomes:
                    streams.next_beat()
                    await trio.sleep(0.01)
        body, complete = body_of(await read_to_end(other))
        assert complete
        assert_whole(body)
        await trio.aclose_forcefully(other)
    assert streams.transports == {"TlsTransport"}


async def test_1_000_streams_that_are_opened_and_cancelled_at_once(
    certificate: Certificate,
) -> None:
    """Each is run once at the most, and over when its client is; who stays notices nothing."""
    wire = "2 tls"
    async with served(wire, certificate) as (streams, port):
        stream = await connect(port, wire=wire, certificate=certificate)
        async with speak_h2(stream) as client:
            staying = await client.request("/mixture")
            await client.until(staying, b"data: 0 ")
            for _ in range(1000):
                number = await client.request("/silence")
                client.connection.reset_stream(number)
                await client.flush()
            assert_whole((await client.until_ended(staying)).body)
            with trio.fail_after(60):
                while len(streams.outcomes) < streams.begun:
                    await trio.sleep(0.01)
            assert streams.begun <= 1001
            assert_whole((await client.until_ended(await client.request("/mixture"))).body)
    assert streams.outcomes.count("completed") == 2
    assert set(streams.outcomes) == {"completed", "disconnected"}
