"""`Script`: something that Redis does by itself, in one step."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1

__all__ = ["Script", "reading", "writing"]


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name that Redis gives it; whether it only reads."""

    text: str
    sha: str
    reads: bool


def writing(text: str, *, reads: bool = False) -> Script:
    """A script that may write."""
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest(), reads)


def reading(text: str) -> Script:
    """A script that writes nothing."""
    return writing(text, reads=True)
