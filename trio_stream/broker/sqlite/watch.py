"""Looking after the file of a ``sqlite://`` broker: whether it is there, and the disk answers.

From a thread of its own: the one that stores may be what hangs, and any look at the file may hang.
It is a person who has to hear of it, so it goes into the log: once, and again when it is over.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import perf_counter
from typing import final

import trio

from ...errors import BrokerStorageError
from .worker import Worker

__all__ = ["Watch"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds between two looks.
_LOOK = 1.0

#: Seconds after which a disk that does not answer is worth a line in the log.
_STUCK = 5.0


@final
class Watch:
    """Tells when something is wrong with a file, and when no longer.

    Args:
      path: as it is called in the log.
      worker: whose thread is at the file.
      check_place: raises `BrokerStorageError` when the file is not where it was.
    """

    def __init__(self, path: str, worker: Worker, check_place: Callable[[], None]) -> None:
        self._path = path
        self._worker = worker
        self._check_place = check_place
        self._over = threading.Event()
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        limiter = trio.CapacityLimiter(1)
        try:
            await trio.to_thread.run_sync(self._watch, limiter=limiter, abandon_on_cancel=True)
        finally:
            self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            since = self._worker.busy_since
            stuck = since is not None and perf_counter() - since > _STUCK
            self._tell(
                f"the disk has not answered for {_STUCK:g} s: publishers wait, and so does who "
                "reads what is not in memory"
                if stuck
                else "",
                over="the disk answers again",
            )
            if not stuck:  # a look might hang as well
                self._tell(self._misplaced(), over="the file is where it was")

    def _misplaced(self) -> str:
        try:
            self._check_place()
        except BrokerStorageError as exc:
            return str(exc)
        return ""

    def _tell(self, fault: str, *, over: str) -> None:
        told = self._told.get(over, "")
        if fault and fault != told:
            facts = {"engine": "sqlite", "file": self._path, "error": fault}
            log.error("%(file)s: %(error)s", facts)
        elif told and not fault:
            facts = {"engine": "sqlite", "file": self._path, "state": over}
            log.warning("%(file)s: %(state)s", facts)
        self._told[over] = fault
