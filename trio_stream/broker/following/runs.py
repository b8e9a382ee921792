"""What of all that waits to be handed out goes out together, in one write for each client."""

from __future__ import annotations

from collections import deque
from operator import is_

from ...transport.base import LARGE
from ..contract.records import Record
from .audience import Audience, Group

__all__ = ["Pending", "in_runs", "next_run"]

#: Bytes that are joined into one write.
_JOINED_BYTES = 2**16

#: An event; an id where some may have been left out; an event that is in no log.
Pending = Record | int | tuple[Record]


def in_runs(waiting: deque[Pending], audience: Audience) -> deque[Pending]:
    """The same, but each topic's events together, where that changes the order for nobody.

    Busy topics are published to in turn: one by one each event would be a write for each client,
    however many wait. Where all of a topic's clients are sent nothing else, what comes between its
    events is nothing to them; and what nobody is sent is left out.

    Who follows from now on has had all of these, so it holds for as long as they are handed out.
    """
    ordered: deque[Pending | list[Record]] = deque()
    together: dict[str, list[Record]] = {}
    for item in waiting:
        if not isinstance(item, Record):
            ordered.append(item)
            together = {}  # nothing passes it
        elif item.topic in together:
            together[item.topic].append(item)
        elif route := audience.route(item.topic):
            if all(group.of_one_topic for group in route):
                together[item.topic] = [item]
                ordered.append(together[item.topic])
            else:
                ordered.append(item)
    found: deque[Pending] = deque()
    for entry in ordered:
        if isinstance(entry, list):
            found.extend(entry)
        else:
            found.append(entry)
    return found


def next_run(
    oldest: Record, route: list[Group], waiting: deque[Pending], audience: Audience
) -> list[Record]:
    """The oldest event that waits, and what follows it as long as it is for the same groups."""
    run, size = [oldest], len(oldest.data)
    while waiting and size < _JOINED_BYTES:
        following = waiting[0]
        if not isinstance(following, Record) or not (
            following.topic == oldest.topic or _are(audience.route(following.topic), route)
        ):
            break
        if len(following.data) > LARGE or following.but != oldest.but:
            break  # it is not copied; it is not for the same streams
        run.append(following)
        size += len(following.data)
        waiting.popleft()
    return run


def _are(groups: list[Group], others: list[Group]) -> bool:
    """Whether these are the same groups, not merely equal ones."""
    return len(groups) == len(others) and all(map(is_, groups, others))
