"""Asking a function of the user's whether a request may."""

from __future__ import annotations

import inspect
from collections.abc import Callable

__all__ = ["allows"]


async def allows(authorize: Callable[..., object], *asked: object) -> bool:
    """Whether it says True, sync or async: what is only true in an `if` may be a response."""
    allowed = authorize(*asked)
    if inspect.isawaitable(allowed):
        allowed = await allowed
    return allowed is True
