"""What runs a producer: a resumable run's, or a source's on demand."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from ...stream.source.contract import close_within
from ...stream.source.leaving import leave

__all__ = ["produce"]

RunT = TypeVar("RunT")


async def produce(
    producer: Callable[[RunT], Any], run: RunT, send: Callable[[Any], Awaitable[Any]], name: str
) -> None:
    """Run an async function, or send what an async generator gives, to its end.

    Raises what it does, and `TypeError` for what is neither; ``name`` says whose it is.
    """
    result = producer(run)
    if inspect.isawaitable(result):
        result = await result
    if inspect.isgenerator(result):
        result.close()
        raise TypeError(
            f"{name} is an async function, or an async generator function: this one is a "
            "generator function, which would block all other tasks"
        )
    if isinstance(result, AsyncIterable):
        try:
            async for value in result:
                await send(value)
        finally:
            await leave(result)
            await close_within(result, name)
    elif _holds_values(result):
        raise TypeError(
            f"{name} returned a {type(result).__name__}, of which nothing would be sent: send it "
            "in there, or be an async generator function"
        )


def _holds_values(result: object) -> bool:
    """Whether it was meant to be sent. The text that may be returned is `send`'s, an id."""
    if isinstance(result, str):
        return False
    return isinstance(result, Iterable | AbstractAsyncContextManager)
