"""The names of a broker's keys in Redis, all in one slot of a cluster."""

from __future__ import annotations

from typing import final

__all__ = ["Keys"]


@final
class Keys:
    """The keys that begin with one prefix; `scripts` says what each of them is."""

    def __init__(self, prefix: str) -> None:
        # What is between braces is what a cluster looks at.
        self._prefix = prefix = "{" + prefix + "}"
        self.log: str = f"{prefix}:log"
        self.live: str = f"{prefix}:live"
        self.heads: str = f"{prefix}:heads"
        self.cuts: str = f"{prefix}:cuts"
        self.members: str = f"{prefix}:members"

    def topic(self, name: str) -> str:
        """The stream of a topic."""
        return f"{self._prefix}:t:{name}"

    def holes(self, topic: str) -> str:
        """What was deleted from a topic's stream, from among others."""
        return f"{self._prefix}:h:{topic}"

    def token(self, name: str) -> str:
        """What is remembered of a publish."""
        return f"{self._prefix}:a:{name}"

    def once(self, topic: str, key: str) -> str:
        """The id of what was published once."""
        return f"{self._prefix}:o:{len(topic)}:{topic}:{key}"

    def lease(self, name: str) -> str:
        """A lease."""
        return f"{self._prefix}:l:{name}"

    def values(self, topic: str) -> str:
        """What belongs to the names of who is present on a topic."""
        return f"{self._prefix}:v:{topic}"

    def present(self, topic: str) -> str:
        """Who is present on a topic."""
        return f"{self._prefix}:m:{topic}"
