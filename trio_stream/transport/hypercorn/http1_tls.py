"""HTTP/1.1 over TLS on Hypercorn: chunks encrypted here, by the connection's own TLS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..asgi import pieces
from ..base import LARGE
from .http1 import Http1Transport
from .known import OutletTransport
from .proof import chunks_to_prove
from .wire import PIECE

if TYPE_CHECKING:
    from ..asgi import Receive, Scope, Send
    from .connection import HypercornConnection
    from .sockets import Write
    from .wire import Wire

__all__ = ["TlsTransport"]


class TlsTransport(OutletTransport, Http1Transport):
    """As in clear, but what is written passes the `SSLStream`, which others use, too."""

    __slots__ = ("_outlet", "_waiting_since", "_wire")

    last_write: float

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        connection: HypercornConnection,
        stall_timeout: float,
        wire: Wire,
    ) -> None:
        self._wire = wire
        self._outlet = wire.outlet
        super().__init__(scope, receive, send, connection, stall_timeout)
        self._sender = wire.push
        if self._http_version == "1.1":
            self._to_prove = chunks_to_prove(connection, send)

    @property
    def _is_unfinished(self) -> bool:
        return bool(self._rest) or self._outlet.stuck_since is not None

    def sender(self, frame: bytes) -> Write | None:
        # As in clear, less a look at `stuck_since`, which is a call here.
        if not self.direct or self._waiting_since is not None or self._send_lock._owner:
            return None
        if len(frame) > LARGE:
            return self._push
        return self._wire.seal(frame)

    def _push(self, frame: bytes | memoryview) -> int:
        taken, size = self._wire.push(frame), len(frame)
        if taken == size and self._outlet.stuck_since is None:  # nearly always
            return size
        if taken < size:
            self.last_write = self._clock.current_time()
            self._keep(frame, size - taken)
        return 0

    def keep_rest(self, frame: bytes, left: int) -> None:
        """`_push` has kept it, or the outlet has."""

    async def _write_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        for part in parts:
            for piece in pieces(part, PIECE if len(part) > LARGE else LARGE):
                await self._wire.send_all(piece)
                self.last_write = self._clock.current_time()
                self.stuck_since = None
        await self._wire.send_all()
