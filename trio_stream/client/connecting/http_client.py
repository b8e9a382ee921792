"""The HTTP client that is made where the program hands over none."""

from __future__ import annotations

import httpx

from ...errors import ConnectionLostError

__all__ = ["make_client"]


def make_client(url: str, *, verify: bool = True, http2: bool = False) -> httpx.AsyncClient:
    """A client of httpx for this URL, as the environment says: proxies, certificates.

    Raises:
      ConnectionLostError: it cannot be made as the environment says; its reason is what to do.
    """
    try:
        return httpx.AsyncClient(verify=verify, http2=http2)
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
