"""Doing something for a client where there is no stream, as long as it is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import outcome
import trio

from .base import ClientGone

__all__ = ["while_connected"]

T = TypeVar("T")


async def while_connected(
    wait_disconnected: Callable[[], Awaitable[None]], do: Callable[[], Awaitable[T]]
) -> tuple[T, bool]:
    """What ``do`` returns, and whether the client has left all the same, as it was done.

    Raises what it raises, and `receive`.

    Raises:
      ClientGone: the client has left first, and ``do`` was cancelled.
    """
    left: outcome.Maybe[None] | None = None
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            nonlocal left
            left = await outcome.acapture(wait_disconnected)
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        # Both captured, so that nobody gets a group from this nursery.
        said = await outcome.acapture(do)
        nursery.cancel_scope.cancel()
    try:
        for result in (said, left):
            if isinstance(result, outcome.Error) and not isinstance(
                result.error, trio.Cancelled | ClientGone
            ):
                result.unwrap()
        await trio.lowlevel.checkpoint_if_cancelled()  # that was captured, too
        if isinstance(said, outcome.Error):
            raise ClientGone("the client has left before it was answered") from None
        return said.value, isinstance(left, outcome.Value)
    finally:
        del said, left, result  # the tracebacks of their errors hold this frame: not a circle
