"""Whether a request can be sent as it is; if not, an error that says so, and nothing secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import InvalidRequestError
from ..privacy import shown_url

__all__ = ["check_address", "telling_unsendable"]

_WEBSOCKETS = {"ws": "http", "wss": "https"}


def check_address(url: Any) -> None:
    """Refuse what HTTP clients would ask for though there can be no answer.

    That is a WebSocket's URL, whose handshake they would take for a request, and a port that is
    none, which they would take for one that does not answer, and try for ever.

    Args:
      url: of httpx or httpx2.

    Raises:
      InvalidRequestError: it is such a one.
    """
    if url.port is not None and not 0 < url.port < 2**16:
        raise InvalidRequestError(f"there is no port {url.port}: ports are from 1 to 65535")
    instead = _WEBSOCKETS.get(url.scheme)
    if instead is not None:
        raise InvalidRequestError(
            f"{shown_url(str(url))} is a WebSocket's address: an event stream's begins with "
            f"{instead}://"
        )


@contextmanager
def telling_unsendable(url: str, http: Any) -> Iterator[None]:
    """Raise what a client says of a request that it cannot send as an `InvalidRequestError`.

    Without the client's own words: they show the half of a URL or header that it cannot read.

    Args:
      url: what is asked.
      http: the client's module, httpx or httpx2.
    """
    try:
        yield
    except (http.InvalidURL, http.UnsupportedProtocol):
        raise InvalidRequestError(
            f"{shown_url(url) or 'nothing'} cannot be asked for; a URL is http:// or https://, a "
            "host and a path"
        ) from None
    except (http.LocalProtocolError, UnicodeError):
        raise InvalidRequestError(
            f"the request to {shown_url(url)} cannot be sent: its URL or a header of it holds "
            "characters that none can carry"
        ) from None
