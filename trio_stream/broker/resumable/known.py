"""How a run is, for who asks from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..contract import Member
from ..contract.presence_value import decoded
from .marks import Ending, ending_of, find_run, time_of, topic_of
from .runs import Runs

__all__ = ["KnownRun", "known_run"]


@dataclass(frozen=True, slots=True)
class KnownRun:
    """How the last run of a key is; got by `Broker.run`."""

    #: As given to `Broker.resumable`.
    key: str
    #: ``"running"``, ``"done"`` or ``"failed"``.
    state: Literal["running", "done", "failed"]
    #: Of a failed one: ``"failed"``, ``"stopped"``, ``"abandoned"`` or ``"lost"``; else None.
    reason: str | None
    #: When it began to run, or ended, as `time.time` had it where it runs. None where that is not
    #: known: it was lost, or the history does not reach back so far.
    since: float | None
    #: Who watches it, in all processes: by name.
    watchers: Sequence[Member]


async def known_run(runs: Runs, key: str) -> KnownRun | None:
    """See `Broker.run`."""
    topic = topic_of(key)
    run = await find_run(runs.feed, topic)
    watchers = tuple(map(decoded, await runs.engine.members(topic)))
    if run.end is not None:
        ending: Ending = ending_of(run.end)
        since = time_of(run.end)
        if ending == "done":
            return KnownRun(key, "done", None, since, watchers)
        return KnownRun(key, "failed", ending, since, watchers)
    if await runs.engine.holder(topic) is not None:
        return KnownRun(key, "running", None, run.began, watchers)
    if not run.kept:
        return None
    return KnownRun(key, "failed", "lost", None, watchers)
