"""What may be told of a request: no query, no header, on one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..privacy import shown_path

__all__ = ["Facts", "client_of", "path_of", "request_facts", "route_of", "template_of"]

#: What a line in the log is to tell of a stream or a subscription; asked for where there is one.
Facts = Callable[[], dict[str, Any]]


def path_of(scope: Any) -> str | None:
    """The path, without its query; None where there is no request."""
    return shown_path(scope["path"]) if scope and "path" in scope else None


def client_of(scope: Any) -> str | None:
    """The address and port as the server knows them, or as a middleware has been told them."""
    client = scope.get("client") if scope else None
    if not client:
        return None
    host, port = client
    return shown_path(f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}")


def template_of(scope: Any) -> str | None:
    """``/orders/{id}``, where the framework says in the scope which of its routes it took."""
    template = getattr(scope.get("route"), "path", None) if scope else None
    return template if isinstance(template, str) and template else None


def route_of(scope: Any, label: str | None) -> str | None:
    """A stream's ``label``; without one its route's template, if that is known; else the path."""
    return label or template_of(scope) or path_of(scope)


def request_facts(scope: Any, label: str | None) -> dict[str, Any]:
    """Whose stream it is, as fields of a line in the log."""
    return {
        "client": client_of(scope),
        "method": scope.get("method") if scope else None,
        "path": path_of(scope),
        "route": route_of(scope, label),
    }
