"""What a Redis URL says, and no word of it passed over."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from coredis.connection import Location, TCPLocation, UnixDomainSocketLocation

from ..urls import shown_url

__all__ = ["Address", "parse_address"]

_FORMS = (
    "redis://[user:password@]host[:port][/db], the same with rediss://, unix:///path?db=0, "
    "redis+sentinel://[user:password@]host[:port][,host[:port]...]/service, or "
    "redis+cluster://[user:password@]host[:port][,host[:port]...]"
)

_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname", "ssl_cert_reqs")
_OPTIONS = ("db", "username", "password", "client_name", *_TLS)

_Kind = Literal["redis", "rediss", "unix", "redis+sentinel", "redis+cluster"]
_PORTS = {"redis": 6379, "rediss": 6379, "redis+sentinel": 26379, "redis+cluster": 6379}

_TRUE_AND_FALSE = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_CERT_REQS = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


@final
@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis is, or who can be asked that, and how it is spoken to.

    Attributes:
      kind: the URL's scheme, where ``valkey`` is ``redis``.
      locations: of Redis itself, of the sentinels, or of some of a cluster's nodes.
      service: what the sentinels call it.
      options: arguments for coredis' connections to it. There may be a password among them.
    """

    kind: _Kind
    locations: list[Location]
    service: str
    options: dict[str, Any] = field(repr=False)


class _WrongError(Exception):
    """What is wrong with a URL, in words that repeat nothing of it that could be a secret."""


def parse_address(url: str) -> Address:
    """Read a Redis URL.

    Raises:
      ValueError: it is none, or says what cannot be meant.
    """
    try:
        try:
            return _parse(urlsplit(url))
        except _WrongError:
            raise
        except ValueError:  # urllib's, which may quote a part of a password
            raise _WrongError(
                "what is special in a user, a password or a path is escaped: / is %2F, @ is %40"
            ) from None
    except _WrongError as exc:
        text = f"{exc}; a Redis URL is {_FORMS}, not {shown_url(url)!r}"
        raise ValueError(text) from None


def _parse(url: SplitResult) -> Address:
    kind = url.scheme.replace("valkey", "redis", 1)
    if kind != "unix" and kind not in _PORTS:
        raise _WrongError("there is no such scheme")
    if url.fragment:
        raise _WrongError("a # in a user, a password or a path is escaped: %23")
    login, _, hosts = url.netloc.rpartition("@")
    options = _options(url.query, kind)
    _add_login(options, login)
    location, service = _add_path(options, kind, unquote(url.path))
    if location is not None:
        if hosts:
            raise _WrongError("a path begins with a third slash")
        return Address("unix", [location], "", options)
    locations = [_location(host, _PORTS[kind]) for host in hosts.split(",")]
    if len(locations) > 1 and kind in {"redis", "rediss"}:
        raise _WrongError("several hosts are sentinels, or nodes of a cluster")
    if kind == "rediss":
        options["ssl_context"] = _tls(options)
    return Address(cast("_Kind", kind), [*locations], service, options)


def _options(query: str, kind: str) -> dict[str, Any]:
    """What is behind the question mark, for coredis or for `_tls`."""
    options: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            # What is no name at all may be the rest of a password.
            shown = name if re.fullmatch("[a-z_]+", name) and "@" not in query else "of that name"
            raise _WrongError(f"there is no option {shown}, but {', '.join(_OPTIONS)}")
        if name in options:
            raise _WrongError(f"{name} is there twice")
        if name in _TLS and kind != "rediss":
            raise _WrongError(f"{name} is for TLS, which is rediss://")
        options[name] = _number(value) if name == "db" else value
    return options


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise _WrongError("a database is a number")
    return int(text)


def _add_login(options: dict[str, Any], login: str) -> None:
    user, _, password = login.partition(":")
    for name, value in (("username", unquote(user)), ("password", unquote(password))):
        if value and name in options:
            raise _WrongError(f"the {name} is there twice")
        if value:
            options[name] = value


def _add_path(
    options: dict[str, Any], kind: str, path: str
) -> tuple[UnixDomainSocketLocation | None, str]:
    """The socket, if the path is one's, and the service, if it is one; a database is an option."""
    if kind == "unix":
        if len(path) < 2:
            raise _WrongError("it has no path")
        return UnixDomainSocketLocation(path), ""
    name = path[1:]
    if kind == "redis+sentinel":
        if not name or "/" in name:
            raise _WrongError("behind sentinels' hosts there is the name of a service")
        return None, name
    if kind == "redis+cluster":
        if name or options.get("db"):
            raise _WrongError("a cluster has no databases")
    elif name:
        if "db" in options:
            raise _WrongError("the database is there twice")
        options["db"] = _number(name)
    return None, ""


def _location(host: str, port: int) -> TCPLocation:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise _WrongError("it has no host")
    return TCPLocation(unquote(parts.hostname), port if parts.port is None else parts.port)


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    """Take the options that are TLS' out, and do as they say.

    The host's name is checked whenever certificates are: coredis does so only when it is told to.
    """
    given = {name: options.pop(name) for name in _TLS if name in options}
    required = _choice(given, "ssl_cert_reqs", _CERT_REQS, ssl.CERT_REQUIRED)
    checked = required is not ssl.CERT_NONE
    named = _choice(given, "ssl_check_hostname", _TRUE_AND_FALSE, checked)
    if named and not checked:
        raise _WrongError("ssl_check_hostname is of no use without a certificate")
    context = ssl.create_default_context()
    context.check_hostname = named
    context.verify_mode = required
    try:
        authorities = given.get("ssl_ca_certs")
        if authorities is not None:
            folder = Path(authorities).is_dir()
            context.load_verify_locations(**{"capath" if folder else "cafile": authorities})
        own, key = given.get("ssl_certfile"), given.get("ssl_keyfile")
        if own is not None:  # nobody should be asked for a key's passphrase, at a terminal
            context.load_cert_chain(own, key, password=bytes)
        elif key is not None:
            raise _WrongError("ssl_keyfile is of no use without ssl_certfile")
    except OSError as exc:
        names = " or ".join(name for name in _TLS[:3] if name in given)
        raise _WrongError(f"{names} cannot be used: {exc.strerror or 'no such thing'}") from None
    return context


def _choice(given: Mapping[str, str], name: str, values: Mapping[str, Any], default: Any) -> Any:
    value = given.get(name)
    if value is None:
        return default
    if value not in values:
        raise _WrongError(f"{name} is {', '.join(values)}")
    return values[value]
