"""Where Redis is: at an address, or where Sentinel or a node of a cluster says that it is now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast
from urllib.parse import SplitResult, parse_qs, urlsplit

import coredis.exceptions
import trio
from coredis.connection import BaseConnection, TCPLocation
from coredis.pool import ConnectionPool

from ..unwrapped import unwrapped
from ..urls import without_login

__all__ = ["PATIENCE", "NewConnection", "hold", "new_connections"]

#: Seconds for a connection to be made, and for an answer to anything that does not block.
PATIENCE = 5.0

#: What makes a connection, not run yet, to the Redis that is to be written to now.
NewConnection = Callable[[], Awaitable[BaseConnection]]

_FORMS = (
    "redis://[user:password@]host[:port][/db], the same with rediss://, unix:///path?db=0, "
    "redis+sentinel://[user:password@]host[:port][,host[:port]...]/service, or "
    "redis+cluster://[user:password@]host[:port][,host[:port]...]"
)


def new_connections(url: str, key: str) -> NewConnection:
    """What makes connections to this URL.

    Args:
      key: one of the keys, by which a cluster knows which of its nodes has them.

    Raises:
      ValueError: it is no URL of Redis'.
    """
    parts = urlsplit(url)
    service = parts.path.strip("/")
    if parts.scheme == "redis+cluster":
        return partial(_ask_cluster, _nodes(parts, 6379), key)
    if parts.scheme == "redis+sentinel" and service:
        _, _, hosts = parts.netloc.rpartition("@")  # the login is Redis', not Sentinel's
        sentinels = _nodes(parts._replace(netloc=hosts), 26379)
        return partial(_ask_sentinels, sentinels, _nodes(parts, 26379)[0], service)
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError(f"a Redis URL is {_FORMS}, not {without_login(url)!r}")
    connect = _connections(parts)

    async def make() -> BaseConnection:
        return connect()

    return make


def _connections(url: SplitResult) -> Callable[..., BaseConnection]:
    """What makes connections as a plain URL says, to there or to another location."""
    if url.scheme == "rediss" and parse_qs(url.query).keys().isdisjoint(
        {"ssl_check_hostname", "ssl_cert_reqs"}
    ):
        # coredis takes any host's certificate, unless it is told otherwise.
        url = url._replace(query=f"{url.query}&ssl_check_hostname=true")
    text = url.geturl()
    try:
        pool = ConnectionPool.from_url(
            text, decode_components=True, stream_timeout=PATIENCE, connect_timeout=PATIENCE
        )
    except OSError as exc:  # its certificates cannot be read
        raise ValueError(f"{without_login(text)}: {exc}") from exc
    if pool.location is None:
        raise ValueError(f"a Redis URL is {_FORMS}, not {without_login(text)!r}")
    return partial(cast("Any", pool.connection_class), pool.location, **pool.connection_kwargs)


def _nodes(url: SplitResult, port: int) -> list[Callable[..., BaseConnection]]:
    """The same for each of the hosts of a URL that has several."""
    login, at, hosts = url.netloc.rpartition("@")
    made = []
    for host in hosts.split(","):
        named = host if urlsplit(f"//{host}").port else f"{host}:{port}"
        made.append(_connections(SplitResult("redis", login + at + named, "", url.query, "")))
    return made


async def _ask_sentinels(
    sentinels: Sequence[Callable[..., BaseConnection]],
    redis: Callable[..., BaseConnection],
    service: str,
) -> BaseConnection:
    _, found = await _ask_any(sentinels, b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", service)
    if found is None:
        raise coredis.exceptions.PrimaryNotFoundError(f"Sentinel knows of no {service!r}")
    return _elsewhere(redis, found[0].decode(), int(found[1]))


async def _ask_cluster(nodes: Sequence[Callable[..., BaseConnection]], key: str) -> BaseConnection:
    try:
        node, _ = await _ask_any(nodes, b"EXISTS", key)
    except coredis.exceptions.MovedError as exc:
        return _elsewhere(nodes[0], exc.host, exc.port)
    return node()


def _elsewhere(redis: Callable[..., BaseConnection], host: str, port: int) -> BaseConnection:
    make = cast("partial[BaseConnection]", redis)
    return make.func(TCPLocation(host, port), **make.keywords)


async def _ask_any(
    nodes: Sequence[Callable[..., BaseConnection]], command: bytes, *args: Any
) -> tuple[Callable[..., BaseConnection], Any]:
    """Ask the first of them that can be reached; which it was, and its answer."""
    failure: Exception | None = None
    for node in nodes:
        try:
            return node, await _ask(node(), command, *args)
        except (coredis.exceptions.ConnectionError, TimeoutError) as exc:
            failure = exc
    raise coredis.exceptions.ConnectionError(f"no node can be reached: {failure}") from failure


async def _ask(connection: BaseConnection, command: bytes, *args: Any) -> Any:
    with unwrapped():
        async with trio.open_nursery() as nursery:
            await nursery.start(hold, connection)
            try:
                return await connection.create_request(command, *args, decode=False)
            finally:
                nursery.cancel_scope.cancel()


async def hold(connection: BaseConnection, *, task_status: trio.TaskStatus[None]) -> None:
    """Run a connection, and close what coredis 6.9 leaves open, and warns of, if it is refused."""
    try:
        await connection.run(task_status=task_status)
    except coredis.exceptions.ConnectionError as exc:
        if exc.__cause__ is None:
            raise
        # Such as a certificate; older versions of Trio let go of it on the exception's way.
        raise coredis.exceptions.ConnectionError(f"{exc}: {exc.__cause__}") from exc.__cause__
    finally:
        for value in vars(connection).values():
            if type(value).__name__ in {"MemoryObjectSendStream", "MemoryObjectReceiveStream"}:
                value.close()
