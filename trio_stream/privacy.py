"""What may be shown of what others sent: no credentials, no query, no payload.

The addresses that a program asks hold its keys, and an upstream's error page may hold what it was
asked. Neither belongs in a log that many people read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = ["log_excerpt", "shown_path", "shown_text", "shown_url"]

#: Where the beginnings of what others sent are logged, for whoever asks for it by setting the
#: logger's own level: what holds for all loggers, or for all of ours, does not turn it on.
excerpts: logging.Logger = logging.getLogger("trio_stream.excerpts")
excerpts.setLevel(logging.CRITICAL)

#: The longest URL that is shown in full.
_LENGTH = 200

#: Where a query begins, or a fragment.
_QUERY = re.compile(r"[?#]")

_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)


def shown_url(url: str) -> str:
    """A URL as messages and logs may show it: without credentials, query and fragment."""
    try:
        parts = urlsplit(url)
        # Asked for because it raises: a password with a "/", "?" or "#" in it ends what should be
        # the host, and its first half is no number.
        _ = parts.port
    except ValueError:
        return "a malformed URL"
    if not parts.netloc and "@" in parts.path.partition("/")[0]:
        return "a malformed URL"  # credentials, but no "//" in front of them
    host = parts.netloc.rpartition("@")[2]
    return _printable(parts._replace(netloc=host, query="", fragment="").geturl())


def shown_path(path: str) -> str:
    """The path of a request as logs may show it: on one line, and without what looks like a query.

    Servers take the percent-encoding off, so that a query whose "?" was encoded is in the path.
    """
    return _printable(_QUERY.split(path, maxsplit=1)[0])


def _printable(text: str) -> str:
    shown = text
    if not text.isprintable():  # seldom, and each stream's path is asked about at its end
        shown = "".join(char for char in text if char.isprintable())
    return shown if len(shown) <= _LENGTH else f"{shown[:_LENGTH]}..."


def shown_text(text: str) -> str:
    """A message of somebody else's, the URLs in it as `shown_url` shows them."""
    return _URL.sub(lambda match: shown_url(match[0]), text)


class _AsShown(logging.Filter):
    """Has what a line names as its fields, and every URL shown as `shown_url` shows it.

    A line's facts are the one mapping that it is given: ``log.info("%(topic)s is full", {"topic":
    ...})``. Each is an attribute of the record, as what is given by ``extra=`` is, also one that
    the text does not name; what is no number, text or None is its text. So one place sees to it
    that no field has a URL's secrets either, nor those of a traceback.

    The exceptions of HTTP clients have the URL in their text that was asked for, and what a
    producer failed with is logged with all that it came from. The exception itself stays in the
    record, for what groups failures by it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, Mapping):
            for name, value in record.args.items():
                setattr(record, name, _as_field(value))
        text = record.getMessage()
        if (shown := shown_text(text)) != text:
            record.msg, record.args = shown, None
        if record.exc_info and not record.exc_text:  # which formatters use if it is there
            record.exc_text = shown_text(_traceback.formatException(record.exc_info))
        return True


def _as_field(value: object) -> object:
    if value is None or isinstance(value, int | float):
        return value
    return shown_text(str(value))


_traceback = logging.Formatter()

# A logger's filters see what is logged by that logger itself, before any handler does.
logging.getLogger("trio_stream").addFilter(_AsShown())
excerpts.addFilter(_AsShown())


def log_excerpt(what: str, text: str) -> None:
    """Log the beginning of what somebody sent, where that was asked for."""
    excerpts.info("%(what)s: %(excerpt)s", {"what": what, "excerpt": text})
