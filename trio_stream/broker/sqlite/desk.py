"""Where other processes of this machine publish to an open ``sqlite://`` broker: a Unix socket.

The file is its broker's alone, so they ask that to append what they have. The socket lies beside
the file, and whoever may write the one may write to the other.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated, Literal, TypeVar, final

import msgspec
import trio

from ...checks import check_seconds
from ...errors import BrokerError, BrokerInUseError, BrokerStorageError, BrokerUnavailableError
from ..contract import Entry
from ..contract.entries import check_published
from ..contract.retention import DISCONNECTS
from ..contract.topics import check_name

__all__ = ["Answer", "Desk", "Request", "ask", "open_at_desk", "too_long"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Bytes of a Unix socket's address, without the one that ends it.
_MOST_ADDRESS = 107 if sys.platform == "linux" else 103

#: Bytes of a request, at most. Beyond that somebody else is speaking.
_MOST = 2**28

#: Seconds for a request to arrive once it has begun, and for its answer to be taken.
_PATIENCE = 30.0

#: Seconds that the file may be a publisher's, and between two looks.
_GRACE, _PAUSE = 5.0, 0.005

T = TypeVar("T")

#: What is answered by a broker that is being closed.
_CLOSED = "closed"

_length = struct.Struct("!I")


class Request(msgspec.Struct, frozen=True):
    """What a publisher wants: to append these, or to have them passed on."""

    what: Literal["append", "pass_on"]
    entries: Annotated[list[Entry], msgspec.Meta(min_length=1)]


class Answer(msgspec.Struct, frozen=True):
    """What has become of it: ids, or an error by its name."""

    ids: list[int] = []
    error: str = ""
    text: str = ""

    def unwrap(self) -> list[int]:
        """The ids; raises the error."""
        if self.error:
            raise _ERRORS.get(self.error, BrokerError)(self.text)
        return self.ids


_ERRORS = {kind.__name__: kind for kind in (BrokerStorageError, TypeError, ValueError)}

Handle = Callable[[Request], Awaitable[Sequence[int]]]

_decode = msgspec.msgpack.Decoder(Request).decode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode
_encode = msgspec.msgpack.Encoder().encode


def desk_of(path: str) -> str:
    """Where the socket of a file is."""
    return f"{Path(path).resolve()}-desk"


def too_long(path: str) -> str | None:
    """Why there can be no such socket, where its address is longer than the system takes."""
    size = len(os.fsencode(desk_of(path)))
    if size <= _MOST_ADDRESS:
        return None
    return (
        f"the address of the socket beside it would be of {size} bytes, and the system takes "
        f"{_MOST_ADDRESS}: give it a place with a shorter path"
    )


@final
class Desk:
    """The socket of a file, from before the file is this process's.

    So publishers who write to the file themselves, one after another, wait here for who wants to
    have it for good.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._address = desk_of(path)
        self._socket: socket.socket | None = None
        self._identity: tuple[int, int] | None = None

    @property
    def is_open(self) -> bool:
        """Whether publishers come here: nobody who has the file by now has taken the place."""
        return self._identity is not None and _identity(self._address) == self._identity

    def is_attended(self) -> bool:
        """Whether a process is there that has the file, or is about to."""
        with closing(socket.socket(socket.AF_UNIX)) as sock:
            try:
                sock.connect(self._address)
            except OSError:
                return False
        return True

    def open(self) -> None:
        """Let publishers come, unless they do already; only for who has the file, or nobody."""
        if self.is_open:
            return
        self.close()
        sock = socket.socket(socket.AF_UNIX)
        try:
            with suppress(FileNotFoundError):
                # Left by one who was killed; what is no socket is somebody's file.
                if stat.S_ISSOCK(os.lstat(self._address).st_mode):
                    os.unlink(self._address)  # noqa: PTH108
            sock.bind(self._address)
            # Before it listens nobody can connect.
            os.chmod(self._address, stat.S_IMODE(os.stat(self._path).st_mode) & 0o666)  # noqa: PTH101, PTH116
            sock.listen(128)
            sock.setblocking(False)
        except OSError as exc:
            sock.close()
            why = too_long(self._path) or exc
            log.warning(
                "%(file)s: nobody outside can publish while it is open: %(error)s",
                {"engine": "sqlite", "file": self._path, "error": why},
            )
        else:
            self._socket, self._identity = sock, _identity(self._address)

    def close(self) -> None:
        """Nobody is here any more. Idempotent."""
        sock, self._socket = self._socket, None
        identity, self._identity = self._identity, None
        if sock is not None:
            sock.close()
        if identity is not None and _identity(self._address) == identity:
            os.unlink(self._address)  # noqa: PTH108

    async def serve(self, handle: Handle) -> None:
        """Take what others publish, until cancelled."""
        sock, self._socket = self._socket, None
        if sock is not None:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
            try:
                await trio.serve_listeners(_Service(handle).serve, [listener])
            finally:
                self.close()


def _identity(address: str) -> tuple[int, int] | None:
    try:
        found = os.stat(address)  # noqa: PTH116
    except OSError:
        return None
    return found.st_dev, found.st_ino


@final
class _Service:
    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def serve(self, stream: trio.SocketStream) -> None:
        """One publisher, for as long as it stays."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
            while True:
                head = await _read(stream, _length.size)
                with trio.move_on_after(_PATIENCE):
                    [size] = _length.unpack(head)
                    if size > _MOST:
                        return
                    body = await _read(stream, size)
                    answer = _encode(await self._answer(body))
                    await stream.send_all(_length.pack(len(answer)) + answer)
                    continue
                return

    async def _answer(self, body: bytes) -> Answer:
        try:
            request = _decode(body)
            for entry in request.entries:
                _check(entry)
            return Answer(list(await self._handle(request)))
        # Too deep for its reader is what no publisher sends, either.
        except (BrokerError, TypeError, ValueError, msgspec.MsgspecError, RecursionError) as exc:
            return Answer(error=type(exc).__name__, text=str(exc))
        except trio.ClosedResourceError:
            return Answer(error=_CLOSED)  # nothing is stored


def _check(entry: Entry) -> None:
    """What a `TopicPublisher` has looked at, and nobody else who speaks here; likewise."""
    if entry.topic != DISCONNECTS:  # whoever reads that looks at it
        check_published(entry.topic, entry.key)
    if entry.once is not None:
        check_name(entry.once.key, "once")
        check_seconds("once_for", entry.once.seconds)
    if entry.but:
        check_name(entry.but, "but, a stream's id,")


async def _read(stream: trio.SocketStream, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = await stream.receive_some(min(size, 2**16))
        if not part:
            raise EOFError
        parts.append(bytes(part))
        size -= len(part)
    return b"".join(parts)


def open_at_desk(open_file: Callable[[], T], desk: Desk) -> T:
    """Open a file that a publisher may have for a moment, and its desk; blocks, at most 5 s.

    Raises:
      BrokerInUseError: another broker has it, or somebody who does not let it go.
    """
    until = time.monotonic() + _GRACE
    while True:
        try:
            opened = open_file()
        except BrokerInUseError:
            if time.monotonic() > until or (not desk.is_open and desk.is_attended()):
                desk.close()
                raise
            desk.open()
            time.sleep(_PAUSE)
        except BaseException:
            desk.close()
            raise
        else:
            desk.open()
            return opened


# The publisher's side: no Trio.


def ask(path: str, request: Request, timeout: float) -> list[int] | None:
    """Have the process that has the file do it; None where none listens, and nothing was done.

    Raises:
      BrokerUnavailableError: it was asked, and has not answered: it may be stored, or not.
      BrokerError: it could not.
    """
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(desk_of(path))
        except OSError:
            return None
        body = _encode(request)
        try:
            sock.sendall(_length.pack(len(body)) + body)
            [size] = _length.unpack(_receive(sock, _length.size))
            answer = _decode_answer(_receive(sock, size))
        except (OSError, EOFError, msgspec.MsgspecError) as exc:
            raise BrokerUnavailableError(
                f"{path}: the process that has it open has not answered, and it may be stored or "
                "not: publish it again, with once= if it must not be there twice"
            ) from exc
    return None if answer.error == _CLOSED else answer.unwrap()


def _receive(sock: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = sock.recv(min(size, 2**16))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
