"""What a stream is sent of a run's topic: the producer's events, and its end as the user has it."""

from __future__ import annotations

from typing import final

from ...codec import EncodedEvent
from ...errors import RunFailedError
from ..contract import Record
from ..contract.notices import Notice, check_notice, shaped
from .marks import ending_of, is_end, is_mark

__all__ = ["RunEnding"]


@final
class RunEnding:
    """The last that a client hears of a run; `Subscription` asks it about each record.

    Args:
      key: as given to `Broker.resumable`.
      done: what is told when the producer has returned. None: the stream's end alone.
      failed: what is told when it has ended in any other way. None: the stream fails.
    """

    __slots__ = ("_done", "_failed", "_key")

    def __init__(self, key: str, done: Notice[[]], failed: Notice[[str]]) -> None:
        check_notice("done", done, takes=0)
        check_notice("failed", failed, takes=1)
        self._key = key
        self._done = done
        self._failed = failed

    def shape(self, record: Record) -> EncodedEvent | None:
        """What is sent of a record; None when that is nothing.

        Raises:
          RunFailedError: the run did, and there is no event that would say so.
        """
        if not is_mark(record):
            return record.event
        if not is_end(record):
            return None  # a block without data, which some decoders take for an event
        ending = ending_of(record)
        if ending == "done":
            return shaped("done", self._done, record.id)
        event = shaped("failed", self._failed, record.id, ending)
        if event is None:
            raise RunFailedError(self._key, ending)
        return event

    def is_last(self, record: Record) -> bool:
        """Whether nothing is to be delivered after it."""
        return is_end(record)
