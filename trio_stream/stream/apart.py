"""What keeps thousands of clients apart who would else do the same at the same moment."""

from __future__ import annotations

import random

from ..codec import MAX_RETRY

__all__ = ["about", "chance", "farewell_retry", "own_retry", "ping_after"]

#: What a browser waits before it reconnects is set by the last `retry` it was sent, and a stream
#: that is shut down says a long one: so every stream says its own first. 3000 ms is what Firefox
#: and Chromium wait when told nothing.
DEFAULT_RETRY = 3000

#: Milliseconds over which a shutdown spreads the clients' return, evenly, after their own `retry`.
#: Ten seconds make ten thousand clients a thousand a second, which one worker takes in its stride.
FAREWELL_WINDOW = 10_000

#: The share of `ping` by which a stream may ping sooner: those that opened together drift apart.
_SOONER = 0.2


def own_retry(retry: int | None, jitter: float) -> int:
    """What one stream's client is told: from ``retry`` up to that share of it more.

    A crash sends no farewell: whoever was connected then comes back after the last that he heard.
    """
    base = DEFAULT_RETRY if retry is None else retry
    return min(base + int(base * jitter * chance()), MAX_RETRY)


def farewell_retry(retry: int | None) -> int:
    """What it is told when the server shuts down."""
    base = DEFAULT_RETRY if retry is None else retry
    return min(base + random.randrange(FAREWELL_WINDOW), MAX_RETRY)


def ping_after(ping: float | None) -> float | None:
    """After how much silence one stream pings: no more than was asked for, but for the clock."""
    return None if ping is None else ping * (1 - _SOONER * chance())


def about(seconds: float) -> float:
    """Plus or minus 10 %: clients that came together must not all be due together."""
    return seconds * random.uniform(0.9, 1.1)


def chance() -> float:
    """From 0 to 1, each with the same chance; the project's own tests have it be 0."""
    return random.random()
