"""Hypercorn's Trio worker as `serve` runs it: with connections in which less waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from types import FunctionType
from typing import Any

import hypercorn.trio

try:
    from hypercorn.trio.run import worker_serve

    from .tcp_server import StreamServer
except ImportError:  # they have moved
    _is_known = False
else:
    _is_known = True

from .idle import IdleConnections

__all__ = ["hypercorn_serve"]

Serve = Callable[..., Awaitable[None]]


def hypercorn_serve() -> Serve:
    """Hypercorn's `serve`, with a `StreamServer` for each connection if it is the known one.

    Hypercorn takes the class of its connections from the module of the function that accepts them,
    and there is no other way to name one: no argument, no method of what it is given. So this is a
    copy of that function to which the name says something else; Hypercorn's own, which others may
    call as well, stays what it is. Where another Hypercorn has no such function its own serves, and
    `test_hypercorn_is_known_and_stays_as_it_is` fails.
    """
    serve: Any = hypercorn.trio.serve
    if not (_is_known and _uses(worker_serve, "TCPServer") and _uses(serve, "worker_serve")):
        return hypercorn.trio.serve
    server = partial(StreamServer, IdleConnections())
    return _with_names(serve, worker_serve=_with_names(worker_serve, TCPServer=server))


def _uses(function: Any, name: str) -> bool:
    return type(function) is FunctionType and name in function.__code__.co_names


def _with_names(function: Any, **names: Any) -> Serve:
    """The same function, to which these global names say something else."""
    copy = FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
