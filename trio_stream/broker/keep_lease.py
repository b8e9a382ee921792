"""Keeping a lease for as long as nobody else has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ..errors import BrokerError

__all__ = ["keep_lease"]


async def keep_lease(
    seconds: float,
    is_alive: Callable[[], Awaitable[bool]],
    in_danger: Callable[[BrokerError], None],
) -> None:
    """Prolong a lease again and again, until it is somebody else's.

    Args:
      seconds: how long it lasts.
      is_alive: prolongs it; False says that it is somebody else's.
      in_danger: told that the engine could not be asked, once until it can be again.
    """
    usual = seconds / 3
    pause = usual
    while True:
        await trio.sleep(pause)
        try:
            if not await is_alive():
                return
        except BrokerError as exc:
            if pause == usual:
                in_danger(exc)
            pause = usual / 10  # at once when it can be, before others look
        else:
            pause = usual
