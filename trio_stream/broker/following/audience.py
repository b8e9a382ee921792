"""Who follows which topics, and so of a topic who is handed what is published there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import final

import trio

from ..contract import Record, Retention
from ..contract.topics import compile_patterns, is_pattern
from .crowds import Crowd
from .followers import Follower
from .mapping import EventMap

__all__ = ["Audience", "Group"]

#: When clients that are sent none of many events are told how far they are, so that none of them
#: comes back with an id that the history does not reach back to, or reads all of it again: after so
#: many events, bytes and seconds, or a quarter of what the topic keeps, whichever is first.
_EVENTS, _BYTES, _SECONDS = 100, 2**16, 15.0


#: Topics of which it is remembered which patterns match them.
_ROUTES = 10_000


#: What those of a crowd have in common: topics and patterns, the mapping, the coding.
CrowdKey = tuple[frozenset[str], EventMap | None, str]


@final
class Group(dict[Follower, None]):  # in the order in which they came
    """Followers of one name or pattern with one mapping, or none.

    Args:
      mapping: what they are sent instead of the topics' events.
      of_many: whether it is of a pattern, and so of any number of topics.

    Attributes:
      crowds: those whose streams are compressed, by what they have in common.
    """

    __slots__ = ("_bytes", "_count", "_of_many", "_told", "_with_others", "crowds", "mapping")

    def __init__(self, mapping: EventMap | None, *, of_many: bool) -> None:
        super().__init__()
        self.crowds: dict[CrowdKey, Crowd] = {}
        self.mapping: EventMap | None = mapping
        self._of_many = of_many
        #: How many, but for the crowds', have asked for more besides.
        self._with_others = 0
        self._told = trio.current_time()
        self._count = self._bytes = 0

    @property
    def of_one_topic(self) -> bool:
        """Whether nobody here is sent another topic's events, too."""
        return not (
            self._of_many
            or self._with_others
            or any(len(filters) > 1 for filters, _, _ in self.crowds)
        )

    def everybody(self) -> Iterator[Follower]:
        """Those in its crowds, too."""
        return chain(self, *(crowd.followers for crowd in self.crowds.values()))

    def put(self, follower: Follower) -> None:
        """With this one, whose stream is not compressed."""
        if follower not in self:
            self[follower] = None
            self._with_others += len(follower.selection.filters) > 1

    def drop(self, follower: Follower, crowd: CrowdKey | None) -> bool:
        """Without this one, or the crowd of this key; whether nobody is left then."""
        if crowd is not None:
            self.crowds.pop(crowd, None)
        elif self.pop(follower, self) is self:
            return False
        else:
            self._with_others -= len(follower.selection.filters) > 1
        return not self and not self.crowds

    def note(self, run: list[Record], mapped: list[Record], retention: Retention) -> bool:
        """These were mapped to those; whether their clients should be told how far they are."""
        now = trio.current_time()
        if mapped:
            self._told, self._count, self._bytes = now, 0, 0
        left_out = [record for record in run if not mapped or record.id > mapped[-1].id]
        if not left_out:
            return False
        self._count += len(left_out)
        self._bytes += sum(len(record.data) for record in left_out)
        kept = retention.of(left_out[-1].topic)
        due = (
            self._count >= min(_EVENTS, kept.events / 4)
            or self._bytes >= min(_BYTES, kept.bytes / 4)
            or now - self._told >= min(_SECONDS, (kept.age or 4 * _SECONDS) / 4)
        )
        if due:
            self._told, self._count, self._bytes = now, 0, 0
        return due


@final
class Audience:
    """All followers, by topic and pattern."""

    def __init__(self) -> None:
        #: By name or pattern, of those with a mapping with that.
        self._groups: dict[str | tuple[str, EventMap], Group] = {}
        self._crowds: dict[CrowdKey, Crowd] = {}
        #: Those of names, with a mapping.
        self._mapped: dict[str, list[Group]] = {}
        self._patterns: list[tuple[Callable[[str], bool], Group]] = []
        self._routes: dict[str, list[Group]] = {}
        #: A set would be twice as large: it is made for four times as many when it is full.
        self._all: dict[Follower, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def followers(self, topic: str | None = None) -> set[Follower]:
        """Those of one topic, or all."""
        if topic is None:
            return set(self._all)
        return {follower for group in self.route(topic) for follower in group.everybody()}

    def filters(self) -> set[str]:
        """The names and patterns that they have asked for."""
        return {key if isinstance(key, str) else key[0] for key in self._groups}

    def add(self, follower: Follower) -> None:
        """Put it into the groups of all that it wants."""
        self._all[follower] = None
        groups = [self._group(name, follower) for name in follower.selection.filters]
        if follower.coding is None:
            for group in groups:
                group.put(follower)
            return
        key = _crowd_key(follower, follower.coding)
        crowd = self._crowds.get(key)
        if crowd is None:
            crowd = self._crowds[key] = Crowd(follower.coding)
            for group in groups:
                group.crowds[key] = crowd
        crowd.add(follower)

    def _group(self, name: str, follower: Follower) -> Group:
        key = _key(name, follower)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(follower.view, of_many=is_pattern(name))
            if is_pattern(name):
                self._patterns.append((compile_patterns([name]), group))
                self._routes.clear()
            elif group.mapping is not None:
                self._mapped.setdefault(name, []).append(group)
        return group

    def discard(self, follower: Follower) -> None:
        """Take it out of all of them."""
        self._all.pop(follower, None)
        crowd_key = None
        if follower.coding is not None:
            crowd_key = _crowd_key(follower, follower.coding)
            crowd = self._crowds.get(crowd_key)
            if crowd is None or crowd.followers.pop(follower, self) is self or crowd.followers:
                return
            del self._crowds[crowd_key]
        for name in follower.selection.filters:
            key = _key(name, follower)
            group = self._groups.get(key)
            if group is not None and group.drop(follower, crowd_key):
                del self._groups[key]
                if is_pattern(name):
                    self._patterns = [entry for entry in self._patterns if entry[1] is not group]
                    self._routes.clear()
                elif group.mapping is not None:
                    others = [other for other in self._mapped.pop(name) if other is not group]
                    if others:
                        self._mapped[name] = others

    def route(self, topic: str) -> list[Group]:
        """Those that what is published to this topic goes to."""
        exact = self._groups.get(topic)
        groups = [] if exact is None else [exact]
        if self._mapped:
            groups += self._mapped.get(topic, ())
        if self._patterns:
            matched = self._routes.get(topic)
            if matched is None:
                if len(self._routes) >= _ROUTES:
                    self._routes.clear()
                matched = [group for matches, group in self._patterns if matches(topic)]
                self._routes[topic] = matched
            groups += matched
        return groups


def _key(name: str, follower: Follower) -> str | tuple[str, EventMap]:
    return name if follower.view is None else (name, follower.view)


def _crowd_key(follower: Follower, coding: str) -> CrowdKey:
    return frozenset(follower.selection.filters), follower.view, coding
