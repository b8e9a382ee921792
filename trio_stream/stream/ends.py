"""The end: errors that meet a producer after it, what is left of a nursery's group."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from .outcome import LOST, Outcome
from .requested import Facts

__all__ = [
    "ProducerSilent",
    "StreamBroken",
    "StreamClosed",
    "end_error",
    "failure_in",
    "log_failure",
]

log: logging.Logger = logging.getLogger("trio_stream")


class StreamClosed(trio.ClosedResourceError):
    """What a `send` after the end raises: this side ended the stream."""

    def __init__(self, stream: object, outcome: str) -> None:
        super().__init__(f"the stream has ended ({outcome}): nothing more can be sent")
        self.stream = stream


class StreamBroken(trio.BrokenResourceError):
    """What a `send` after the end raises: the client left, or stalled."""

    def __init__(self, stream: object, outcome: str) -> None:
        super().__init__(f"the client is gone ({outcome}): nothing more can be sent")
        self.stream = stream


def end_error(handle: Callable[[], object], outcome: Outcome | None) -> Exception:
    """What a `send` raises after an end like that: ``handle`` gives the stream."""
    if outcome in LOST:
        return StreamBroken(handle(), outcome)
    return StreamClosed(handle(), outcome or Outcome.CLOSED)


class ProducerSilent(trio.TooSlowError):
    """What a stream has failed with whose producer has sent nothing for too long."""

    def __init__(self, option: str, seconds: float) -> None:
        super().__init__(f"the stream's producer sent nothing for {option}={seconds:g} s")


def failure_in(group: BaseExceptionGroup, stream: object) -> BaseException | None:
    """What a producer failed with, out of the group that the stream's own nursery made.

    A task that was told by its `send` that the stream has ended, and let that error go, has not
    failed. Of the rest exactly one layer is peeled off, ours: a group that the user raised, or
    several failures at once, stay groups.
    """

    def is_own_end(error: BaseException) -> bool:
        return isinstance(error, StreamClosed | StreamBroken) and error.stream is stream

    _, rest = group.split(is_own_end)
    if rest is None:
        return None
    _, failures = rest.split(trio.Cancelled)
    if failures is None:
        return None
    return failures.exceptions[0] if len(failures.exceptions) == 1 else failures


def log_failure(failure: BaseException | None, when: str, facts: Facts) -> None:
    """A failure that cannot be raised, because something else has to be.

    Raises:
      BaseException: the failure itself, if the program is to end because of it, or of a part of it.
    """
    if isinstance(failure, Exception):
        told = {"when": when, "error": failure, **facts()}
        log.error("a stream failed while %(when)s", told, exc_info=failure)
    elif failure is not None:
        raise failure
