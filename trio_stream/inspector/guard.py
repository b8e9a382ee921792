"""What keeps the inspector to its own page: no other site's, and nothing but its own script."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..endpoints.refused import RefusedError
from ..stream.answers.clients import read_headers

if TYPE_CHECKING:
    from ..transport.asgi import Scope

__all__ = ["SAFE", "check_site", "new_nonce", "page_policy"]

#: Headers of every answer.
SAFE = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def new_nonce() -> str:
    """A number used once, by which a page's own script and style are known."""
    return secrets.token_urlsafe(18)


def page_policy(nonce: str) -> str:
    """The page's Content-Security-Policy: its own script, its own address, and nothing else.

    With ``trusted-types 'none'`` a browser that knows it refuses to make HTML of text at all.
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def check_site(scope: Scope) -> None:
    """Refuse what another site's page has a browser send, with its user's cookies.

    Browsers say where a request comes from: by ``Sec-Fetch-Site``, which no page can set, and over
    plain HTTP to another machine, where there is none, by the ``Origin`` of each POST. Programs say
    neither, and have no cookies that others could use. What acts has to be JSON, too, which a form
    cannot send.
    """
    headers = read_headers(scope)
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        # "none": somebody has typed the address, or opened a bookmark.
        allowed = site == "same-origin" or (site == "none" and scope["method"] != "POST")
        if not allowed and not _is_visit(scope, headers):
            raise RefusedError(403, "another site's page has sent this")
    elif origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        raise RefusedError(403, "another site's page has sent this")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if scope["method"] == "POST" and kind != "application/json":
        raise RefusedError(415, "what is posted has to be application/json")


def _is_visit(scope: Scope, headers: dict[str, str]) -> bool:
    """Whether a link on another page leads here: the page itself may be opened by one."""
    return scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
