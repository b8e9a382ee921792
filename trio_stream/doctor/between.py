"""Verdicts on what stands between: proxies and caches that can be seen, and what they are told."""

from __future__ import annotations

import re

from .complaints import Finding, complain, fine
from .observation import Examination, Observation

__all__ = ["cache", "length", "proxies", "seen_between"]

#: Headers that proxies and networks add, and whose they are.
_MARKS = {
    "cf-ray": "Cloudflare",
    "x-amz-cf-id": "CloudFront",
    "x-azure-ref": "Azure Front Door",
    "x-envoy-upstream-service-time": "Envoy",
    "x-fastly-request-id": "Fastly",
    "x-varnish": "Varnish",
    "x-vercel-id": "Vercel",
}

_SERVERS = (
    *("nginx", "openresty", "apache", "caddy", "envoy", "haproxy", "lighttpd", "litespeed"),
    *("squid", "traefik", "varnish", "ats", "nghttpx", "cloudflare", "awselb", "istio"),
)


def proxies(seen: Examination) -> Finding | None:
    """What stands between, as far as it says so, and whether it is told to leave a stream alone."""
    main = seen.sent
    if main.status != 200:
        return None
    between = seen_between(main)
    told = f"{', '.join(between)} in between" if between else "nothing says that it is in between"
    control = main.header("cache-control").lower()
    missing = []
    if not re.search(r"no-store|no-cache|private", control):
        missing.append("Cache-Control: no-store")
    if "no-transform" not in control:
        missing.append("Cache-Control: no-transform")
    # nginx obeys this one, and takes it out.
    is_nginx = any(name in ("nginx", "openresty") for name in between)
    if main.header("x-accel-buffering").lower() != "no" and not is_nginx:
        missing.append("X-Accel-Buffering: no")
    if missing:
        return complain("proxies", "proxies-not-told", f"{told}; not said: {'; '.join(missing)}")
    return fine("proxies", f"{told}; it is told not to hold back, keep or change anything")


def seen_between(main: Observation) -> list[str]:
    """The proxies that name themselves in the answer."""

    said = [word for word in (main.header("server"), main.header("via")) if word]
    names = [name for name in _SERVERS if re.search(rf"\b{name}\b", " ".join(said), re.IGNORECASE)]
    names += [name for header, name in _MARKS.items() if main.header(header)]
    if main.header("via") and not names:
        names.append("a proxy (Via)")
    return sorted(dict.fromkeys(names))


def cache(seen: Examination) -> Finding | None:
    """Whether it is a copy of what somebody else was sent."""
    main = seen.sent
    age = main.header("age")
    if age.isascii() and age.isdigit() and int(age[:9]) > 0:
        return complain("cache", "from-a-cache", f"Age: {age[:9]}")
    for name in ("x-cache", "cf-cache-status", "x-proxy-cache", "x-cache-status"):
        if re.match(r"(tcp_)?(mem_)?hit", main.header(name), re.IGNORECASE):
            return complain("cache", "from-a-cache", f"{name}: {main.header(name)[:40]}")
    return None


def length(seen: Examination) -> Finding | None:
    """Whether its length was known before it began."""
    size = seen.sent.header("content-length")
    if seen.sent.status == 200 and size:
        return complain("length", "fixed-length", f"Content-Length: {size[:20]}")
    return None
