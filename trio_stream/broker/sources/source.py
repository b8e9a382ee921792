"""`Source`: what is to run while somebody watches, as its user has given it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, final
from urllib.parse import quote

from ...codec import ServerSentEvent
from ..contract.notices import Notice
from ..contract.topics import MAX_TOPIC_BYTES, Selection, compile_patterns, is_pattern
from .run import SourceRun

__all__ = ["Source", "SourceFunction", "source_event"]

#: ``async (run) -> None``, or an async generator function of a `SourceRun`.
SourceFunction = Callable[[SourceRun], Any]


def source_event(reason: str, again: float) -> ServerSentEvent:
    """What those who watch are told when a source has ended, unless ``failed=`` says otherwise."""
    return ServerSentEvent({"reason": reason, "again": again}, event="source")


@final
class Source:
    """As given to `Broker.source`; see there for what each means."""

    __slots__ = ("_matches", "each", "failed", "fn", "linger", "pattern")

    def __init__(
        self,
        pattern: str,
        fn: SourceFunction,
        linger: float,
        each: bool,
        failed: Notice[[str, float]],
    ) -> None:
        self.pattern: str = pattern
        self.fn: SourceFunction = fn
        self.linger: float = linger
        self.each: bool = each
        self.failed: Notice[[str, float]] = failed
        self._matches = compile_patterns([pattern] if is_pattern(pattern) else [])

    def watched_by(self, selection: Selection) -> Iterator[tuple[str, str]]:
        """Of a subscription's names and patterns those that watch it, each behind what is run."""
        for name in selection.filters:
            if name == self.pattern or (not is_pattern(name) and self._matches(name)):
                yield (name if self.each else self.pattern), name

    def name_of(self, topic: str) -> str:
        """Of the lease under which it is run for a topic, and of who is present on it."""
        name = f"$source/{quote(self.pattern)} {quote(topic)}"  # a pattern is nobody's name
        if len(name) > MAX_TOPIC_BYTES:
            name = f"$source/{sha256(name.encode()).hexdigest()}"
        return name
