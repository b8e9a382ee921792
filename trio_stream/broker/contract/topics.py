"""Topic names, the patterns that select them, and the ids that clients bring back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal, final

from ...checks import check_flag, check_kind

__all__ = [
    "EARLIEST",
    "MAX_TOPIC_BYTES",
    "PRESENCE",
    "Selection",
    "check_cursor",
    "check_key",
    "check_name",
    "check_topic",
    "is_pattern",
    "parse_cursor",
    "presence_topic",
    "select_topics",
]

#: The longest topic name, in bytes of UTF-8: names are keys, in memory, in SQLite and in Redis.
MAX_TOPIC_BYTES = 1024

#: What the topics begin with on which somebody's coming and going is told.
PRESENCE = "$presence/"

#: "The ids of the log begin after this one", as a cursor.
EARLIEST = 0

#: The largest id: what SQLite holds, and what Redis' streams hold with room to spare.
_MAX_ID = 2**63 - 1

_WILDCARDS = {"*", "**"}


def check_topic(topic: object) -> str:
    """A name that can be published to, if it is one; else `TypeError` or `ValueError`.

    Any Unicode text is one, but for ``*`` and ``**`` as a whole segment, which only patterns have.
    """
    return _check_topic(topic) if isinstance(topic, str) else check_name(topic, "a topic")


@lru_cache(maxsize=1024)  # topics are published to over and over
def _check_topic(topic: str) -> str:
    name = check_name(topic, "a topic")
    if is_pattern(name):
        raise ValueError(
            f"the topic {name!r} is a pattern, and this takes one name: '*' and '**' between "
            "slashes stand for others, in what is subscribed to or read"
        )
    return name


def check_key(key: object) -> str:
    """What a publisher may call the value of which its event is the latest; else likewise."""
    return _check_key(key) if isinstance(key, str) and key else check_name(key, "a key")


@lru_cache(maxsize=1024)
def _check_key(key: str) -> str:
    if key.startswith("$"):
        raise ValueError(f"a key that begins with '$' is the library's own: {key!r}")
    return check_name(key, "a key")


def is_pattern(name: str) -> bool:
    """Whether a name stands for others: ``*`` for one segment, ``**`` for one or more."""
    return "*" in name and not _WILDCARDS.isdisjoint(name.split("/"))


def check_cursor(after: object, also: str = "") -> None:
    """`TypeError` for what is neither text, whatever is in it, nor a number, nor None.

    What comes from a client is text; anything else is the program's own mistake. ``also`` says what
    else there is.
    """
    what = f"an id, 'earliest'{also} or None"
    if isinstance(after, bool):
        raise TypeError(f"after must be {what}, not {after}")
    check_kind("after", after, (str, int), what, or_none=True)


def parse_cursor(after: object) -> int | None:
    """The number in an id; None when it is no id that any broker could have given.

    It comes from a client, so anything at all is expected, 1 MiB of it too.
    """
    if isinstance(after, int) and not isinstance(after, bool):
        number = after
    elif isinstance(after, str) and len(after) <= 19 and after.isascii() and after.isdigit():
        number = int(after)
    else:
        return None
    return number if 0 <= number <= _MAX_ID else None


def presence_topic(topic: str) -> str:
    """Where the news of a topic's members are published: ``join``, ``update`` and ``leave``.

    Their data is ``{"name": ...}``, in an ``update``, and in a ``join`` that says it, with the
    ``data`` that belongs to the name. Subscribe to it along with the topic itself. Read in order
    they tell who is present; the same may be told twice, and an ``update`` before its ``join``, so
    keep a map: the first two put a name into it, a ``leave`` takes it out.

    Raises:
      TypeError, ValueError: it is no topic's name.
    """
    return PRESENCE + check_name(topic, "a topic")


@final
class Selection:
    """The topics that a subscription wants, by name and by pattern."""

    __slots__ = ("_matches", "filters", "names", "patterns")

    def __init__(self, filters: Iterable[str]) -> None:
        #: Names and patterns as they were given, each once.
        self.filters: tuple[str, ...] = tuple(
            dict.fromkeys(check_name(name, "a topic") for name in filters)
        )
        if not self.filters:
            raise ValueError("name at least one topic or pattern")
        self.names: tuple[str, ...] = tuple(name for name in self.filters if not is_pattern(name))
        self.patterns: tuple[str, ...] = tuple(name for name in self.filters if is_pattern(name))
        self._matches = compile_patterns(self.patterns)

    def __contains__(self, topic: object) -> bool:
        return topic in self.names or (isinstance(topic, str) and self._matches(topic))

    def __repr__(self) -> str:
        return f"<Selection {', '.join(self.filters)}>"

    def facts(self) -> dict[str, str]:
        """What it is, as fields of a line in the log."""
        return {"topic": ", ".join(self.filters)}


def select_topics(names: tuple[str, ...], patterns: bool) -> Selection:
    """What somebody may subscribe to or read; else `TypeError` or `ValueError`."""
    check_flag("patterns", patterns)
    for name in names:
        check_name(name, "a topic")
    return _select(names, patterns)


@lru_cache(maxsize=1024)
def _select(names: tuple[str, ...], patterns: bool) -> Selection:
    """One for all subscribers of the same topics: each one's own would be 200 bytes."""
    for name in names:
        if name.startswith("$") and not name.startswith(PRESENCE):
            raise ValueError(f"a topic that begins with '$' is not for subscribers: {name!r}")
        if not patterns:
            check_topic(name)
    return Selection(names)


def compile_patterns(patterns: Iterable[str]) -> Callable[[str], bool]:
    """A function that tells whether a topic is matched by any of the patterns.

    A segment that begins with ``$`` is the library's own: no leading wildcard matches it.
    """
    sources = [_to_regex(pattern) for pattern in patterns]
    if not sources:
        return _matches_nothing
    match = re.compile("|".join(sources), re.DOTALL).fullmatch
    return lambda topic: match(topic) is not None


def _matches_nothing(topic: str) -> bool:
    return False


def _to_regex(pattern: str) -> str:
    kinds: dict[str, Literal["[^/]+", ".+"]] = {"*": "[^/]+", "**": ".+"}
    segments = [kinds.get(segment) or re.escape(segment) for segment in pattern.split("/")]
    guard = r"(?!\$)" if pattern.startswith("*") else ""
    return f"(?:{guard}{'/'.join(segments)})"


def check_name(name: object, what: str) -> str:
    """A name that every engine can keep, if it is one; else `TypeError` or `ValueError`."""
    if not isinstance(name, str):
        raise TypeError(f"{what} is a str, not {type(name).__name__}")
    if not name:
        raise ValueError(f"{what} cannot be an empty string")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as exc:
        raise ValueError(f"{what} cannot hold half a surrogate pair: {name!a}") from exc
    if size > MAX_TOPIC_BYTES:
        raise ValueError(f"{what} is at most {MAX_TOPIC_BYTES} bytes of UTF-8, not {size}")
    return name
