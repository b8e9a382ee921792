"""Nurseries of the library's own, which their users should not see in an exception group."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["unwrapped"]


@contextmanager
def unwrapped() -> Generator[None]:
    """Raise a single failure as it is: ``with unwrapped(): async with trio.open_nursery(): ...``.

    What it came of stays as it was. Several failures stay a group.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) != 1:
            raise
        failure = group.exceptions[0]
        context = failure.__context__
        try:
            raise failure
        finally:
            failure.__context__ = context  # of which the raise has made the group
