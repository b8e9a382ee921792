"""What is done with a client's socket past Trio's streams."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, final

import trio

from ..base import ClientGone

__all__ = ["Write", "reset", "sender", "sending", "wait_writable", "write_nowait"]

#: A socket's own `send`, or what does the same.
Write = Callable[[bytes | memoryview], int]

#: `struct linger`: on, with no time to linger, so that `close` sends a RST.
_NO_LINGER = struct.pack("ii", 1, 0)


class Sending(Protocol):
    """What has a socket's `send`."""

    def send(self, data: bytes | memoryview, /) -> int: ...


def sender(sock: trio.socket.SocketType) -> Write:
    """What `write_nowait` calls: once for all writes to a socket."""
    return sending(sock).send


def sending(sock: trio.socket.SocketType) -> Sending:
    """Whose `send` that is.

    The descriptor is never kept: Hypercorn may have closed it in this very turn, and the number may
    be another client's by now. After a close it is -1, which the kernel answers with EBADF.
    """
    inner = getattr(sock, "_sock", None)
    if type(inner) is socket.socket and inner.gettimeout() == 0:
        # Trio has no public way to the socket in its own. Its `send` is a twentieth of an event's
        # cost cheaper than `os.write`.
        return inner
    return _ByDescriptor(sock)


@final
class _ByDescriptor:
    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._sock = sock

    def send(self, data: bytes | memoryview) -> int:
        return os.write(self._sock.fileno(), data)


def write_nowait(send: Write, data: bytes | memoryview) -> int:
    """Write what the kernel takes at once; returns how many bytes that was, perhaps 0.

    Raises:
      ClientGone: the connection is closed, on this side or the other.
    """
    try:
        return send(data)
    except BlockingIOError:
        return 0
    except OSError as error:
        raise ClientGone("the client is gone") from error


async def wait_writable(sock: trio.socket.SocketType) -> None:
    """Wait until the kernel takes bytes again.

    Raises:
      ClientGone: the connection is closed.
    """
    try:
        await trio.lowlevel.wait_writable(sock)
    except (OSError, trio.ClosedResourceError) as error:
        raise ClientGone("the connection was closed") from error


def reset(sock: trio.socket.SocketType) -> None:
    """Close a connection at once, by RST where there is one."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    sock.close()
