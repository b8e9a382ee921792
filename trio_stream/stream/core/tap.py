"""The last bytes that a stream has written, for as long as somebody wants to see them."""

from __future__ import annotations

from typing import final

__all__ = ["Tap"]

#: Bytes that are kept.
_MOST = 2048


@final
class Tap:
    """What a stream has written of late; got by `OpenStream.tapped`."""

    __slots__ = ("last", "users")

    def __init__(self) -> None:
        #: The last 2 KiB of body since somebody looks, as they were before any compression.
        self.last: bytes = b""
        #: How many look.
        self.users: int = 0

    def note(self, data: bytes) -> None:
        """This is written next."""
        self.last = (self.last + data[-_MOST:])[-_MOST:]
