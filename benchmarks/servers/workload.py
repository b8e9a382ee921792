"""What every Python server here sends: the same texts, the same clock, the same pace."""

from __future__ import annotations

import os
import time

TEXT = "a short string"
#: Seconds between two events of a client, or of the publisher.
INTERVAL = float(os.environ.get("INTERVAL", "0.05"))


def now() -> str:
    """The clock that the load generator reads as well: CLOCK_MONOTONIC, in nanoseconds."""
    return str(time.monotonic_ns())
