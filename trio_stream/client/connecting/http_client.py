"""The HTTP client that is made where the program hands over none."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from ...errors import ConnectionLostError

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["make_client"]


def make_client(url: str, *, verify: bool = True, http2: bool = False) -> httpx.AsyncClient:
    """A client of httpx for this URL, as the environment says: proxies, certificates.

    Raises:
      ConnectionLostError: it cannot be made as the environment says; its reason is what to do.
    """
    try:
        trusted = _whom_to_trust(http2) if verify else False
        return httpx.AsyncClient(verify=trusted, http2=http2)
    except ImportError as exc:
        reason = str(exc)  # names the package
    except OSError as exc:
        said = exc.strerror or type(exc).__name__
        reason = f"mend SSL_CERT_FILE, or unset it: its certificates cannot be read ({said})"
    except (httpx.InvalidURL, ValueError):
        # Without what httpx says: addresses of proxies hold passwords.
        reason = (
            "mend or unset HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY: "
            "one of them is no address of a proxy"
        )
    raise ConnectionLostError(url, 1, reason)


def _whom_to_trust(http2: bool) -> SSLContext:
    """What httpx would make for each client: to read the certificates takes some 25 ms.

    A server that relays makes a client for each of its own, and would stand still that long.
    """
    file = os.environ.get("SSL_CERT_FILE")
    found = Path(file).stat() if file else None
    changed = None if found is None else (found.st_mtime_ns, found.st_ino, found.st_size)
    return _certificates(file, changed, os.environ.get("SSL_CERT_DIR"), http2)


@lru_cache(maxsize=4)
def _certificates(*_: object) -> SSLContext:
    """Made anew where the environment, or the file that it names, is another; the latest four.

    Not for both versions of HTTP: httpcore writes into it which of them it offers.
    """
    return httpx.create_ssl_context()
