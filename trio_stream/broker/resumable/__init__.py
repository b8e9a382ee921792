"""Producers that outlive their client, and end with their last one.

A run of a producer is a topic of its own. It begins with a mark and ends with one, and between them
is what the producer sent; so a client that comes back reads on from its id like any subscriber,
and what state a run is in can be read from its topic by any process (`marks`). That it *is* run is
what its lease says, which its process prolongs (`run`): when that process dies, the lease lapses,
whoever watches puts the missing mark at the end, and the next request may run the producer anew
(`watch`).
"""

from __future__ import annotations

from .ends import RunEnding
from .known import KnownRun, known_run
from .run import Producer, ResumableRun
from .runs import Runs
from .watch import IfRunning, Resumable

__all__ = [
    "IfRunning",
    "KnownRun",
    "Producer",
    "Resumable",
    "ResumableRun",
    "RunEnding",
    "Runs",
    "known_run",
]
