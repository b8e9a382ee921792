"""What may be shown of what others sent: no credentials, no query, no payload.

The addresses that a program asks hold its keys, and an upstream's error page may hold what it was
asked. Neither belongs in a log that many people read.
"""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit

__all__ = ["log_excerpt", "shown_text", "shown_url"]

#: Where the beginnings of what others sent are logged, for whoever asks for it by setting the
#: logger's own level: what holds for all loggers, or for all of ours, does not turn it on.
excerpts: logging.Logger = logging.getLogger("trio_stream.excerpts")
excerpts.setLevel(logging.CRITICAL)

#: The longest URL that is shown in full.
_LENGTH = 200

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
    shown = parts._replace(netloc=host, query="", fragment="").geturl()
    shown = "".join(char for char in shown if char.isprintable())
    return shown if len(shown) <= _LENGTH else f"{shown[:_LENGTH]}..."


def shown_text(text: str) -> str:
    """A message of somebody else's, the URLs in it as `shown_url` shows them."""
    return _URL.sub(lambda match: shown_url(match[0]), text)


def log_excerpt(what: str, text: str) -> None:
    """Log the beginning of what somebody sent, where that was asked for."""
    excerpts.info("%s: %s", what, text)
