"""What ``trio-stream tail`` tells of its requests: with ``-v`` all, and else what goes in clear."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

import httpx

from ...privacy import shown_url

__all__ = ["Wiretap", "is_local", "shown_header"]

#: Names of headers, and of a query's parameters, whose values are somebody's to keep.
_SECRET = re.compile(
    r"auth|token|secret|cookie|passw|(^|[-_])key$|apikey|session|signature", re.IGNORECASE
)


class Wiretap:
    """Sees requests as they are sent, with what redirects and httpx have added, and the answers.

    Args:
      tell: is given a sign and a line of text; never a secret.
      verbose: whether to tell of each request and answer.
    """

    def __init__(self, tell: Callable[[str, str], None], *, verbose: bool) -> None:
        self._tell = tell
        self._verbose = verbose
        self._warned: set[str] = set()

    def listen_to(self, client: httpx.AsyncClient) -> None:
        """Hear of all that this client sends and gets from now on."""
        client.event_hooks = {"request": [self._request], "response": [self._response]}

    async def _request(self, request: httpx.Request) -> None:
        if self._verbose:
            self._tell(">", f"{request.method} {shown_url(str(request.url))}")
            self._headers(">", request.headers)
        secrets = [name for name in request.headers if _SECRET.search(name)]
        secrets += [f"{name}= in the URL" for name in request.url.params if _SECRET.search(name)]
        host = request.url.host
        if secrets and request.url.scheme == "http" and not is_local(host):
            if host not in self._warned:
                told = ", ".join(secrets)
                self._tell("▲", f"goes to {host} in clear, for all between to read: {told}")
            self._warned.add(host)

    async def _response(self, response: httpx.Response) -> None:
        if self._verbose:
            self._tell("<", f"{response.http_version} {response.status_code}")
            self._headers("<", response.headers)

    def _headers(self, sign: str, headers: httpx.Headers) -> None:
        for name, value in headers.multi_items():
            self._tell(sign, f"{name}: {shown_header(name, value)}")


def shown_header(name: str, value: str) -> str:
    """A header's value as it may be shown: no secret, and no URL's credentials and query."""
    if _SECRET.search(name):
        return "..."
    return shown_url(value) if name in ("location", "content-location", "referer") else value


def is_local(host: str) -> bool:
    """Whether this name or address is this machine's own."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
