"""What libpq would not take of a URL, told before anything is asked."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from ipaddress import ip_address

from psycopg import pq
from psycopg.conninfo import make_conninfo

from ..urls import shown_url

__all__ = ["check_parameters", "is_address"]

#: libpq that is asked without blocking does not look at all of these.
_NUMBERS = (
    *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval"),
    *("keepalives_count", "tcp_user_timeout"),
)

#: Where to connect, which is another place when it is asked what it takes.
_PLACES = frozenset({"host", "hostaddr", "port"})

#: What some of them may be, for who has written something else.
_CHOICES = {
    "sslmode": "disable, allow, prefer, require, verify-ca or verify-full",
    "target_session_attrs": "any, read-write, read-only, primary, standby or prefer-standby",
    "channel_binding": "disable, prefer or require",
    "gssencmode": "disable, prefer or require",
}


def check_parameters(url: str, parameters: Mapping[str, str]) -> None:
    """`ValueError` for a URL with parameters that nothing can be connected by.

    It names them, and no value: what is in a query may be secret.
    """
    hosts, addresses, ports = (
        parameters[name].split(",") if parameters.get(name) else []
        for name in ("host", "hostaddr", "port")
    )
    if not all(is_address(address) for address in addresses if address):
        raise _wrong(url, ["hostaddr"], "it is a number such as 127.0.0.1 or ::1")
    for name in _NUMBERS:
        if not _is_number(parameters.get(name, "0")):
            raise _wrong(url, [name], "it is a whole number")
    if hosts and addresses and len(hosts) != len(addresses):
        raise _wrong(url, ["host", "hostaddr"], "there are as many of the one as of the other")
    if len(ports) > 1 and (hosts or addresses) and len(ports) != len(hosts or addresses):
        raise _wrong(url, ["port"], "there is one for all hosts, or one for each")
    if parameters.get("sslmode", "").startswith("verify-") and not _can_read(
        parameters.get("sslrootcert", "system")
    ):
        raise _wrong(url, ["sslrootcert"], "it is a file that is there and can be read, or system")
    if wrong := _refused({k: v for k, v in parameters.items() if k not in _PLACES}):
        choices = [f"{name} is {_CHOICES[name]}" for name in wrong if name in _CHOICES]
        words = "libpq's documentation lists what they may be, by their names"
        raise _wrong(url, wrong, "; ".join(choices) or words)


def _wrong(url: str, names: list[str], instead: str) -> ValueError:
    return ValueError(
        f"libpq does not take what the URL {shown_url(url)!r} says of {' and '.join(names)}: "
        f"{instead}"
    )


def _refused(parameters: Mapping[str, str]) -> list[str]:
    """Which parameters libpq does not take; it looks at all of them before it connects anywhere.

    It is let begin to connect to a port that is here, as only so it is certain that what fails is
    not the connection.
    """
    with socket.socket() as here:
        try:
            here.bind(("127.0.0.1", 0))
            here.listen()
        except OSError:
            return []  # there is no such place on this machine, and a connection will tell
        port = str(here.getsockname()[1])
        # With a password, so that it looks for none in a file.
        place = {"host": "", "hostaddr": "127.0.0.1", "port": port, "password": "-"}
        if _begins({**parameters, **place}) or not _begins(place):
            return []
        # Those without which it is taken; of what is wrong together each.
        without = {name: {k: v for k, v in parameters.items() if k != name} for name in parameters}
        return [name for name, rest in without.items() if _begins({**rest, **place})] or [
            name for name in parameters if not _begins({name: parameters[name], **place})
        ]


def _begins(parameters: Mapping[str, str]) -> bool:
    connection = pq.PGconn.connect_start(make_conninfo("", **parameters).encode())
    try:
        return connection.status != pq.ConnStatus.BAD
    finally:
        connection.finish()


def _can_read(file: str) -> bool:
    return file == "system" or os.access(file, os.R_OK)


def _is_number(text: str) -> bool:
    digits = text.strip().removeprefix("-")
    return digits.isdecimal() and digits.isascii() and len(digits) < 10


def is_address(text: str) -> bool:
    """Whether this is an IP address, and no name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
