"""What has to be said of a run whose process cannot say it any more."""

from __future__ import annotations

import uuid

import trio

from ...errors import LeaseLostError
from ..contract import Lease, lease_of
from .marks import find_run, mark_end, truth
from .runs import Runs

__all__ = ["bury"]


async def bury(runs: Runs, topic: str) -> bool:
    """Mark the end of a run that nobody runs; whether that was so. Raises what the engine does."""
    engine = runs.engine
    lease = lease_of(engine)
    if await engine.holder(topic) is not None:
        return False
    if engine.shared:
        # Leases lapse in an outage, too: whoever lives takes his again when it is over.
        await trio.sleep(lease / 10)
    undertaker = Lease(topic, uuid.uuid4().hex)
    if await engine.claim(topic, undertaker.owner, lease) is not None:
        return False
    try:
        run = await find_run(truth(engine, runs.feed), topic)
        if run.kept and run.end is None:
            await mark_end(runs.publisher, topic, "lost", undertaker)
    except LeaseLostError:
        pass  # it stood still itself
    finally:
        with trio.move_on_after(1, shield=True):
            await engine.release(topic, undertaker.owner)
    return True
