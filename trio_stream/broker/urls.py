"""URLs in error messages, which end up in logs."""

from __future__ import annotations

import re

__all__ = ["shown_url"]

#: Hosts and ports, and then a path; or a path alone.
_PLACE = re.compile(r"(?:(?:\[[^][]*\]|[^:,/]+)(?::\d*)?(?:,|(?=/|$)))*(?:/.*)?", re.DOTALL)


def shown_url(url: str) -> str:
    """A broker's URL as an error may show it: without its login and the values of its query.

    This is for URLs that may be wrong. Where a password was not escaped, and nobody can tell where
    it ends, all that may be part of it is left out too.
    """
    scheme, slashes, rest = url.partition("://")
    if not slashes:
        return "***" if re.search("[@?#]", url) else url
    before, *query = re.split("[?#]", rest, maxsplit=1)
    _, at, place = before.rpartition("@")
    if "@" in "".join(query) or not _PLACE.fullmatch(place):
        return f"{scheme}://***"
    return f"{scheme}://{'***@' if at else ''}{place}{'?***' if query else ''}"
