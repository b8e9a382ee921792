"""A ``postgresql://`` URL, and the servers that it names."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

import psycopg
import trio
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..servers.troubles import UnreachableError
from ..urls import shown_url
from .parameters import check_parameters, is_address

__all__ = ["attempts", "connect_timeout", "conninfo_of", "parse_address"]

#: What every connection says of itself; a URL's query may say something else.
_DEFAULTS = {"application_name": "trio_stream", "client_encoding": "UTF8"}


def parse_address(url: str) -> dict[str, str]:
    """The parameters of libpq that a URL has; `ValueError` when it is none."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError(
            f"a PostgreSQL URL is postgresql://user@host/database, not {shown_url(url)!r}"
        )
    if "\0" in url:  # where libpq would take the URL to end
        raise ValueError(f"the URL {shown_url(url)!r} holds a zero character")
    try:
        # Its own message may hold what is in the URL, a password too.
        found = conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError(
            f"{shown_url(url)!r} is no PostgreSQL URL: what is special in a login is escaped as in "
            "any URL, and its query has parameters of libpq, such as sslmode=verify-full"
        ) from None
    parameters = {**_DEFAULTS, **{name: str(value) for name, value in found.items()}}
    if not all(_is_port(port) for port in parameters.get("port", "").split(",")):
        raise ValueError(f"the URL {shown_url(url)!r} has a port that is no number up to 65535")
    check_parameters(url, parameters)
    return parameters


def conninfo_of(url: str) -> str:
    """What a thread connects by: it waits 10 s for each address, unless the URL says how long."""
    return make_conninfo("", **{"connect_timeout": "10", **parse_address(url)})


def connect_timeout(parameters: Mapping[str, str]) -> float | None:
    """Seconds that a URL gives each address, 0 or less for ever as for libpq, or None."""
    text = parameters.get("connect_timeout")
    if text is None:
        return None
    return float(text) if float(text) > 0 else inf


async def attempts(parameters: Mapping[str, str]) -> list[str]:
    """What to connect to, one after another: each host's each address.

    libpq would look names up while all wait, and know no time limit for each address.
    """
    hosts = parameters.get("host", "").split(",")
    ports = parameters.get("port", "").split(",")
    if parameters.get("hostaddr") or hosts == [""]:
        return [make_conninfo("", **parameters)]
    if len(hosts) > 1:  # the one that can be written to, if nothing else is said
        parameters = {"target_session_attrs": "read-write", **parameters}
    found: list[str] = []
    for n, host in enumerate(hosts):
        port = ports[n] if n < len(ports) else ports[0]
        one = {**parameters, "host": host, "port": port}
        if host.startswith(("/", "@")) or is_address(host):
            found.append(make_conninfo("", **one))
            continue
        try:
            addresses = await trio.socket.getaddrinfo(
                host, port or None, type=trio.socket.SOCK_STREAM
            )
        except OSError:
            continue
        names = dict.fromkeys(str(address[4][0]) for address in addresses)
        found += [make_conninfo("", **{**one, "hostaddr": name}) for name in names]
    if not found:
        raise UnreachableError(f"PostgreSQL: no address is known of {', '.join(hosts)}")
    return found


def _is_port(text: str) -> bool:
    return not text or (text.isdecimal() and len(text) < 6 and 0 < int(text) < 2**16)
