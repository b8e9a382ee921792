"""What an upstream's decoder drops is told: in the log once for each stream, and at its end."""

from __future__ import annotations

import logging

from ...codec import DroppedInput, EventStreamDecoder
from ...errors import IncompleteStreamError
from ...privacy import log_excerpt, shown_url

__all__ = ["DropReport", "incomplete"]

log: logging.Logger = logging.getLogger("trio_stream")


class DropReport:
    """Logs what a decoder drops of one connection's stream, each kind when it first happens."""

    def __init__(self, url: str, decoder: EventStreamDecoder) -> None:
        self._url = shown_url(url)
        self._decoder = decoder
        self._drops = decoder.drops
        self._lines = 0
        self._told_unknown = self._told_stray = False

    def look(self) -> None:
        """The decoder was fed."""
        if self._drops.lines != self._lines:
            self._lines = self._drops.lines
            self._tell()

    def _tell(self) -> None:
        drops = self._drops
        if drops.unknown_fields and not self._told_unknown:
            self._told_unknown = True
            facts = {"url": self._url}
            log.warning("%(url)s sends fields that no event has; they are dropped", facts)
        if drops.stray_lines and not self._told_stray:
            self._told_stray = True
            facts = {"url": self._url, "what": _looks_like(drops.first_stray)}
            log.warning("%(url)s sends %(what)s between its events; it is dropped", facts)
            log_excerpt(f"{self._url} sent between its events", drops.first_stray)

    def ended(self) -> DroppedInput:
        """The connection has ended properly: what it has dropped."""
        dropped = self._decoder.dropped
        if dropped.unfinished:
            facts = {"url": self._url}
            log.warning("%(url)s ended in the middle of an event; it is dropped", facts)
        return dropped


def _looks_like(line: str) -> str:
    begin = line.lstrip()[:1]
    return "JSON" if begin in ("{", "[", "}", "]", '"') else "HTML" if begin == "<" else "text"


def incomplete(url: str, dropped: DroppedInput) -> IncompleteStreamError | None:
    """The error for an event stream that ended with what is no event, though properly; or None."""
    if dropped.unfinished:
        return IncompleteStreamError(url, "ended in the middle of an event, which is lost")
    if dropped.ends_astray:
        return IncompleteStreamError(url, "ended with lines that are no event, which are lost")
    return None
