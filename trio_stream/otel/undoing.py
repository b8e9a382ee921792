"""What `instrument` and `instrument_metrics` return."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

__all__ = ["Instrumentation"]


@final
class Instrumentation:
    """That streams are told of; until `stop` is called, or the process ends."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop: Callable[[], None] | None = stop

    def stop(self) -> None:
        """Tell nothing any more. Idempotent."""
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()
