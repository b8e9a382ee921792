"""Who holds what, and who is present, where Redis knows it for all processes."""

from __future__ import annotations

from collections.abc import Sequence

from ..contract import Member
from . import lease_scripts
from .keys import Keys
from .link import Link

__all__ = ["RedisLeases"]


class RedisLeases:
    """The part of an `Engine` that is about leases and presence.

    Args:
      commands: a connection; none of this waits for one.
    """

    def __init__(self, commands: Link, keys: Keys) -> None:
        self._commands = commands
        self._keys = keys

    async def claim(self, name: str, owner: str, seconds: float) -> str | None:
        keys = [self._keys.lease(name)]
        holder = await self._commands.call(lease_scripts.CLAIM, keys, owner, _ms(seconds))
        return None if holder is None else holder.decode()

    async def prolong(self, name: str, owner: str, seconds: float) -> bool:
        keys = [self._keys.lease(name)]
        return bool(await self._commands.call(lease_scripts.PROLONG, keys, owner, _ms(seconds)))

    async def release(self, name: str, owner: str) -> None:
        await self._commands.call(lease_scripts.RELEASE, [self._keys.lease(name)], owner)

    async def holder(self, name: str) -> str | None:
        holder = await self._commands.request(b"GET", self._keys.lease(name))
        return None if holder is None else holder.decode()

    async def join(
        self, topic: str, name: str, owner: str, count: int, seconds: float
    ) -> tuple[int, int]:
        keys = [self._keys.present(topic), self._keys.members, self._keys.values(topic)]
        args = (topic, owner, name, count, _ms(seconds))
        before, now = await self._commands.call(lease_scripts.JOIN, keys, *args)
        return int(before), int(now)

    async def describe(
        self, topic: str, name: str, data: str | None
    ) -> tuple[str | None, str | None]:
        keys = [self._keys.present(topic), self._keys.values(topic)]
        script = lease_scripts.DESCRIBED if data is None else lease_scripts.DESCRIBE
        found = await self._commands.call(script, keys, name, *(() if data is None else (data,)))
        if found is None:
            return None, None
        before = found.decode()
        return before, before if data is None else data

    async def members(self, topic: str) -> Sequence[Member]:
        keys = [self._keys.present(topic), self._keys.values(topic)]
        found = await self._commands.call(lease_scripts.MEMBERS, keys)
        return sorted(
            (Member(name.decode(), int(count), data.decode()) for name, count, data in found),
            key=lambda member: member.name,
        )

    async def lapsed(self) -> Sequence[tuple[str, str]]:
        prefixes = (self._keys.present(""), self._keys.values(""))
        gone = await self._commands.call(lease_scripts.LAPSED, [self._keys.members], *prefixes)
        return [(topic.decode(), name.decode()) for topic, name in gone]


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))
