"""`Snapshot`: the state that a subscription begins with, and whose changes follow it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, final

from ...checks import check_callable
from ...codec import EncodedEvent, as_event
from ..contract import Record, wire_form
from ..contract.entries import body_of

__all__ = ["Snapshot", "SnapshotFunction", "check_snapshot"]

#: ``() -> state``, or async: data as for ``stream.send``, an event, or a list with events.
SnapshotFunction = Callable[[], Any]


@final
class Snapshot:
    """``snapshot=`` of a subscription.

    Args:
      fn: gives the state as it is now.
    """

    __slots__ = ("_fn",)

    def __init__(self, fn: SnapshotFunction) -> None:
        self._fn = fn

    async def take(self, place: int) -> list[Record]:
        """The state as events, of which the last has the id behind which its changes are.

        A client that is cut off before that comes back without it, and begins anew. Raises what the
        user's function does, and `TypeError` or `ValueError` for what cannot be sent.
        """
        state = self._fn()
        if inspect.isawaitable(state):
            state = await state
        *bodies, last = [body_of(each, None) for each in (state if _is_several(state) else [state])]
        records = [Record(0, "", "", body) for body in bodies]
        return [*records, Record(place, "", "", wire_form(place, last))]


def _is_several(state: object) -> bool:
    """Whether this is a list with events in it; an empty one is data, so that there is a state."""
    return isinstance(state, list | tuple) and any(
        isinstance(each, EncodedEvent) or as_event(each) is not None for each in state
    )


def check_snapshot(fn: object) -> None:
    """`TypeError` for what gives no state."""
    check_callable(
        "snapshot", fn, "gives the state as it is now", takes=0, or_none=True, awaited=True
    )
