"""Who is told what becomes of a subscription."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, final

from ...stream.options.hooks import Hook, check_hook
from ..following.followers import NOWHERE, Offered, Taker

if TYPE_CHECKING:
    from ...codec import EncodedEvent

__all__ = ["NO_HOOKS", "FirstTaker", "SubscriptionHooks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionHooks:
    """Functions that are called as a subscription lives, each with it; many can share these.

    As `StreamHooks`: sync functions, which do not block; what one raises is logged.

    Raises:
      TypeError: one is no function, or an async one.

    Attributes:
      on_open: it is streamed, or iterated, from now on.
      on_first_event: its stream has taken the first event, or its iterator has given it.
      on_drop: events were left out for newer ones, or are gone: see ``subscription.statistics()``.
      on_end: it has left its topics. An iterator has to be closed for that.
    """

    on_open: Hook | None = None
    on_first_event: Hook | None = None
    on_drop: Hook | None = None
    on_end: Hook | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            check_hook(field.name, getattr(self, field.name), "takes the subscription")


@final
class FirstTaker:
    """In the place of a stream until it has taken an event from the fan-out.

    So what comes after the first costs nothing.
    """

    __slots__ = ("_sink", "_told")

    def __init__(self, sink: Taker, told: Callable[[], None]) -> None:
        self._sink = sink
        self._told = told

    @property
    def express(self) -> Offered:
        return NOWHERE

    def put_nowait(self, event: EncodedEvent) -> bool:
        taken = self._sink.put_nowait(event)
        if taken:
            self._told()
        return taken

    def add_events(self, count: int) -> None:
        self._sink.add_events(count)

    def found_gone(self) -> object:
        return self._sink.found_gone()


NO_HOOKS = SubscriptionHooks()
