"""What a publisher gives, made into an entry for the log: encoded here, once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from ...checks import check_flag
from ...codec import EncodedEvent, as_event, encode_sse
from .records import Entry, Once
from .topics import check_key, check_name, check_topic

__all__ = ["body_of", "check_once", "check_published", "known_together", "special_entry"]


def check_published(topic: str, key: str) -> str:
    """A topic that users publish to, with this key; else `TypeError` or `ValueError`."""
    name = check_topic(topic)
    if name[0] == "$":
        raise ValueError(f"a topic that begins with '$' is the library's own: {name!r}")
    if key != "":
        check_key(key)
    return name


def body_of(data: Any, event: str | None) -> bytes:
    """An event's wire form, without an id; likewise."""
    given = data if isinstance(data, EncodedEvent) else as_event(data)
    if given is not None:
        if given.id is not None or (isinstance(given, EncodedEvent) and _has_own_id(given.data)):
            raise ValueError("a topic gives its events ids of its own: leave out the event's")
        if given.data is None:
            raise ValueError("an event without data reaches nobody: give it data, if only ''")
        if isinstance(given, EncodedEvent) and not given.compress:
            raise ValueError(
                "a topic's events are compressed with each other, where its streams are: send what "
                "is not to be, encode(..., compress=False), into each client's own stream"
            )
    return encode_sse(data, event)


def _has_own_id(wire: bytes) -> bool:
    """Whether an event in wire form has an id that its `EncodedEvent` was not told."""
    return b"id" in wire and _ID_FIELD.search(wire) is not None


#: A decoder takes a line that is a field's name alone for the field, empty.
_ID_FIELD = re.compile(rb"(?:^|[\r\n])id(?:[:\r\n]|$)")


def check_once(once: str, keep: bool) -> None:
    """What an entry may be known by, if it is kept."""
    check_name(once, "once")
    if not keep:
        raise ValueError("once= is for what is kept: leave it out, or keep=False")


def known_together(entries: Sequence[Entry], once: str, once_for: float) -> Sequence[Entry]:
    """These, known by one ``once``: the first by that itself, the others by keys made of it."""
    digest = sha256(once.encode()).hexdigest()
    keys = [once, *(f"${digest}:{number}" for number in range(1, len(entries)))]
    return [
        Entry(entry.topic, entry.body, entry.key, entry.but, Once(key, once_for))
        for entry, key in zip(entries, keys, strict=False)
    ]


def special_entry(
    entry: Entry, once: str | None, keep: bool, but: str | None, once_for: float
) -> Entry:
    """The entry with what few have; likewise."""
    check_flag("keep", keep)
    if once is not None:
        check_once(once, keep)
    if but is not None:
        check_name(but, "but, a stream's id,")
    known = None if once is None else Once(once, once_for)
    return Entry(entry.topic, entry.body, entry.key, but or "", known)
