"""A connection to a server of the benchmark's own."""

from __future__ import annotations

import http.client
import ssl


def connection(port: int, *, encrypted: bool) -> http.client.HTTPConnection:
    """HTTP/1.1 to this machine, in clear or over TLS with a certificate that nobody vouches for."""
    if not encrypted:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
