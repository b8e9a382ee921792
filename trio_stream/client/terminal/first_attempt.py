"""A command that is to end by itself: it ends, too, when there is nobody to begin with."""

from __future__ import annotations

from ..connecting.attempts import AttemptEnded, AttemptOpened, as_lost

__all__ = ["FirstAttempt"]


class FirstAttempt:
    """Hears of a command's attempts, and raises where its first one fails.

    An event source tries again for ever, and who watches a stream for as long as he likes sees it
    do so. A script that wants an event would wait for ever, too, with nobody to look.

    Args:
      must_open: whether the command ends by itself, and nobody asked for more attempts.
    """

    def __init__(self, *, must_open: bool) -> None:
        self._must_open = must_open

    def note(self, record: AttemptOpened | AttemptEnded) -> None:
        """Call it with each record.

        Raises:
          TrioStreamError: the first attempt has failed: what it failed with, or a
            `ConnectionLostError`.
        """
        if isinstance(record, AttemptEnded) and record.delay is not None and self._must_open:
            raise as_lost(record.error, record.url, record.failures)
        self._must_open = False
