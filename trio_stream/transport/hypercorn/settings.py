"""Hypercorn's settings, checked: it takes what it is given, and fails in its connections."""

from __future__ import annotations

from collections.abc import Sequence

from hypercorn.config import Config

from ...checks import check_count, check_flag, check_kind, check_seconds, check_text

__all__ = ["check_bind", "check_setting"]

#: What C calls an int, and HTTP/2 a window.
_MOST = 2**31 - 1

#: Seconds, and numbers, of which Hypercorn's default is None, for no limit.
_OPTIONAL_SECONDS = {"read_timeout", "websocket_ping_interval"}
_OPTIONAL_COUNTS = {"max_requests"}

#: From ... to: RFC 9113, 6.5.2.
_RANGES = {"h2_max_inbound_frame_size": (2**14, 2**24 - 1)}

#: Of which 0 would be that nothing works.
_AT_LEAST_ONE = {
    "backlog",
    "h11_max_incomplete_size",
    "h2_max_concurrent_streams",
    "h2_max_header_list_size",
    "keep_alive_max_requests",
    "max_app_queue_size",
    "max_requests",
    "websocket_max_message_size",
    "workers",
}


def check_bind(name: str, value: object) -> None:
    """An address, or several."""
    check_kind(name, value, Sequence, "a str, or several in a list")
    addresses = [value] if isinstance(value, str) else value
    assert isinstance(addresses, Sequence)
    for address in addresses:
        check_text(f"an address in {name}", address)


def check_setting(name: str, value: object) -> None:
    """A number or a flag where Hypercorn has one; what else there is, it checks itself."""
    default = getattr(Config, name)
    if name.endswith("bind"):
        check_bind(name, value)
    elif isinstance(default, bool):
        check_flag(name, value)
    elif name in _OPTIONAL_SECONDS:
        check_seconds(name, value, or_none=True)
    elif name.endswith("_timeout"):
        check_seconds(name, value, zero=True)
    elif isinstance(default, int) or name in _OPTIONAL_COUNTS:
        least, most = _RANGES.get(name, (int(name in _AT_LEAST_ONE), _MOST))
        check_count(name, value, least=least, most=most, or_none=name in _OPTIONAL_COUNTS)
    elif isinstance(default, str) and name != "errorlog":
        check_text(name, value)
