"""Doing something for a client before there is a stream, as long as it is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import outcome
import trio

from ..transport.base import ClientGone

if TYPE_CHECKING:
    from ..transport.asgi import AsgiTransport

__all__ = ["while_connected"]

T = TypeVar("T")


async def while_connected(transport: AsgiTransport, ask: Callable[[], Awaitable[T]]) -> T:
    """What ``ask`` returns; it is cancelled when the client leaves first.

    Raises what it raises, and `receive`.

    Raises:
      ClientGone: the client has left.
    """
    left: outcome.Maybe[None] | None = None
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            nonlocal left
            left = await outcome.acapture(transport.wait_disconnected)
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        # Both captured, so that nobody gets a group from this nursery.
        said = await outcome.acapture(ask)
        nursery.cancel_scope.cancel()
    for result in (said, left):
        if isinstance(result, outcome.Error) and not isinstance(result.error, trio.Cancelled):
            result.unwrap()
    await trio.lowlevel.checkpoint_if_cancelled()  # that was captured, too
    if isinstance(left, outcome.Value) or isinstance(said, outcome.Error):
        raise ClientGone("the client has left before it was answered")
    return said.value
