"""A task beside a block."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, final

import trio

__all__ = ["Alongside"]


@final
class Alongside:
    """Run a function beside the block, and cancel it when the block ends.

    What the block raises comes out as it is: a nursery would wrap it in a group.
    """

    def __init__(self, function: Callable[..., Awaitable[object]], *args: Any) -> None:
        self._function = function
        self._args = args
        self._manager: Any = trio.open_nursery()
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> None:
        self._nursery = await self._manager.__aenter__()
        assert self._nursery is not None
        self._nursery.start_soon(self._function, *self._args)

    async def __aexit__(self, *_: object) -> None:
        assert self._nursery is not None
        # Shielded, the nursery keeps all `Cancelled` to itself, also when this task is cancelled.
        self._nursery.cancel_scope.shield = True
        self._nursery.cancel_scope.cancel()
        await self._manager.__aexit__(None, None, None)
