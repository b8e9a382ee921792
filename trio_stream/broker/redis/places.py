"""Where Redis is: at an address, or where Sentinel or a node of a cluster says that it is now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio
from coredis.connection import (
    BaseConnection,
    Location,
    TCPConnection,
    TCPLocation,
    UnixDomainSocketConnection,
    UnixDomainSocketLocation,
)

from ...errors import BrokerUnavailableError
from ..servers.troubles import ServerRefusedError, UnreachableError
from ..unwrapped import unwrapped
from .address import Address
from .wire import PATIENCE, MovedError, RefusedError, Wire

__all__ = ["NewWire", "Places", "find_places"]

#: What makes a connection, not run yet, to the Redis that is to be written to now.
NewWire = Callable[[], Awaitable[Wire]]


@dataclass(frozen=True, slots=True)
class Places:
    """How to find the Redis that is to be written to now.

    Attributes:
      connect: makes a connection to it.
      find: asks where it is, of somebody who may say something else later; None where nobody can.
        Raises `BrokerUnavailableError` when nobody answers.
    """

    connect: NewWire
    find: Callable[[], Awaitable[Location]] | None = None


def find_places(address: Address, key: str) -> Places:
    """How to find the Redis of this address.

    Args:
      key: one of the keys, by which a cluster knows which of its nodes has them.
    """
    if address.kind == "redis+sentinel":
        find = partial(_ask_sentinels, address)

        async def connect() -> Wire:
            return _wire(await find(), address.options)

        return Places(connect, find)
    if address.kind == "redis+cluster":
        # A node that has not the keys any more says so to whoever writes.
        return Places(partial(_ask_cluster, address, key))

    async def make() -> Wire:
        return _wire(address.locations[0], address.options)

    return Places(make)


def _wire(location: Location, options: dict[str, Any]) -> Wire:
    made: Callable[..., BaseConnection] = TCPConnection
    if isinstance(location, UnixDomainSocketLocation):
        made = UnixDomainSocketConnection
    connection = made(location, stream_timeout=PATIENCE, connect_timeout=PATIENCE, **options)
    return Wire(connection, location)


async def _ask_sentinels(address: Address) -> Location:
    # The login is Redis', not Sentinel's.
    question = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", address.service)
    try:
        _, found = await _ask_any(address, {}, *question)
    except RefusedError as exc:
        if exc.code != "NOAUTH":
            raise
        what = "Sentinel wants a password, and is told none: the login in the URL is Redis' own"
        raise RefusedError(what, exc.code) from None
    if found is None:
        raise UnreachableError(f"Sentinel knows of no {address.service!r}")
    return TCPLocation(found[0].decode(), int(found[1]))


async def _ask_cluster(address: Address, key: str) -> Wire:
    node, moved = await _ask_any(address, address.options, b"EXISTS", key)
    if isinstance(moved, MovedError) and moved.for_good:
        # A node that does not know its own address leaves it out: it is where it was asked.
        node = TCPLocation(moved.host or node.host, moved.port)
    return _wire(node, address.options)


async def _ask_any(
    address: Address, options: dict[str, Any], command: bytes, *args: Any
) -> tuple[TCPLocation, Any]:
    """Ask the first of them that answers; which it was, and its answer, maybe that keys moved."""
    refusal: ServerRefusedError | None = None
    failure: BrokerUnavailableError | None = None
    for node in address.locations:
        assert isinstance(node, TCPLocation)
        try:
            return node, await _ask(_wire(node, options), command, *args)
        except MovedError as exc:
            return node, exc
        except ServerRefusedError as exc:
            refusal = refusal or exc
        except BrokerUnavailableError as exc:
            failure = exc
    if refusal is not None:  # that of a password, mostly, and nothing that passes
        raise refusal
    raise UnreachableError(f"no node can be reached: {failure}")


async def _ask(wire: Wire, command: bytes, *args: Any) -> Any:
    with unwrapped():
        async with trio.open_nursery() as nursery:
            await nursery.start(wire.run)
            try:
                return await wire.request(command, *args)
            finally:
                nursery.cancel_scope.cancel()
