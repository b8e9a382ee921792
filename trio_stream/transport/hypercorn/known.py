"""What both protocols' transports do with a connection of Hypercorn's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from ..asgi import AsgiTransport, taken_from
from ..base import LOOKS
from .breaking import break_off
from .connection import KERNEL_MARGIN
from .door import pass_on
from .proof import codings_in, is_transparent

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..asgi import Message, Receive, Scope, Send
    from ..base import Headers
    from .connection import HypercornConnection
    from .outlet import Outlet

__all__ = ["KnownTransport", "Left", "OutletTransport"]


class Left(NamedTuple):
    """Bytes that wait for a client, and where they do."""

    where: str
    size: int


class KnownTransport(AsgiTransport):
    """Sends through Hypercorn, and sees to it that only a response that was finished looks so."""

    __slots__ = (
        "_begun",
        "_channel",
        "_connection",
        "_finished",
        "_kept",
        "_kernel_waits",
        "_left",
        "_looked",
        "_stall_timeout",
        "_tell",
        "_to_prove",
    )

    stuck_since: float | None

    sees_progress = True

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        connection: HypercornConnection,
        stall_timeout: float,
    ) -> None:
        super().__init__(scope, receive, send)
        self._connection = connection
        self._begun = self._finished = False
        #: What was left of an unfinished write at the last look, and `stuck_since` after it.
        self._left: Left | None = None
        self._looked: float | None = None
        connection.streams = True
        #: Whether the kernel has been told to bear a silence of any length.
        self._kernel_waits = False
        self._stall_timeout = stall_timeout
        self._limit_silence()
        #: Chunks that are still to be seen to come out as they went in, before others go past.
        self._to_prove = 0
        #: Who is told that the client has gone, and the channel that Hypercorn has for that.
        self._tell: Callable[[], None] | None = None
        self._channel: trio.MemorySendChannel[Message] | None = None
        #: Parts of the request's body that were put there for the producer; None: no more are.
        self._kept: int | None = 0

    def _limit_silence(self) -> None:
        self._connection.limit_silence(self._stall_timeout * (1 + 1 / LOOKS) + KERNEL_MARGIN)

    async def _start(self, status: int, headers: Headers | list[tuple[bytes, bytes]]) -> None:
        if self._connection.proof is not None:
            self._connection.proof.codings = codings_in(headers)
        await super()._start(status, headers)
        self._begun = True

    async def finish(self) -> None:
        await super().finish()
        self._finished = True

    async def _prove(self, chunk: bytes) -> bool:
        """Send one of the first chunks; whether it was the last that had to come out untouched."""
        passed = await is_transparent(self._connection, self._deliver, chunk)
        self._to_prove = self._to_prove - 1 if passed else 0
        return passed and not self._to_prove

    async def _pass_on(self, message: Message) -> None:
        if self._connection.proof is None:  # there is no `StreamMiddleware` to do that
            await pass_on(self._connection, self._send, message)
        else:
            await self._send(message)

    def look(self) -> None:
        if self.stuck_since is not None:
            # The kernel may lose patience with a small window though the client takes bit by bit; a
            # stuck write is looked after here.
            self._connection.unlimit_silence()
            self._kernel_waits = True
            self._look_closer()
        elif self._kernel_waits and not self._finished and not self._connection.unacknowledged():
            self._limit_silence()
            self._kernel_waits = False

    def _look_closer(self) -> None:
        left, before = self._what_is_left(), self._left
        if (
            self.stuck_since != self._looked
            or before is None
            or left.where != before.where
            or left.size < before.size
        ):
            self.stuck_since = self._looked = trio.current_time()
        self._left = left

    def _what_is_left(self) -> Left:
        """What the client has not taken of what has been written."""
        return Left("kernel", self._connection.unacknowledged())

    def is_gone(self) -> bool:
        # While it ends, Hypercorn forgets it, and a client that has all of it may leave.
        return not self._ending and self._has_left()

    def _has_left(self) -> bool:
        return self._connection.peer_has_closed()

    async def tell_disconnected(self, tell: Callable[[], None]) -> bool:
        # What Hypercorn has for the application it puts into a channel, whose other end is
        # `receive`. Where nothing is between, it is taken from Hypercorn as it comes: a task that
        # waits at the channel holds 0.8 KiB for that.
        channel = self._connection.find_channel(self._receive)
        if channel is None:
            return False
        self._tell = tell
        self._channel = channel
        http: Any = self._connection.http
        http.app_put = self._take
        # Of a GET there is the end of a body that nobody asks for: 0.3 KiB in each idle stream.
        bodiless = http.scope["method"] == "GET"
        messages = taken_from(self._receive)
        for message in messages:
            if message["type"] == "http.disconnect":
                for _ in messages:  # what can be answered at once is answered first
                    await trio.lowlevel.checkpoint()
            self._hear_or_tell(message)
            if not bodiless or message.get("body") or self._body_arriving:
                self._keep_nowait(channel, message)
        return True

    async def _take(self, message: Message) -> None:
        """In place of the channel's `send`."""
        await trio.lowlevel.checkpoint()
        self._hear_or_tell(message)
        if self._channel is not None and not self._keep_nowait(self._channel, message):
            await self._channel.send(message)

    def _keep_nowait(self, channel: trio.MemorySendChannel[Message], message: Message) -> bool:
        """Put a part of the body where the producer, or nobody, will ask for it.

        Nobody: when there is no more room, what is kept is dropped, and so is all that comes, for
        the client's leaving is behind it. Who asks after that is told that the client has gone.
        False where the producer is slow: then there will be room.
        """
        there = channel.statistics()
        if self._kept is None or message["type"] != "http.request":
            if there.tasks_waiting_receive:
                channel.send_nowait(message)
            return True
        if there.current_buffer_used < there.max_buffer_size:
            channel.send_nowait(message)
        elif there.current_buffer_used < self._kept:
            self._kept += 1
            return False
        else:
            self._kept = None
            taken_from(self._receive)
            channel.send_nowait({"type": "http.disconnect"})
            return True
        self._kept += 1
        return True

    def _hear_or_tell(self, message: Message) -> None:
        if self._hear(message) and not self._ending and self._tell is not None:
            self._tell()

    def close(self) -> None:
        super().close()
        connection, http = self._connection, self._connection.http  # type: HypercornConnection, Any
        if self._channel is not None:
            self._tell = None
            http.app_put = self._channel.send
        if not (self._finished or connection.has_ended):
            if connection.http.closed:  # the client has left: what is kept for it is let go of
                self._break_off()
            elif self._begun or connection.has_begun:
                connection.cut = True
                if connection.has_begun:  # else it is still on its way there
                    self._break_off()
            else:  # Hypercorn, or what is around the stream, answers with an error
                return
        connection.withdraw()

    def _break_off(self) -> None:
        break_off(self._connection)


class OutletTransport(KnownTransport):
    """One of those whose bytes pass an `Outlet`, where others' may be stuck, too.

    Its subclasses have the slots: `_outlet`, which is set before all else, and `_waiting_since`.
    """

    __slots__ = ()

    _outlet: Outlet
    #: `stuck_since` of what this response itself has not got rid of.
    _waiting_since: float | None

    @property
    def stuck_since(self) -> float | None:
        own = self._waiting_since
        return self._outlet.stuck_since if own is None else own

    @stuck_since.setter
    def stuck_since(self, when: float | None) -> None:
        self._waiting_since = when  # type: ignore[misc]  # the slot is the subclass's

    def _look_closer(self) -> None:
        if self._waiting_since is None:
            self._outlet.look(self._connection.unacknowledged())
        else:
            super()._look_closer()
