"""What the checks of `check_broker` say it with: each error tells what was wanted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from ..broker import Broker, Subscription
from ..errors import GapError

__all__ = [
    "Check",
    "OpenBroker",
    "expect",
    "expect_gap",
    "expect_raises",
    "expect_same",
    "read_data",
    "read_ids",
]

OpenBroker = Callable[..., AbstractAsyncContextManager[Broker]]
Check = Callable[[OpenBroker], Awaitable[None]]


async def read_ids(broker: Broker, filters: Sequence[str], after: str, count: int) -> list[str]:
    """The first ``count`` ids after one."""
    subscription = broker.subscribe(*filters, after=after)
    return [(await anext(subscription)).id for _ in range(count)]


async def read_data(subscription: Subscription, count: int) -> list[str]:
    """What the next ``count`` events say."""
    return [(await anext(subscription)).data for _ in range(count)]


async def expect_gap(subscription: Subscription, **expected: Any) -> None:
    """It tells a gap, with these attributes, and goes on behind it."""
    try:
        event = await anext(subscription)
    except GapError as gap:
        for name, value in expected.items():
            expect_same(getattr(gap, name), value, f"the gap's {name}")
        if gap.next is not None:
            expect_same((await anext(subscription)).id, gap.next, "the first event behind the gap")
    else:
        raise AssertionError(f"a hole was not told: {event!r} came as if nothing were missing")


async def expect_raises(
    kind: type[Exception], function: Callable[..., Any], *args: Any, **options: Any
) -> None:
    try:
        await function(*args, **options)
    except kind:
        return
    raise AssertionError(f"{function.__name__}{args!r} did not raise {kind.__name__}")


def expect_same(got: object, wanted: object, what: str) -> None:
    if got != wanted:
        raise AssertionError(f"{what}: {_short(got)} instead of {_short(wanted)}")


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:140]} ... {text[-140:]}"
