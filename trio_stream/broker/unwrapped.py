"""Nurseries of the library's own, which their users should not see in an exception group."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["unwrapped"]


@contextmanager
def unwrapped() -> Generator[None]:
    """Raise a single failure as it is: ``with unwrapped(): async with trio.open_nursery(): ...``.

    Several failures stay a group.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) != 1:
            raise
        raise group.exceptions[0] from group.exceptions[0].__cause__
