"""All verdicts, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable

from . import answer, between, content, delays, ends
from .complaints import Finding
from .observation import Examination

__all__ = ["VERDICTS", "judge"]

VERDICTS: tuple[Callable[[Examination], Finding | None], ...] = (
    answer.reached,
    answer.redirects,
    answer.content_type,
    answer.charset,
    answer.version,
    answer.first_byte,
    delays.buffering,
    delays.compression,
    delays.beside,
    ends.coding,
    between.proxies,
    between.cache,
    between.length,
    content.data,
    content.lines,
    content.pings,
    content.retry,
    content.ids,
    content.resume,
    ends.last_event,
    ends.end,
)

#: Those on the answer, whatever it is.
_OF_ANYTHING = (answer.reached, answer.redirects, answer.content_type, answer.version)


def judge(seen: Examination) -> list[Finding]:
    """What each verdict says, but for those that have nothing to say of this stream.

    Of what is another thing altogether, a page or JSON, nothing but that.
    """
    verdicts = VERDICTS if answer.looks_like_events(seen) else _OF_ANYTHING
    found = (verdict(seen) for verdict in verdicts)
    return [finding for finding in found if finding is not None]
