"""`stream_app`: a callback as a whole ASGI application, lifespan included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, overload

from .options import StreamOptions
from .stream import Stream

if TYPE_CHECKING:
    from ..transport.asgi import Receive, Scope, Send

__all__ = ["StreamApp", "stream_app"]

Callback = Callable[[Stream], Any]
Lifespan = Callable[["StreamApp"], AbstractAsyncContextManager[Mapping[str, Any] | None]]


class StreamApp:
    """An ASGI application that answers every HTTP request with a new stream of one callback."""

    def __init__(
        self,
        callback: Callback,
        *,
        event: str | None = None,
        retry: int | None = None,
        lifespan: Lifespan | None = None,
        **options: Any,
    ) -> None:
        if not callable(callback):
            raise TypeError(
                "stream_app needs a callback that takes the stream and is called for each request, "
                f"not a {type(callback).__name__}"
            )
        self._callback = callback
        self._options = StreamOptions.checked(**options)
        self._event, self._retry = event, retry
        self._lifespan = lifespan
        self.__doc__ = callback.__doc__
        self._new_stream()  # what is wrong with event or retry is said now, not at each request

    def _new_stream(self) -> Stream:
        return Stream._with_options(self._callback, self._options, self._event, self._retry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self._new_stream()(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # "lifespan.startup"; what the lifespan raises the server reports
        if self._lifespan is None:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        else:
            async with self._lifespan(self) as state:
                if state is not None:
                    scope["state"].update(state)
                await send({"type": "lifespan.startup.complete"})
                await receive()
        await send({"type": "lifespan.shutdown.complete"})


@overload
def stream_app(callback: Callback, /) -> StreamApp: ...
@overload
def stream_app(
    *,
    event: str | None = None,
    retry: int | None = None,
    lifespan: Lifespan | None = None,
    **options: Any,
) -> Callable[[Callback], StreamApp]: ...
def stream_app(
    callback: Callback | None = None, /, **options: Any
) -> StreamApp | Callable[[Callback], StreamApp]:
    """Make a callback an ASGI app that answers every request with a `Stream` of it.

    Use it as ``@stream_app``, or as ``@stream_app(ping=5, ...)`` with the keywords of `Stream`.

    Args:
      callback: takes the stream; its ``scope`` tells the path, query and headers. A coroutine
        function, a plain function that starts tasks, or a generator function.
      lifespan: ``(app) -> async context manager``, entered before the first request and left after
        the last; a mapping that it yields is the ``state`` of every request's scope.
    """
    if callback is not None:
        return StreamApp(callback, **options)

    def decorate(callback: Callback) -> StreamApp:
        return StreamApp(callback, **options)

    return decorate
