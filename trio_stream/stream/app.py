"""`stream_app`: a callback as a whole ASGI application, lifespan included."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from ..checks import check_callable, check_on_trio
from ..transport.hypercorn import listen_in_worker
from .options.farewell import EventName
from .options.options import StreamKeywords, StreamKind, StreamOptions
from .stream import Stream

if TYPE_CHECKING:
    from ..transport.asgi import Receive, Scope, Send

__all__ = ["StreamApp", "stream_app"]

log: logging.Logger = logging.getLogger("trio_stream")

Callback = Callable[[Stream], Any]
Lifespan = Callable[["StreamApp"], AbstractAsyncContextManager[Mapping[str, Any] | None]]


class StreamApp:
    """An ASGI application that answers every HTTP request with a new stream of one callback."""

    def __init__(
        self,
        callback: Callback,
        *,
        event: EventName | None = None,
        retry: int | Literal[False] | None = None,
        lifespan: Lifespan | None = None,
        **options: Unpack[StreamKeywords],
    ) -> None:
        given: object = callback
        if isinstance(given, StreamApp) or not callable(given):
            raise TypeError(
                "stream_app needs a callback that takes the stream and is called for each request, "
                f"not a {type(callback).__name__}"
            )
        if options.get("principal") is not None:
            raise TypeError("principal= would be everybody's: authorize= says whose a request is")
        what = "takes the app and returns an async context manager, as by @asynccontextmanager"
        check_callable("lifespan", lifespan, what, takes=1, or_none=True)
        kind = StreamKind(callback, StreamOptions.checked(**options), event, retry)
        # `Stream` takes one as well as a source, and its type says nothing of that to users.
        self._kind = cast("Callback", kind)
        self._lifespan = lifespan
        self.__doc__ = callback.__doc__
        Stream(self._kind)  # what is wrong with event or retry is said now, not at each request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await Stream(self._kind)(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # "lifespan.startup"
        step, is_last = "startup", False
        try:
            check_on_trio()
            async with self._lifespan(self) if self._lifespan else nullcontext() as state:
                if state is not None:
                    scope["state"].update(state)
                await send({"type": "lifespan.startup.complete"})
                step = "shutdown"
                listen_in_worker()
                await receive()
                is_last = True
        except Exception as error:  # whatever it is: the server is to stop, and to say why
            if is_last:  # what comes so late Hypercorn 0.18 drops without a word
                log.error(
                    "the lifespan failed while the server ended", {"error": error}, exc_info=error
                )
            await send({"type": f"lifespan.{step}.failed", "message": _reason(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})


def _reason(error: BaseException) -> str:
    """In a line what happened, without the groups of nurseries on the way."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_reason(inner) for inner in error.exceptions)
    return "".join(traceback.format_exception_only(error)).strip()


@overload
def stream_app(callback: Callback, /) -> StreamApp: ...
@overload
def stream_app(
    *,
    event: EventName | None = None,
    retry: int | Literal[False] | None = None,
    lifespan: Lifespan | None = None,
    **options: Unpack[StreamKeywords],
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
        the last; a mapping that it yields is the ``state`` of every request's scope. What it
        raises, at any time, ends the server, which says why and exits with an error.
    """
    if callback is not None:
        return StreamApp(callback, **options)

    def decorate(callback: Callback) -> StreamApp:
        return StreamApp(callback, **options)

    return decorate
