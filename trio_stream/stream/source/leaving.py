"""Generators of others that keep their connection when they are left between two items."""

from __future__ import annotations

import gc
import inspect
import logging
import sys
from collections.abc import AsyncGenerator, Iterator
from types import AsyncGeneratorType
from typing import Any

import trio

from .contract import CLOSE_TIMEOUT

__all__ = ["keeping_connections", "leave"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Packages whose generators, closed at their `yield`, leave the response behind them open until the
#: garbage collector comes. They are not ours to import.
_KEEPING = ("google.genai", "huggingface_hub")


async def leave(iterator: object) -> None:
    """Have the generators of these packages end their request, before ``iterator`` is closed.

    Their own, and those that a generator around them has in hand, as the SDK's stream in an
    ``async for``. Shielded, and over within `CLOSE_TIMEOUT` seconds.

    A read that is cancelled ends everything behind such a generator, from the inside out. It runs
    on behind the `yield` for that, which others' code must not be made to.
    """
    if not any(name in sys.modules for name in _KEEPING):
        return
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_TIMEOUT):
        for generator in keeping_connections(iterator):
            await _cancel_reading(generator)


def keeping_connections(iterator: object) -> Iterator[AsyncGeneratorType[Any, Any]]:
    """Those of these packages that wait at a `yield`: ``iterator``, or what it holds."""
    held, seen = [iterator], set[int]()
    while held:
        generator = held.pop()
        if id(generator) in seen:
            continue
        seen.add(id(generator))
        # The frame of a generator that has ended is gone.
        if inspect.isasyncgen(generator) and generator.ag_frame is not None:
            module = str(generator.ag_frame.f_globals.get("__name__"))
            if module.startswith(tuple(f"{name}." for name in _KEEPING)):
                if not generator.ag_running:
                    yield generator
            else:
                # What its frame refers to: locals, and what an `async for` iterates.
                held += gc.get_referents(generator)


async def _cancel_reading(generator: AsyncGenerator[Any, Any]) -> None:
    while True:
        with trio.CancelScope() as reading:
            reading.cancel()
            try:
                await anext(generator)
            except StopAsyncIteration:
                return
            except Exception as error:  # an SDK's, about an answer that nobody wants any more
                log.debug("an answer failed as it was left", {"error": error}, exc_info=error)
                return
        if reading.cancelled_caught:
            return
        await trio.lowlevel.checkpoint()  # it had an item in hand: others have their turn
