"""How long engines that wait for something take to store what is published."""

from __future__ import annotations

from ..tally import Histogram

__all__ = ["STORED"]

#: By the kind of engine, for each batch, in seconds: from when its turn comes until it is stored.
STORED: Histogram = Histogram(
    (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0)
)
