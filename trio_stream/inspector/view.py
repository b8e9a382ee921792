"""What a page wants to see, as its address says it: nothing else is looked at, or sent."""

from __future__ import annotations

from typing import Literal
from urllib.parse import parse_qsl

import msgspec

from ..endpoints.refused import RefusedError

__all__ = ["MOST_ROWS", "Sort", "View", "read_view"]

Sort = Literal["newest", "oldest", "stuck", "queued", "rate", "events", "bytes"]

#: Rows that are shown at once, at most.
MOST_ROWS = 1000


class View(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is shown: the query of a feed."""

    #: Which part of the page is open.
    show: Literal["streams", "topics"] = "streams"
    #: Streams whose request, route, client or principal has this text in it, or topics whose names
    #: have; upper or lower case.
    find: str = ""
    #: Of streams; topics come with the newest events first.
    sort: Sort = "newest"
    rows: int = 50
    #: The number of the one stream that is looked at closely.
    stream: int | None = None
    #: The process whose streams are shown; None for the one that is reached.
    process: str | None = None
    #: The name of the one topic that is listened to.
    topic: str | None = None


def read_view(query: bytes) -> View:
    """The view that a query asks for; refused where there is none such."""
    try:
        named = dict(parse_qsl(query.decode(), keep_blank_values=True, errors="strict"))
        view = msgspec.convert(named, View, strict=False)
    except (UnicodeDecodeError, ValueError, msgspec.ValidationError) as exc:
        raise RefusedError(400, f"there is no such view: {exc}") from None
    if not 1 <= view.rows <= MOST_ROWS:
        raise RefusedError(400, f"rows are 1 to {MOST_ROWS}")
    return view
